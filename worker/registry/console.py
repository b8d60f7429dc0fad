"""How models look on a terminal."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from models.bundle import Bundle, read_manifest
from models.decision import promise_text, thresholds_for
from models.errors import HangtagError
from models.manifest import Variant
from models.registry.history import CHAMPION, Event, What
from models.registry.registry import Registry
from models.registry.state import State, VersionState
from models.terminal import Console

__all__ = [
    "ListedVersion",
    "Setting",
    "VersionDiff",
    "VersionName",
    "ago",
    "diff_versions",
    "event_record",
    "list_versions",
    "print_diff",
    "print_events",
    "print_versions",
    "say",
    "versions_of",
]


@dataclass(frozen=True)
class VersionName:
    """A version that was looked up, such as ``shop@3``."""

    model: str
    version: int

    def __str__(self) -> str:
        """As people say it."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True)
class Setting:
    """Something that each version has its own value of; none where one of them has none."""

    name: str
    before: Any
    after: Any

    @property
    def same(self) -> bool:
        """Whether nothing changed."""
        return bool(self.before == self.after)


@dataclass(frozen=True)
class VersionDiff:
    """Two versions side by side.

    Attributes:
        before, after: which ones.
        labels_added: that only ``after`` knows, in its order.
        labels_removed: that only ``before`` knows, in its order.
        settings: accuracies, sizes, variants, preprocessing and the rest, those that are equal too.
        between: what happened to the model after the earlier one of both was published, up to when the later one was,
            the oldest first; empty where they are of two models.
    """

    before: VersionName
    after: VersionName
    labels_added: tuple[str, ...]
    labels_removed: tuple[str, ...]
    settings: tuple[Setting, ...]
    between: tuple[Event, ...]


def diff_versions(registry: Registry, before: VersionName, after: VersionName) -> VersionDiff:
    """Compare two versions by what their bundles and the history say; no photo is labelled.

    Raises:
        RegistryError: one of them is not there.
        BundleError: one of them is damaged.
    """
    first, second = (read_manifest(registry.path(name.model, name.version)) for name in (before, after))
    old, new = first.manifest.labels, second.manifest.labels
    settings, others = _settings(first), _settings(second)
    names = [*settings, *(name for name in others if name not in settings)]
    return VersionDiff(
        before=before,
        after=after,
        labels_added=tuple(label for label in new if label not in old),
        labels_removed=tuple(label for label in old if label not in new),
        settings=tuple(Setting(name, settings.get(name), others.get(name)) for name in names),
        between=_between(registry, before, after),
    )


def _settings(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    found: dict[str, Any] = {
        "architecture": manifest.arch,
        "labels": len(manifest.labels),
        "test accuracy": manifest.accuracy,
        "default variant": manifest.default_variant,
        "variants": ", ".join(sorted(manifest.variants)),
        **{f"preprocess {name}": value for name, value in manifest.preprocess.model_dump(mode="json").items()},
    }
    for name, variant in sorted(manifest.variants.items()):
        found |= {f"{name} {what}": value for what, value in _of_variant(bundle, name, variant).items()}
    return found


def _of_variant(bundle: Bundle, name: str, variant: Variant) -> dict[str, Any]:
    ruling = thresholds_for(bundle.manifest.metadata(name), None)
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


def _between(registry: Registry, before: VersionName, after: VersionName) -> tuple[Event, ...]:
    if before.model != after.model:
        return ()
    events = registry.history(before.model).events()
    started = {event.version: event.number for event in events if event.what is What.PUBLISHED}
    first, last = sorted((started[before.version], started[after.version]))
    return tuple(event for event in events if first < event.number <= last)


@dataclass(frozen=True)
class ListedVersion:
    """A version of a model.

    Attributes:
        model: its name.
        version: its number.
        aliases: that mean it.
        accuracy: of the default variant, on the validation photos of its training.
        bytes: of the default variant's ONNX file.
        published_at: in UTC, ISO 8601.
        refused: why a gate refused it; empty where none did.
        digest: of its bundle.
        promise: the precision that it promises by its own choice, or ``none``; nothing where that is not known.
    """

    model: str
    version: int
    aliases: tuple[str, ...]
    accuracy: float | None
    bytes: int | None
    published_at: str
    refused: tuple[str, ...]
    digest: str
    promise: str | None


def list_versions(registry: Registry, damaged: Callable[[str], None]) -> list[ListedVersion]:
    """All versions of all models, in order.

    Args:
        registry: to look in.
        damaged: is told of a model whose history cannot be read; the others are listed all the same.
    """
    found: list[ListedVersion] = []
    for name in registry.names():
        try:
            found += versions_of(name, registry.state(name))
        except (HangtagError, OSError) as error:
            damaged(f"{name}: {error}")
    return found


def versions_of(name: str, state: State) -> list[ListedVersion]:
    """The versions of one model, in order."""
    return [_listed(name, number, what, state) for number, what in sorted(state.versions.items())]


def _listed(name: str, number: int, what: VersionState, state: State) -> ListedVersion:
    aliases = tuple(sorted(alias for alias, to in state.aliases.items() if to == number))
    return ListedVersion(
        model=name,
        version=number,
        aliases=aliases,
        accuracy=what.accuracy,
        bytes=what.bytes,
        published_at=what.published_at,
        refused=what.refused,
        digest=what.digest,
        promise=what.promise,
    )


_UNITS: Final = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3600), ("minute", 60))


def ago(then: str, now: datetime) -> str:
    """Such as ``3 days ago``.

    Args:
        then: in ISO 8601, with its offset from UTC; clocks of two machines may make it lie ahead.
        now: with a time zone.
    """
    seconds = (now - datetime.fromisoformat(then)).total_seconds()
    for unit, length in _UNITS:
        count = int(seconds // length)
        if count > 0:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


_MEGABYTE = 1_000_000
_WHO = 24
"""Columns of a terminal of 80 for when and who; the reasons have what is left."""


def say(text: str) -> None:
    """A line to a person; nothing in it is markup."""
    Console().print(text, markup=False, highlight=False, soft_wrap=True)


def print_versions(versions: Sequence[ListedVersion], place: str, *, as_json: bool) -> None:
    """A table with a version a row, or a JSON list."""
    if as_json:
        print(json.dumps([asdict(version) for version in versions], indent=1))
        return
    if not versions:
        say(f"No models in {place}; hangtag models publish BUNDLE --name NAME brings one there.")
        return
    table, now = (
        _table("model", "version", "aliases", "validation", "precision", "size", "published", "gate"),
        datetime.now(UTC),
    )
    for one in versions:
        table.add_row(
            escape(one.model),
            str(one.version),
            f"[green]{', '.join(one.aliases)}[/green]" if CHAMPION in one.aliases else ", ".join(one.aliases),
            "" if one.accuracy is None else f"{one.accuracy:.1%}",
            one.promise or "",
            "" if one.bytes is None else f"{one.bytes / _MEGABYTE:,.2f} MB",
            ago(one.published_at, now),
            "[red]refused[/red]" if one.refused else "",
        )
    Console().print(table)


def print_events(events: Sequence[Event], *, as_json: bool) -> None:
    """A table with an event a row, readable on 80 columns, the newest last, or a JSON object a line."""
    if as_json:
        for event in events:
            print(json.dumps(event_record(event)))
        return
    table, now = _table("when, who", "what", "version", "why"), datetime.now(UTC)
    for event in events:
        done = event.what.replace("_", " ") + (" by force" if event.forced else "")
        numbers = ", ".join(f"{name} {_short(value)}" for name, value in event.numbers.items())
        table.add_row(
            escape(f"{ago(event.at, now)}\n{event.by}"),
            escape(f"{done}\nin cycle {event.cycle}" if event.cycle else done),
            str(event.version),
            escape(f"{event.why}\n{numbers}" if numbers else event.why),
        )
    table.columns[0].max_width = _WHO
    table.columns[1].no_wrap = True
    Console().print(table)


def event_record(event: Event) -> dict[str, Any]:
    """An event as ``--json`` tells it: without all that holds after it, but for the aliases."""
    return {**event.model_dump(mode="json", exclude={"after"}), "aliases": event.after.aliases}


def print_diff(diff: VersionDiff, *, as_json: bool) -> None:
    """What changed, and what happened between."""
    if as_json:
        record = {**asdict(diff), "before": str(diff.before), "after": str(diff.after)}
        print(json.dumps({**record, "between": [event_record(event) for event in diff.between]}, indent=1))
        return
    say(f"Labels added: {', '.join(diff.labels_added) or 'none'}")
    say(f"Labels removed: {', '.join(diff.labels_removed) or 'none'}")
    changed = [setting for setting in diff.settings if not setting.same]
    table = _table("", str(diff.before), str(diff.after))
    for setting in changed:
        table.add_row(escape(setting.name), _value(setting, setting.before), _value(setting, setting.after))
    if changed:
        Console().print(table)
    say(f"The same in both: {', '.join(setting.name for setting in diff.settings if setting.same) or 'nothing'}")
    if diff.between:
        say("What happened between:")
        print_events(diff.between, as_json=False)


def _table(*titles: str) -> Table:
    table = Table()
    for title in titles:
        right = title in {"version", "validation", "precision", "size"}
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    return table


def _value(setting: Setting, value: object) -> str:
    if value is None:
        return "–"
    if setting.name.endswith("accuracy") and isinstance(value, float):
        return f"{value:.1%}"
    return escape(_short(value))


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
