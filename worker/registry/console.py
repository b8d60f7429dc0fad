"""How models look on a terminal."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from models.registry_history import CHAMPION, Event
from models.terminal import Console
from worker.registry.age import ago
from worker.registry.diff import Setting, VersionDiff
from worker.registry.listing import ListedVersion

__all__ = ["event_record", "print_diff", "print_events", "print_versions", "say"]

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
