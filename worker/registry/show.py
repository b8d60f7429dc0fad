"""How models look on a terminal: the table of versions, the history, two versions side by side, what a change did."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from rich.markup import escape
from rich.table import Table

from models.bundle import Bundle, read_manifest
from models.decision import promise_text
from models.errors import HangtagError, InputError
from models.manifest import Measured, Variant
from models.registry.history import Event, What
from models.registry.registry import Registry
from models.registry.state import CHAMPION, State
from models.terminal import Console, print_table
from models.text import number_of

_MEGABYTE: Final = 1_000_000
_UNITS: Final = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3600), ("minute", 60))


class VersionName(NamedTuple):
    """A version that was looked up, such as ``shop@3``."""

    model: str
    version: int

    def __str__(self) -> str:
        """As people say it."""
        return f"{self.model}@{self.version}"


def look_up(model: str, registry: Registry) -> VersionName:
    """The version that a person names, by its number or an alias, such as ``shop@champion``.

    Raises:
        InputError: no version is named.
        RegistryError: there is no such model, version or alias.
    """
    name, _, which = model.rpartition("@")
    if not name or not which:
        msg = f"Expected a model's name and a version or an alias, such as shop@4 or shop@champion, got {model!r}."
        raise InputError(msg)
    return VersionName(name, registry.resolve(name, which))


def published_words(registry: Registry, version: VersionName, *, new: bool) -> str:
    """The result of publishing, for people."""
    names = [alias for alias, to in registry.state(version.model).aliases.items() if to == version.version]
    listed = f" ({', '.join(names)})" if names else ""
    place = f"{version}{listed}, in {registry.place}"
    advice = "" if CHAMPION in names else f"\nMake it the champion with: hangtag models promote {version}"
    return f"{'Published' if new else 'Was published before'}: {place}\n{promise_of(registry, version)}{advice}"


def promoted_words(registry: Registry, version: VersionName) -> str:
    """The result of a promotion, for people."""
    return f"{version} is the champion now. {promise_of(registry, version)}"


def restored_words(registry: Registry, version: VersionName) -> str:
    """The result of a rollback, for people."""
    return f"{version} is the champion again; later jobs take it. {promise_of(registry, version)}"


def promise_of(registry: Registry, version: VersionName) -> str:
    """A sentence on the precision that a version promises by default."""
    promise = registry.state(version.model).versions[version.version].promise
    if promise == promise_text(None):
        return "It promises no precision: all rows go to review, unless --threshold is asked for."
    return f"It promises precision {promise}."


def deleted_words(version: VersionName, state: State) -> str:
    """The result of a deletion, for people; ``state`` is the one after it."""
    way_back = set(state.champions) & set(state.versions) - {state.aliases.get(CHAMPION)}
    lost = version.version in state.champions and not way_back
    last = " It was the last that hangtag models rollback could go back to." if lost else ""
    return f"{version} is gone.{last}"


def ago(then: str, now: datetime) -> str:
    """Such as ``3 days ago``; ``then`` is ISO 8601, and may lie in the future by another machine's clock."""
    seconds = (now - datetime.fromisoformat(then)).total_seconds()
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{number_of(int(seconds // length), unit)} ago"
    return "just now"


def print_versions(registry: Registry, *, as_json: bool) -> None:
    """A table with a version a row, or a JSON list; a model that cannot be read is named on stderr."""
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
        Console().say(f"No models in {registry.place}; hangtag models publish BUNDLE --name NAME brings one there.")
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
    """The versions of one model, in order, as in ``--json``."""
    state = registry.state(name)
    aliases = {
        number: sorted(alias for alias, to in state.aliases.items() if to == number) for number in state.versions
    }
    return [
        {"model": name, "version": number, "aliases": aliases[number], **what.model_dump(mode="json")}
        for number, what in sorted(state.versions.items())
    ]


def accuracy_words(version: dict[str, Any]) -> str:
    """How right a version of :func:`versions_of` was, and on what: ``97.7% (216 out-of-fold)``."""
    return str(Measured.model_validate(version["measured"]))


def print_events(events: Sequence[Event], *, as_json: bool) -> None:
    """A table with an event a row, readable on 80 columns, the newest last, or a JSON object a line."""
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
    """What happened to a version."""
    return event.what.replace("_", " ") + (" by force" if event.forced else "")


def numbers_words(event: Event) -> str:
    """The figures that an event rested on."""
    return ", ".join(f"{name} {_short(value)}" for name, value in event.numbers.items())


def event_record(event: Event) -> dict[str, Any]:
    """An event as in ``--json``: without the state after it, except the aliases."""
    return {**event.model_dump(mode="json", exclude={"after"}), "aliases": event.after.aliases}


@dataclass(frozen=True)
class VersionDiff:
    """What tells two versions apart.

    Attributes:
        labels_added: classes that only the version after has.
        labels_removed: classes that only the version before has.
        settings: name, value before and value after, of those that differ and of the others.
        between: the model's events from the earlier version's publication to the later one's, the oldest first.
    """

    labels_added: tuple[str, ...]
    labels_removed: tuple[str, ...]
    settings: tuple[tuple[str, Any, Any], ...]
    between: tuple[Event, ...]

    @property
    def different(self) -> list[tuple[str, Any, Any]]:
        """The settings that differ."""
        return [setting for setting in self.settings if setting[1] != setting[2]]

    @property
    def same(self) -> list[str]:
        """Names of the settings that are the same in both."""
        return [name for name, before, after in self.settings if before == after]


def compare_versions(registry: Registry, before: VersionName, after: VersionName) -> VersionDiff:
    """Compare two versions by what their bundles and the history say; no photo is labelled.

    Raises:
        RegistryError: one of them does not exist.
        BundleError: one of them is damaged.
    """
    first, second = (read_manifest(registry.path(*name)) for name in (before, after))
    old_labels, new_labels = first.manifest.labels, second.manifest.labels
    old, new = _settings(first), _settings(second)
    return VersionDiff(
        labels_added=tuple(label for label in new_labels if label not in old_labels),
        labels_removed=tuple(label for label in old_labels if label not in new_labels),
        settings=tuple((name, old.get(name), new.get(name)) for name in dict.fromkeys([*old, *new])),
        between=tuple(_between(registry, before, after)),
    )


def print_diff(registry: Registry, before: VersionName, after: VersionName, *, as_json: bool) -> None:
    """Print :func:`compare_versions`, or a JSON object.

    Raises:
        RegistryError: one of them does not exist.
        BundleError: one of them is damaged.
    """
    diff = compare_versions(registry, before, after)
    if as_json:
        record: dict[str, Any] = {"before": str(before), "after": str(after)}
        record |= {"labels_added": diff.labels_added, "labels_removed": diff.labels_removed}
        record["settings"] = [{"name": name, "before": a, "after": b} for name, a, b in diff.settings]
        record["between"] = [event_record(event) for event in diff.between]
        print(json.dumps(record, indent=1))
        return
    Console().say(f"Labels added: {', '.join(diff.labels_added) or 'none'}")
    Console().say(f"Labels removed: {', '.join(diff.labels_removed) or 'none'}")
    table = _table("", str(before), str(after))
    for name, a, b in diff.different:
        table.add_row(escape(name), escape(value_words(name, a)), escape(value_words(name, b)))
    if table.rows:
        print_table(table, Console())
    Console().say(f"The same in both: {', '.join(diff.same) or 'nothing'}")
    if diff.between:
        Console().say("What happened between:")
        print_events(diff.between, as_json=False)


def _settings(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    settings: dict[str, Any] = {
        "architecture": manifest.arch,
        "labels": len(manifest.labels),
        "accuracy": str(manifest.measured),
        "default variant": manifest.default_variant,
        "default because": manifest.default_because,
        "variants": ", ".join(sorted(manifest.variants)),
        **{f"preprocess {name}": value for name, value in manifest.preprocess.model_dump(mode="json").items()},
    }
    for name, variant in sorted(manifest.variants.items()):
        settings |= {f"{name} {what}": value for what, value in _of_variant(bundle, variant).items()}
    return settings


def _of_variant(bundle: Bundle, variant: Variant) -> dict[str, Any]:
    ruling = variant.ruling.thresholds if variant.ruling else ()
    thresholds = [threshold for threshold in ruling if threshold is not None]
    return {
        "validation accuracy": variant.accuracy,
        "bytes": (bundle.path / variant.file).stat().st_size,
        "temperature": variant.temperature,
        "precision promised": promise_text(variant.precision),
        "lowest threshold": min(thresholds, default=None),
        "highest threshold": max(thresholds, default=None),
        "unknown limit": variant.unknown.limit if variant.unknown else None,
    }


def _between(registry: Registry, before: VersionName, after: VersionName) -> list[Event]:
    """The model's events from the earlier version's publication to the later one's, the oldest first."""
    if before.model != after.model:
        return []
    events = registry.history(before.model).events()
    started = {event.version: event.number for event in events if event.what is What.PUBLISHED}
    first, last = sorted((started[before.version], started[after.version]))
    return [event for event in events if first < event.number <= last]


def _table(*titles: str) -> Table:
    table = Table()
    for title in titles:
        table.add_column(title, justify="right" if title in {"version", "precision", "size"} else "left")
    return table


def value_words(name: str, value: object) -> str:
    """A setting's value for people."""
    if value is None:
        return "–"
    if name.endswith("accuracy") and isinstance(value, float):
        return f"{value:.1%}"
    return _short(value)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
