"""``hangtag doctor``: examines this machine, and advises on missing parts."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import distributions, requires, version
from typing import Final

from rich.markup import escape
from rich.table import Table

from models.errors import HangtagError, MissingExtraError
from models.process import this_machine
from models.terminal import Console, print_table
from models.text import number_of
from worker.queue.options import queue_settings

_EXTRAS: Final = {
    "train": "check, train, evaluate, export, retrain",
    "worker": "submit, worker, jobs, and the schedule of retrainings",
    "web": "the page and the HTTP API",
    "s3": "buckets",
    "mlflow": "logging to an MLflow server",
}
_QUICK_INT8: Final = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "dotprod", "i8mm"})
_REQUIREMENT: Final = re.compile(r"(?P<name>[\w.-]+).*extra == [\"'](?P<extra>\w+)[\"']")


class Health(StrEnum):
    """MISSING means absent, but needed by some commands only."""

    FINE = "fine"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """A result for one part: its name, its health, details, and advice (may be empty)."""

    what: str
    health: Health
    found: str
    do: str = ""


def examine(redis: str | None = None) -> list[Finding]:
    """Examine this machine, without changes. ``redis``: the URL of Redis, the only host that is contacted."""
    machine, python = this_machine(), ".".join(map(str, sys.version_info[:3]))
    known = f" ({', '.join(machine.instructions)})" if machine.instructions else ""
    quick = "int8 is quick here" if _QUICK_INT8 & {*machine.instructions} else "int8 gains little here"
    return [
        Finding("Hangtag", Health.FINE, f"{version('hangtag')} on Python {python}, {machine.system}"),
        Finding("Processor", Health.FINE, f"{machine.cpu}, {machine.cores} cores{known}: {quick}"),
        *_extras(),
        *_queue(redis),
    ]


def print_findings(findings: list[Finding], console: Console) -> None:
    """Print a table with a finding a row."""
    marks = {Health.FINE: "[green]✓[/green]", Health.MISSING: "[yellow]–[/yellow]", Health.WRONG: "[red]✗[/red]"}
    table = Table(show_header=False, box=None, pad_edge=False)
    for _ in ("mark", "what"):
        table.add_column(no_wrap=True)
    table.add_column()
    for one in findings:
        table.add_row(marks[one.health], one.what, escape(f"{one.found}. {one.do}".removesuffix(". ")))
    print_table(table, console)


def _extras() -> Iterator[Finding]:
    needed: dict[str, list[str]] = {extra: [] for extra in _EXTRAS}
    for line in requires("hangtag") or ():
        match = _REQUIREMENT.match(line)
        if match and match["extra"] in needed:
            needed[match["extra"]].append(match["name"])
    for extra, names in needed.items():
        if lacking := [name for name in names if not any(distributions(name=name))]:
            do = f"For {_EXTRAS[extra]}: pip install 'hangtag[{extra}]'"
            yield Finding(f"Extra {extra}", Health.MISSING, f"without {', '.join(lacking)}", do)
        else:
            yield Finding(f"Extra {extra}", Health.FINE, _EXTRAS[extra])


def _queue(url: str | None) -> Iterator[Finding]:
    try:
        settings = queue_settings(url)
    except HangtagError as error:
        health = Health.MISSING if isinstance(error, MissingExtraError) else Health.WRONG
        yield Finding("Redis", health, str(error).removesuffix("."))
        return
    from worker.queue.redis_state import RedisError, RedisState, connect

    named = url is not None or "HANGTAG_REDIS_URL" in os.environ
    state = RedisState(connect(settings))
    try:
        state.ping()
        details = f"{settings.redis_name} answers; {number_of(len(state.workers()), 'worker')} there"
        yield Finding("Redis", Health.FINE, details)
    except RedisError as error:
        do = "Start redis-server, or name a running one by --redis or HANGTAG_REDIS_URL; only queued labelling needs it"
        details = f"{settings.redis_name} does not answer: {str(error).removesuffix('.')}"
        yield Finding("Redis", Health.WRONG if named else Health.MISSING, details, do)
    finally:
        state.close()
