"""What the commands of ``hangtag models`` do, and what they say."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from rich.markup import escape

from models.bundle import read_manifest
from models.decision import promise_text
from models.errors import BundleError, HangtagError, InputError, MissingExtraError
from models.registry.history import CHALLENGER, CHAMPION, Event
from models.registry.registry import Published, Registry, open_registry
from models.terminal import Console
from models.verify import verify
from worker.registry.console import (
    VersionName,
    diff_versions,
    event_record,
    list_versions,
    print_diff,
    print_events,
    print_versions,
    say,
)

if TYPE_CHECKING:
    from worker.catalogue_diff.sample import SampleOptions


__all__ = [
    "PublishRequest",
    "check_tracking",
    "delete_version",
    "list_models",
    "move_alias",
    "promote_version",
    "publish_bundle",
    "roll_back",
    "show_catalogue_diff",
    "show_diff",
    "show_history",
    "track_aliases",
    "track_version",
    "training_files",
]


_FILES: Final[Mapping[str, str]] = MappingProxyType(
    {"splits.csv": "splits.csv", "best.keras": "weights/best.keras", "args.json": "args.json"}
)
"""Name in the registry → place in the run's folder."""


def training_files(run: Path, bundle: Path) -> dict[str, Path]:
    """The files of a run that are kept beside its bundle.

    Args:
        run: the folder of the run that the bundle was exported of.
        bundle: its folder.

    Raises:
        InputError: the run lacks one, or is of other classes, another architecture or other preprocessing.
        BundleError: there is no bundle.
    """
    found = {name: run / place for name, place in _FILES.items()}
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
    of_bundle = (manifest.arch, list(manifest.labels), manifest.preprocess.size)
    if of_run != of_bundle:
        msg = (
            f"Expected the run that {bundle} was exported of, {run} has another architecture, other classes or another "
            "image size."
        )
        raise InputError(msg)
    return found


def check_tracking(uri: str | None) -> None:
    """Refuse what cannot be told, before anything is changed.

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


def track_version(uri: str, shelf: Registry, name: str, version: int, bundle: Path, run: Path | None) -> None:
    """Tell a server of a version that is published, and of the model's aliases.

    Args:
        uri: of the server. One that is away, or refuses, is said on stderr: the registry has changed by then.
        shelf: the registry.
        name: of the model.
        version: its number.
        bundle: its folder.
        run: that it was exported of; none where it is not known.
    """
    from worker.tracking import publish_bundle  # Hangtag does without MLflow otherwise

    try:
        publish_bundle(uri, bundle, name, run, version, _aliases(shelf, name))
    except HangtagError as error:
        _say_untold(error, "Give the same command again")


def track_aliases(uri: str, shelf: Registry, name: str, removed: str | None = None) -> None:
    """Let a model's aliases on a server mean what they mean in the registry.

    Args:
        uri: see :func:`track_version`.
        shelf: the registry.
        name: of the model.
        removed: an alias that may still be there, and not here.
    """
    from worker.tracking import point_aliases

    try:
        point_aliases(uri, name, {**({removed: None} if removed else {}), **_aliases(shelf, name)})
    except HangtagError as error:
        _say_untold(error, f"Repeat it with hangtag models promote {name}@{CHAMPION} --why repeated --mlflow URI")


def _aliases(shelf: Registry, name: str) -> dict[str, int | None]:
    """Those that the model has, and those of a cycle that it has not."""
    return {CHAMPION: None, CHALLENGER: None, **shelf.state(name).aliases}


def _say_untold(error: HangtagError, advice: str) -> None:
    text = f"The registry has changed, MLflow was not told of it. {error} {advice} when that is mended."
    Console(stderr=True).print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


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
    errors = Console(stderr=True)
    shelf = open_registry(registry)
    versions = list_versions(shelf, lambda text: errors.print(text, style="red", markup=False, soft_wrap=True))
    print_versions(versions, shelf.place, as_json=as_json)


def publish_bundle(request: PublishRequest, registry: str, *, as_json: bool) -> None:
    """Verify a bundle, keep it as a version, and say how to go on."""
    check_tracking(request.mlflow)
    shelf = open_registry(registry)
    training = training_files(request.run, request.bundle) if request.run else {}
    _verify(request.bundle)
    alias = None if request.alias == CHAMPION else request.alias
    manifest = read_manifest(request.bundle).manifest
    variant = manifest.variants[manifest.default_variant]
    numbers = {"accuracy": variant.accuracy, "precision": variant.precision}
    published = shelf.publish(
        request.name, request.bundle, request.why, numbers=numbers, training=training, alias=alias
    )
    if alias is not None and not published.new:
        shelf.alias(request.name, published.version, alias, request.why)
    if request.alias == CHAMPION:
        shelf.promote(request.name, published.version, request.why)
    _tell_published(shelf, request, published, as_json=as_json)
    if request.mlflow is not None:
        track_version(request.mlflow, shelf, request.name, published.version, request.bundle, request.run)


def _verify(bundle: Path) -> None:
    with Console(stderr=True).status("Verifying") as status:
        found = verify(bundle, lambda what: status.update(f"Verifying {escape(what)}"))
    if not found.sound:
        fault = found.faults[0]
        msg = f"{bundle} is refused, {fault.subject}: {fault.detail}; hangtag verify {bundle} shows all that is wrong."
        raise BundleError(msg)


def _tell_published(shelf: Registry, request: PublishRequest, published: Published, *, as_json: bool) -> None:
    said = f"{request.name}@{published.version}"
    aliases = [alias for alias, to in shelf.state(request.name).aliases.items() if to == published.version]
    if as_json:
        record = {"model": request.name, "version": published.version, "new": published.new, "aliases": aliases}
        print(json.dumps(record, indent=1))
        return
    names = f" ({', '.join(aliases)})" if aliases else ""
    say(f"{'Published' if published.new else 'Was published before'}: {said}{names}, in {shelf.place}")
    say(_promise(shelf, request.name, published.version))
    if CHAMPION not in aliases:
        say(f"Make it the champion with: hangtag models promote {said} --why TEXT")


def promote_version(model: str, why: str, registry: str, mlflow: str | None, *, force: bool, as_json: bool) -> None:
    """Make a version the champion."""
    check_tracking(mlflow)
    shelf = open_registry(registry)
    name = _look_up(model, shelf)
    event = shelf.promote(name.model, name.version, why, force=force)
    promise = _promise(shelf, name.model, name.version)
    _tell(event, f"{name} is the champion now. {promise}", f"{name} is the champion already.", as_json=as_json)
    if mlflow is not None:
        track_aliases(mlflow, shelf, name.model)


def roll_back(name: str, why: str, registry: str, mlflow: str | None, *, as_json: bool) -> None:
    """Make the earlier champion the champion again."""
    check_tracking(mlflow)
    shelf = open_registry(registry)
    event = shelf.rollback(name, why)
    _tell(
        event,
        f"{name}@{event.version} is the champion again; what is submitted from now on takes it. "
        f"{_promise(shelf, name, event.version)}",
        "",
        as_json=as_json,
    )
    if mlflow is not None:
        track_aliases(mlflow, shelf, name)


def move_alias(
    model: str, alias: str, why: str, registry: str, mlflow: str | None, *, remove: bool, as_json: bool
) -> None:
    """Let an alias mean a version, or take it away."""
    check_tracking(mlflow)
    shelf = open_registry(registry)
    name = _look_up(model, shelf)
    act = shelf.remove_alias if remove else shelf.alias
    event = act(name.model, name.version, alias, why)
    done = f"{alias} means no version of {name.model} any more." if remove else f"{alias} means {name} now."
    _tell(event, done, f"{alias} means {name} already.", as_json=as_json)
    if mlflow is not None:
        track_aliases(mlflow, shelf, name.model, alias if remove else None)


def delete_version(model: str, why: str, registry: str, *, as_json: bool) -> None:
    """Take a version away."""
    shelf = open_registry(registry)
    name = _named(model)
    if not name[1].isdecimal():
        msg = f"Expected a version by its number, such as {name[0]}@2, got {model}: an alias may move at any moment."
        raise InputError(msg)
    event = shelf.delete(name[0], int(name[1]), why)
    done = f"{model} is gone."
    if event is not None and int(name[1]) in event.after.champions and not _ways_back(event):
        done += " It was the last that hangtag models rollback could go back to."
    _tell(event, done, f"{model} was deleted before.", as_json=as_json)


def _ways_back(event: Event) -> set[int]:
    """Versions that were champion before, and are still there."""
    state = event.after
    return {version for version in state.champions if version in state.versions} - {state.aliases.get(CHAMPION)}


def show_history(name: str, registry: str, *, as_json: bool) -> None:
    """What happened to a model, the newest last."""
    shelf = open_registry(registry)
    shelf.state(name)
    print_events(shelf.history(name).events(), as_json=as_json)


def show_diff(before: str, after: str, registry: str, *, as_json: bool) -> None:
    """Two versions side by side."""
    shelf = open_registry(registry)
    print_diff(diff_versions(shelf, _look_up(before, shelf), _look_up(after, shelf)), as_json=as_json)


def show_catalogue_diff(
    models: tuple[str, str],
    registry: str,
    catalogue: str,
    rows: int,
    options: "SampleOptions",
    html: Path | None,
    *,
    as_json: bool,
) -> None:
    """What two versions would label otherwise."""
    from worker.catalogue_diff.show import diff_and_show  # what labels takes a while to import

    shelf = open_registry(registry)
    before, after = (_look_up(model, shelf) for model in models)
    old, new = (shelf.path(one.model, one.version) for one in (before, after))
    diff_and_show(old, new, (str(before), str(after)), catalogue, rows, options, html, as_json=as_json)


def _promise(shelf: Registry, name: str, version: int) -> str:
    """What a version promises by its own choice, in a sentence."""
    promise = shelf.state(name).versions[version].promise
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


def _look_up(model: str, shelf: Registry) -> VersionName:
    name, which = _named(model)
    return VersionName(name, shelf.resolve(name, which))


def _tell(event: Event | None, done: str, before: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(event_record(event) if event else None, indent=1))
    else:
        say(done if event else before)
