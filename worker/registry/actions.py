"""What the commands of ``hangtag models`` do, and what they say."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.bundle import read_manifest
from models.decision import promise_text
from models.errors import BundleError, HangtagError, InputError, MissingExtraError
from models.registry.history import CHALLENGER, CHAMPION, Event
from models.registry.registry import Published, Registry, open_registry
from models.terminal import Console
from models.verify import verify_with_spinner
from worker.registry.console import VersionName, event_record, print_diff, print_events, print_versions, say

if TYPE_CHECKING:
    from worker.catalogue_diff.sample import SampleOptions

__all__ = [
    "PublishRequest",
    "delete_version",
    "list_models",
    "move_alias",
    "promote_version",
    "publish_bundle",
    "roll_back",
    "show_catalogue_diff",
    "show_diff",
    "show_history",
]

_TRAINING_FILES: Final = {"splits.csv": "splits.csv", "best.keras": "weights/best.keras", "args.json": "args.json"}
"""Name in the registry → place in the run's folder."""


@dataclass(frozen=True)
class PublishRequest:
    """What ``hangtag models publish`` is asked.

    Attributes:
        bundle: its folder.
        name: of the model.
        run: that the bundle was exported of; none where it is not to be kept.
        why: for the history.
        alias: that is to mean the version.
        mlflow: URI of a server that is told as well; none where none is.
    """

    bundle: Path
    name: str
    run: Path | None
    why: str
    alias: str | None
    mlflow: str | None = None


def list_models(registry: str, *, as_json: bool) -> None:
    """The table of versions; a model that cannot be read is named on stderr."""
    print_versions(open_registry(registry), as_json=as_json)


def publish_bundle(request: PublishRequest, place: str, *, as_json: bool) -> None:
    """Verify a bundle, keep it as a version, and say how to go on."""
    _check_tracking(request.mlflow)
    registry, name, bundle = open_registry(place), request.name, request.bundle
    training = _training_files(request.run, bundle) if request.run else {}
    found = verify_with_spinner(bundle)
    if not found.sound:
        fault = found.faults[0]
        msg = f"{bundle} is refused, {fault.subject}: {fault.detail}; hangtag verify {bundle} shows all that is wrong."
        raise BundleError(msg)
    alias = None if request.alias == CHAMPION else request.alias
    manifest = read_manifest(bundle).manifest
    variant = manifest.variants[manifest.default_variant]
    numbers = {"accuracy": variant.accuracy, "precision": variant.precision}
    published = registry.publish(name, bundle, request.why, numbers=numbers, training=training, alias=alias)
    if alias is not None and not published.new:
        registry.alias(name, published.version, alias, request.why)
    if request.alias == CHAMPION:
        registry.promote(name, published.version, request.why)
    _tell_published(registry, name, published, as_json=as_json)
    if request.mlflow is not None:
        from worker.tracking import publish_bundle as tell_mlflow  # Hangtag does without MLflow otherwise

        try:
            tell_mlflow(request.mlflow, bundle, name, request.run, published.version, _aliases(registry, name))
        except HangtagError as error:
            _say_untold(error, "Give the same command again")


def _training_files(run: Path, bundle: Path) -> dict[str, Path]:
    """The files of a run that are kept beside its bundle, and that a retraining starts from, by their names there.

    Raises:
        InputError: the run lacks one, or is of other classes, another architecture or other preprocessing.
        BundleError: there is no bundle.
    """
    found = {name: run / place for name, place in _TRAINING_FILES.items()}
    missing = [str(path) for path in found.values() if not path.is_file()]
    if missing:
        msg = f"Expected the run that {bundle} was exported of at {run}, found no {missing[0]}."
        raise InputError(msg)
    manifest = read_manifest(bundle).manifest
    try:
        args = json.loads(found["args.json"].read_text(encoding="utf-8"))
        of_run = (args["arch"], args["classes"], args["preprocess"]["size"])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"Expected a run's args.json at {found['args.json']}, could not read it ({error!r}); see docs/formats.md."
        raise InputError(msg) from error
    if of_run != (manifest.arch, list(manifest.labels), manifest.preprocess.size):
        msg = (
            f"Expected the run that {bundle} was exported of, {run} has another architecture, other classes or another "
            "image size."
        )
        raise InputError(msg)
    return found


def _tell_published(registry: Registry, name: str, published: Published, *, as_json: bool) -> None:
    aliases = [alias for alias, to in registry.state(name).aliases.items() if to == published.version]
    if as_json:
        record = {"model": name, "version": published.version, "new": published.new, "aliases": aliases}
        print(json.dumps(record, indent=1))
        return
    version = f"{name}@{published.version}"
    names = f" ({', '.join(aliases)})" if aliases else ""
    say(f"{'Published' if published.new else 'Was published before'}: {version}{names}, in {registry.place}")
    say(_promise(registry, name, published.version))
    if CHAMPION not in aliases:
        say(f"Make it the champion with: hangtag models promote {version} --why TEXT")


def promote_version(model: str, why: str, place: str, mlflow: str | None, *, force: bool, as_json: bool) -> None:
    """Make a version the champion."""
    _check_tracking(mlflow)
    registry = open_registry(place)
    name = _look_up(model, registry)
    event = registry.promote(name.model, name.version, why, force=force)
    promise = _promise(registry, name.model, name.version)
    _tell(event, f"{name} is the champion now. {promise}", f"{name} is the champion already.", as_json=as_json)
    _track_aliases(mlflow, registry, name.model)


def roll_back(name: str, why: str, place: str, mlflow: str | None, *, as_json: bool) -> None:
    """Restore the previous champion."""
    _check_tracking(mlflow)
    registry = open_registry(place)
    event = registry.rollback(name, why)
    promise = _promise(registry, name, event.version)
    done = f"{name}@{event.version} is the champion again; what is submitted from now on takes it. {promise}"
    _tell(event, done, "", as_json=as_json)
    _track_aliases(mlflow, registry, name)


def move_alias(
    model: str, alias: str, why: str, place: str, mlflow: str | None, *, remove: bool, as_json: bool
) -> None:
    """Let an alias mean a version, or take it away."""
    _check_tracking(mlflow)
    registry = open_registry(place)
    name = _look_up(model, registry)
    act = registry.remove_alias if remove else registry.alias
    event = act(name.model, name.version, alias, why)
    done = f"{alias} means no version of {name.model} any more." if remove else f"{alias} means {name} now."
    _tell(event, done, f"{alias} means {name} already.", as_json=as_json)
    _track_aliases(mlflow, registry, name.model, alias if remove else None)


def delete_version(model: str, why: str, place: str, *, as_json: bool) -> None:
    """Delete a version."""
    name, which = _named(model)
    if not which.isdecimal():
        msg = f"Expected a version by its number, such as {name}@2, got {model}: an alias may move at any moment."
        raise InputError(msg)
    event = open_registry(place).delete(name, int(which), why)
    done = f"{model} is gone."
    if event is not None and int(which) in event.after.champions:
        state = event.after
        earlier = {version for version in state.champions if version in state.versions}
        if not earlier - {state.aliases.get(CHAMPION)}:
            done += " It was the last that hangtag models rollback could go back to."
    _tell(event, done, f"{model} was deleted before.", as_json=as_json)


def show_history(name: str, place: str, *, as_json: bool) -> None:
    """What happened to a model, the newest last."""
    registry = open_registry(place)
    registry.state(name)
    print_events(registry.history(name).events(), as_json=as_json)


def show_diff(before: str, after: str, place: str, *, as_json: bool) -> None:
    """Two versions side by side."""
    registry = open_registry(place)
    print_diff(registry, _look_up(before, registry), _look_up(after, registry), as_json=as_json)


def show_catalogue_diff(
    models: tuple[str, str],
    place: str,
    catalogue: str,
    rows: int,
    options: "SampleOptions",
    html: Path | None,
    *,
    as_json: bool,
) -> None:
    """What two versions would label otherwise."""
    from worker.catalogue_diff.show import diff_and_show  # what labels takes a while to import

    registry = open_registry(place)
    before, after = (_look_up(model, registry) for model in models)
    old, new = (registry.path(one.model, one.version) for one in (before, after))
    diff_and_show(old, new, (str(before), str(after)), catalogue, rows, options, html, as_json=as_json)


def _promise(registry: Registry, name: str, version: int) -> str:
    """What a version promises by its own choice, in a sentence."""
    promise = registry.state(name).versions[version].promise
    if promise is None:
        return "An earlier Hangtag published it, and did not write down which precision it promises."
    if promise == promise_text(None):
        return "It promises no precision: all rows go to review, unless --threshold is asked for."
    return f"It promises precision {promise}."


def _named(model: str) -> tuple[str, str]:
    name, mark, which = model.rpartition("@")
    if not mark or not name or not which:
        msg = f"Expected a model's name and a version or an alias, such as shop@4 or shop@champion, got {model!r}."
        raise InputError(msg)
    return name, which


def _look_up(model: str, registry: Registry) -> VersionName:
    name, which = _named(model)
    return VersionName(name, registry.resolve(name, which))


def _tell(event: Event | None, done: str, before: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(event_record(event) if event else None, indent=1))
    else:
        say(done if event else before)


def _check_tracking(uri: str | None) -> None:
    """Refuse what MLflow cannot be told, before anything is changed.

    Raises:
        InputError: the URI is empty.
        MissingExtraError: MLflow's client is not installed.
    """
    if uri is None:
        return
    if not uri.strip():
        msg = "Expected the URI of an MLflow server after --mlflow, such as http://mlflow:5000, got nothing."
        raise InputError(msg)
    if find_spec("mlflow") is None:
        msg = "Telling MLflow needs its client; pip install 'hangtag[mlflow]'."
        raise MissingExtraError(msg)


def _track_aliases(uri: str | None, registry: Registry, name: str, removed: str | None = None) -> None:
    """Let a model's aliases on a server mean what they mean in the registry; ``removed`` may still be there."""
    if uri is None:
        return
    from worker.tracking import point_aliases

    try:
        point_aliases(uri, name, {**({removed: None} if removed else {}), **_aliases(registry, name)})
    except HangtagError as error:
        _say_untold(error, f"Repeat it with hangtag models promote {name}@{CHAMPION} --why repeated --mlflow URI")


def _aliases(registry: Registry, name: str) -> dict[str, int | None]:
    """The model's aliases; champion and challenger are None if it has none."""
    return {CHAMPION: None, CHALLENGER: None, **registry.state(name).aliases}


def _say_untold(error: HangtagError, advice: str) -> None:
    """A server that is away, or refuses, is said on stderr: the registry has changed by then."""
    text = f"The registry has changed, MLflow was not told of it. {error} {advice} when that is mended."
    Console(stderr=True).print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
