"""What the commands of ``hangtag models`` do and print."""

import json
from pathlib import Path
from shlex import quote
from typing import Final

from models.bundle import read_manifest
from models.decision import promise_text
from models.errors import BundleError, InputError
from models.registry.history import Event
from models.registry.publish import report_files
from models.registry.registry import Registry
from models.registry.state import CHAMPION
from models.terminal import Console
from models.verify import verify_with_spinner
from worker.registry.console import VersionName, event_record

_TRAINING_FILES: Final = {"splits.csv": "splits.csv", "best.keras": "weights/best.keras", "args.json": "args.json"}
"""Name in the registry → place in the run's folder."""


def publish_bundle(
    registry: Registry,
    bundle: Path,
    name: str,
    run: Path | None,
    why: str,
    alias: str | None,
    *,
    as_json: bool,
) -> None:
    """Verify a bundle, publish it under ``alias``, and say how to go on.

    The files that a retraining starts from are copied from ``run``, the bundle's training.
    """
    training = _training_files(run, bundle) if run else {}
    found = verify_with_spinner(bundle)
    if not found.sound:
        fault = found.faults[0]
        verify = f"hangtag verify {quote(str(bundle))}"
        msg = f"{bundle} is refused, {fault.subject}: {fault.detail}; {verify} shows all that is wrong."
        raise BundleError(msg)
    manifest = read_manifest(bundle).manifest
    variant = manifest.variants[manifest.default_variant]
    numbers = {"accuracy": variant.accuracy, "precision": variant.precision}
    own = None if alias == CHAMPION else alias
    published = registry.publish(name, bundle, why, numbers=numbers, training=training, alias=own)
    version = VersionName(name, published.version)
    if own is not None and not published.new:
        registry.alias(*version, own, why)
    if alias == CHAMPION:
        registry.promote(*version, why)
    _tell_published(registry, version, new=published.new, as_json=as_json)


def _training_files(run: Path, bundle: Path) -> dict[str, Path]:
    """The files of a run that a retraining starts from, by the names under which they are kept beside the bundle.

    Raises:
        InputError: the run lacks one, or has other classes, another architecture or other preprocessing.
        BundleError: it is not a bundle.
    """
    found = {name: run / place for name, place in _TRAINING_FILES.items()}
    missing = [str(path) for path in found.values() if not path.is_file()]
    if missing:
        msg = f"Expected the run behind {bundle} at {run}, found no {missing[0]}."
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
            f"Expected the run behind {bundle}, but {run} has another architecture, other classes or another image "
            "size."
        )
        raise InputError(msg)
    return found | report_files(run)


def _tell_published(registry: Registry, version: VersionName, *, new: bool, as_json: bool) -> None:
    aliases = [alias for alias, to in registry.state(version.model).aliases.items() if to == version.version]
    if as_json:
        print(
            json.dumps({"model": version.model, "version": version.version, "new": new, "aliases": aliases}, indent=1)
        )
        return
    names = f" ({', '.join(aliases)})" if aliases else ""
    Console().say(f"{'Published' if new else 'Was published before'}: {version}{names}, in {registry.place}")
    Console().say(_promise(registry, version))
    if CHAMPION not in aliases:
        Console().say(f"Make it the champion with: hangtag models promote {version}")


def promote_version(registry: Registry, model: str, why: str, *, force: bool, as_json: bool) -> None:
    """Make a version the champion."""
    version = look_up(model, registry)
    event = registry.promote(*version, why, force=force)
    _tell(event, promoted_words(registry, version), f"{version} is the champion already.", as_json=as_json)


def roll_back(registry: Registry, name: str, why: str, *, as_json: bool) -> None:
    """Restore the previous champion."""
    event = registry.rollback(name, why)
    version = VersionName(name, event.version)
    _tell(event, restored_words(registry, version), "", as_json=as_json)


def promoted_words(registry: Registry, version: VersionName) -> str:
    """The result of a promotion, for people."""
    return f"{version} is the champion now. {_promise(registry, version)}"


def restored_words(registry: Registry, version: VersionName) -> str:
    """The result of a rollback, for people."""
    promise = _promise(registry, version)
    return f"{version} is the champion again; later jobs take it. {promise}"


def move_alias(registry: Registry, model: str, alias: str, why: str, *, remove: bool, as_json: bool) -> None:
    """Point an alias at a version, or remove it."""
    version = look_up(model, registry)
    act = registry.remove_alias if remove else registry.alias
    event = act(*version, alias, why)
    done = f"{version.model} has no alias {alias} any more." if remove else f"{alias} means {version} now."
    _tell(event, done, f"{alias} means {version} already.", as_json=as_json)


def delete_version(registry: Registry, model: str, why: str, *, as_json: bool) -> None:
    """Delete a version."""
    name, which = _named(model)
    if not which.isdecimal():
        msg = f"Expected a version by its number, such as {name}@2, got {model}: an alias may move at any moment."
        raise InputError(msg)
    event = registry.delete(name, int(which), why)
    done = f"{model} is gone."
    if event is not None and int(which) in event.after.champions:
        state = event.after
        if not set(state.champions) & set(state.versions) - {state.aliases.get(CHAMPION)}:
            done += " It was the last that hangtag models rollback could go back to."
    _tell(event, done, f"{model} was deleted before.", as_json=as_json)


def _promise(registry: Registry, version: VersionName) -> str:
    """A sentence on the precision that a version promises by default."""
    promise = registry.state(version.model).versions[version.version].promise
    if promise is None:
        return "An earlier Hangtag published it, and did not record which precision it promises."
    if promise == promise_text(None):
        return "It promises no precision: all rows go to review, unless --threshold is asked for."
    return f"It promises precision {promise}."


def _named(model: str) -> tuple[str, str]:
    name, mark, which = model.rpartition("@")
    if not mark or not name or not which:
        msg = f"Expected a model's name and a version or an alias, such as shop@4 or shop@champion, got {model!r}."
        raise InputError(msg)
    return name, which


def look_up(model: str, registry: Registry) -> VersionName:
    """The version that a person names, by its number or an alias, such as ``shop@champion``."""
    name, which = _named(model)
    return VersionName(name, registry.resolve(name, which))


def _tell(event: Event | None, done: str, before: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(event_record(event) if event else None, indent=1))
    else:
        Console().say(done if event else before)
