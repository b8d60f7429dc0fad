"""Verifies and publishes bundles, and prints models, versions and events of a registry."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any, Final, NamedTuple

from rich.markup import escape
from rich.table import Table

from models.bundle import read_manifest
from models.decision import promise_text
from models.errors import BundleError, HangtagError, InputError
from models.manifest import Measured
from models.reference import DEFAULT_REGISTRY
from models.registry.history import CHAMPION, Event
from models.registry.registry import Published, Registry, report_files
from models.terminal import Console, print_table
from models.text import number_of
from models.verify import verify_with_spinner

_TRAINING_FILES: Final = {"splits.csv": "splits.csv", "best.keras": "weights/best.keras", "args.json": "args.json"}
"""File names in the registry, and their paths in a training run."""
_MEGABYTE: Final = 1_000_000
_UNITS: Final = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3600), ("minute", 60))


class VersionName(NamedTuple):
    """An existing version, such as ``shop@3``."""

    model: str
    version: int

    def __str__(self) -> str:
        """As in ``shop@3``."""
        return f"{self.model}@{self.version}"


def look_up(model: str, registry: Registry) -> VersionName:
    """Find a version by its number or an alias (``shop@champion``)."""
    name, _, which = model.rpartition("@")
    if not name or not which:
        msg = f"Expected a model's name and a version or an alias, such as shop@4 or shop@champion, got {model!r}."
        raise InputError(msg)
    return VersionName(name, registry.resolve(name, which))


def publish_verified(registry: Registry, bundle: Path, name: str, run: Path | None, why: str) -> Published:
    """Verify a bundle and publish it. ``run``: folder of the training run."""
    training = _training_files(run, bundle) if run else {}
    verification = verify_with_spinner(bundle)
    if not verification.sound:
        fault = verification.faults[0]
        verify = f"hangtag verify {quote(str(bundle))}"
        msg = f"{bundle} was not published. {fault.subject}: {fault.detail}; {verify} shows all faults."
        raise BundleError(msg)
    manifest = read_manifest(bundle).manifest
    variant = manifest.variants[manifest.default_variant]
    numbers = {"accuracy": variant.accuracy, "precision": variant.precision}
    return registry.publish(name, bundle, why, numbers=numbers, training=training)


def _training_files(run: Path, bundle: Path) -> dict[str, Path]:
    files = {name: run / place for name, place in _TRAINING_FILES.items()}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        msg = f"Expected the training run of {bundle} at {run}, found no {missing[0]}."
        raise InputError(msg)
    manifest = read_manifest(bundle).manifest
    try:
        args = json.loads(files["args.json"].read_text(encoding="utf-8"))
        trained = (args["arch"], args["classes"], args["image_size"])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"Expected a run's args.json at {files['args.json']}, but it could not be read ({error!r})."
        raise InputError(msg) from error
    if trained != (manifest.arch, list(manifest.labels), manifest.preprocess.size):
        msg = f"Expected the run of {bundle}, but architecture, classes or image size of {run} differ."
        raise InputError(msg)
    return files | report_files(run)


def registry_option(registry: Registry) -> str:
    """The option that a command needs to find a registry elsewhere."""
    return "" if registry.place == str(Path(DEFAULT_REGISTRY).absolute()) else f" --registry {quote(registry.place)}"


def published_words(registry: Registry, version: VersionName, *, new: bool) -> str:
    """The result of publishing, as text."""
    names = [alias for alias, to in registry.state(version.model).aliases.items() if to == version.version]
    listed = f" ({', '.join(names)})" if names else ""
    place = f"{version}{listed}, in {registry.place}"
    label = f"Next: hangtag label PHOTOS --model {version.model}@{CHAMPION} --out labels.parquet"
    promote = f"Make it the champion with: hangtag models promote {version}"
    label, promote = (command + registry_option(registry) for command in (label, promote))
    advice = f"\n{label if CHAMPION in names else promote}"
    if registry.training(version.model, version.version, "splits.csv") is None:
        advice += "\nIt was published without its training run. For hangtag retrain, publish it again with --run RUN."
    return f"{'Published' if new else 'Was published before'}: {place}\n{promise_of(registry, version)}{advice}"


def promoted_words(registry: Registry, version: VersionName) -> str:
    """The result of a promotion, as text."""
    return f"{version} is the champion now. {promise_of(registry, version)}"


def restored_words(registry: Registry, version: VersionName) -> str:
    """The result of a rollback, as text."""
    stays = "Later jobs use it. A retraining without new data does not replace it."
    return f"{version} is the champion again. {stays} {promise_of(registry, version)}"


def promise_of(registry: Registry, version: VersionName) -> str:
    """The precision that a version promises, as a sentence."""
    promise = registry.state(version.model).versions[version.version].promise
    if promise == promise_text(None):
        return "It promises no precision: without --threshold, all rows go to review."
    return f"It promises precision {promise}."


def ago(then: str, now: datetime) -> str:
    """Text such as ``3 days ago``, or ``just now`` for a future time. ``then``: ISO 8601."""
    seconds = (now - datetime.fromisoformat(then)).total_seconds()
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{number_of(int(seconds // length), unit)} ago"
    return "just now"


def print_versions(registry: Registry, *, as_json: bool) -> None:
    """Print versions as a table or JSON; errors go to stderr."""
    versions: list[dict[str, Any]] = []
    for name in registry.names():
        try:
            versions += versions_of(registry, name)
        except (HangtagError, OSError) as error:
            Console(stderr=True).say(f"{name}: {error}", "red")
    if as_json:
        print(json.dumps(versions, indent=1))
        return
    if not versions:
        Console().say(f"No models in {registry.place}; publish one with hangtag models publish BUNDLE --name NAME.")
        return
    now = datetime.now(UTC)
    table = _table("model", "version", "aliases", "accuracy", "precision", "size", "published", "gate")
    for one in versions:
        aliases = ", ".join(one["aliases"])
        table.add_row(
            escape(one["model"]),
            str(one["version"]),
            f"[green]{aliases}[/green]" if CHAMPION in one["aliases"] else aliases,
            accuracy_words(one),
            one["promise"],
            f"{one['bytes'] / _MEGABYTE:,.2f} MB",
            ago(one["published_at"], now),
            "[red]refused[/red]" if one["refused"] else "",
        )
    print_table(table, Console(), spare=("size", "published", "gate"))


def versions_of(registry: Registry, name: str) -> list[dict[str, Any]]:
    """A model's versions in order, for ``--json``."""
    state = registry.state(name)
    aliases = {
        number: sorted(alias for alias, to in state.aliases.items() if to == number) for number in state.versions
    }
    return [
        {"model": name, "version": number, "aliases": aliases[number], **what.model_dump(mode="json")}
        for number, what in sorted(state.versions.items())
    ]


def accuracy_words(version: dict[str, Any]) -> str:
    """A version's measured accuracy, such as ``97.7% (216 out-of-fold)``. ``version``: from :func:`versions_of`."""
    return str(Measured.model_validate(version["measured"]))


def print_events(events: Sequence[Event], *, as_json: bool) -> None:
    """Print events, newest last: a table, or JSON lines."""
    if as_json:
        for event in events:
            print(json.dumps(event_record(event)))
        return
    table, now = _table("when, who", "what", "version", "why"), datetime.now(UTC)
    for event in events:
        done, numbers = done_words(event), numbers_words(event)
        table.add_row(
            escape(f"{ago(event.at, now)}\n{event.by}"),
            escape(f"{done}\nin cycle {event.cycle}" if event.cycle else done),
            str(event.version),
            escape("\n".join(filter(None, (event.why, numbers)))),
        )
    table.columns[1].no_wrap = True
    print_table(table, Console())


def done_words(event: Event) -> str:
    """The event's kind, as text."""
    return event.what.replace("_", " ") + (" by force" if event.forced else "")


def numbers_words(event: Event) -> str:
    """Text such as ``accuracy 0.977, precision 0.97``."""
    return ", ".join(f"{name} {_figure(value)}" for name, value in event.numbers.items() if value is not None)


def _figure(value: object) -> str:
    if isinstance(value, list):
        return " to ".join(map(_figure, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def event_record(event: Event) -> dict[str, Any]:
    """An event's fields in the output of ``--json``."""
    return {**event.model_dump(mode="json", exclude={"after"}), "aliases": event.after.aliases}


def _table(*titles: str) -> Table:
    table = Table()
    for title in titles:
        table.add_column(title, justify="right" if title in {"version", "precision", "size"} else "left")
    return table
