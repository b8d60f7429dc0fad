"""Which slots of a model were claimed, tried and done: files beside its versions, so that Redis may forget.

schedule/plan/000002.json               which schedule holds since when; slots before that are not asked for
schedule/20261122T030000Z.json          claimed: the first to write it lets the cycle run
schedule/20261122T030000Z.try1.json     a worker began with it, and how that went
schedule/20261122T030000Z.done.json     how it ended; nothing more happens for this slot
schedule/20261122T030000Z.tidied.json   the latest slot whose files were removed, long after it had ended
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from models.storage.storage import Storage
from models.text import numbered
from trainer.schedule.due_times import stamp_of, time_of

__all__ = ["FOLDER", "SKEW", "Claim", "Shelf", "SlotBook", "SlotEnd", "SlotStatus", "Try", "now_text"]

FOLDER: Final = "schedule"
_PLANS: Final = f"{FOLDER}/plan"
SKEW: Final = timedelta(minutes=5)
"""By how much clocks of machines may differ. What is later than this was written by a clock that was ahead."""

_STAMP: Final = len("20261122T030000Z")
_TIDIED: Final = re.compile(rf".{{{_STAMP}}}(\.try[0-9]+|\.done)?\.json")
_KEPT: Final = 100
_KEPT_FOR: Final = timedelta(days=30)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SlotStatus(StrEnum):
    """How a slot ended."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    NOTHING_NEW = "nothing_new"
    FAILED = "failed"


class _Plan(_Record):
    schedule: str
    since: str


class Claim(_Record):
    """A slot that a cycle runs for.

    Attributes:
        slot: its stamp.
        config: the file that asks for it.
        schedule: in that file.
        skipped: slots before it that nobody claimed, since no beat ran then or too many were open.
        at: when it was claimed, in UTC.
        by: host and process.
    """

    slot: str
    config: str
    schedule: str
    skipped: int
    at: str
    by: str


class Try(_Record):
    """A worker's try to run a slot's cycle.

    Attributes:
        number: from 1.
        at: when it began, in UTC.
        by: host and process.
        status: what the cycle's process left with; none as long as nobody knows, which is for ever where it died.
        reason: what it said last.
    """

    number: int
    at: str
    by: str
    status: int | None = None
    reason: str = ""


class SlotEnd(_Record):
    """How a slot ended.

    Attributes:
        slot: its stamp.
        status: of the cycle.
        tries: it took.
        at: when it ended, in UTC.
        reason: why it failed, or was refused.
        outcome: what the cycle itself says; none where it failed.
    """

    slot: str
    status: SlotStatus
    tries: int
    at: str
    reason: str = ""
    outcome: dict[str, Any] | None = None


@dataclass(frozen=True)
class Shelf:
    """What lies there at one moment.

    Attributes:
        claimed: stamps of slots, the oldest first.
        done: those of them that ended.
        tidied: the latest one that was tidied away; empty where none was.
    """

    claimed: tuple[str, ...]
    done: frozenset[str]
    tidied: str = ""

    @property
    def open(self) -> tuple[str, ...]:
        """Claimed and not done, the oldest first."""
        return tuple(stamp for stamp in self.claimed if stamp not in self.done)

    def last(self, now: datetime) -> datetime | None:
        """The latest slot that was claimed, of those that are not ahead."""
        return max((time for stamp in self.claimed if (time := time_of(stamp)) and time <= now + SKEW), default=None)

    def ahead(self, now: datetime) -> tuple[str, ...]:
        """Claimed by a beat whose clock was ahead: such a slot has had its run, and those before it have not."""
        return tuple(stamp for stamp in self.claimed if stamp > stamp_of(now + SKEW))

    def may_claim(self, stamp: str) -> bool:
        """Whether nobody has claimed a slot: neither lies its claim here, nor may that have been tidied away."""
        return stamp not in self.claimed and stamp > self.tidied


class SlotBook:
    """The slots of one model.

    Args:
        storage: the model's folder in the registry.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def plan(self, schedule: str, now: datetime) -> datetime:
        """Since when a schedule holds: ``now`` if it is a new one, or if a clock that was ahead wrote it down."""
        while True:
            last = max(numbered(self._storage.names(_PLANS), ".json"), default=0)
            if last:
                plan = _Plan.model_validate_json(self._storage.read(f"{_PLANS}/{last:06d}.json"))
                since = datetime.fromisoformat(plan.since)
                if plan.schedule == schedule and since <= now + SKEW:
                    return since
            plan = _Plan(schedule=schedule, since=now.isoformat(timespec="seconds"))
            if self._storage.commit(f"{_PLANS}/{last + 1:06d}.json", _bytes(plan)):
                return datetime.fromisoformat(plan.since)

    def look(self) -> Shelf:
        """What lies there now."""
        names = self._storage.names(FOLDER)
        tidied = max(_stamps(names, ".tidied.json"), default="")
        return Shelf(tuple(_stamps(names, ".json")), frozenset(_stamps(names, ".done.json")), tidied)

    def claim(self, claim: Claim) -> bool:
        """Claim a slot; ``False`` when somebody was quicker."""
        return self._storage.commit(f"{FOLDER}/{claim.slot}.json", _bytes(claim))

    def claim_of(self, stamp: str) -> Claim:
        """Who claimed a slot, and for which config.

        Raises:
            FileNotFoundError: nobody did.
        """
        return Claim.model_validate_json(self._storage.read(f"{FOLDER}/{stamp}.json"))

    def hand_over(self, claim: Claim, config: str) -> Claim:
        """Give a slot to another config, since the one that it was claimed for is gone."""
        mine = claim.model_copy(update={"config": config})
        self._storage.replace(f"{FOLDER}/{claim.slot}.json", _bytes(mine))
        return mine

    def is_open(self, stamp: str) -> bool:
        """Whether a slot is claimed and not done."""
        return self._storage.exists(f"{FOLDER}/{stamp}.json") and self.end_of(stamp) is None

    def end_of(self, stamp: str) -> SlotEnd | None:
        """How a slot ended."""
        try:
            return SlotEnd.model_validate_json(self._storage.read(f"{FOLDER}/{stamp}.done.json"))
        except FileNotFoundError:
            return None

    def tries(self, stamp: str) -> list[Try]:
        """The tries of a slot, in order."""
        start = f"{stamp}.try"
        said = [name.removeprefix(start) for name in self._storage.names(FOLDER) if name.startswith(start)]
        names = [f"{start}{number}.json" for number in numbered(said, ".json", width=1)]
        found = [Try.model_validate_json(self._storage.read(f"{FOLDER}/{name}")) for name in names]
        return sorted(found, key=lambda attempt: attempt.number)

    def write_try(self, stamp: str, attempt: Try) -> None:
        """Note a try, or how it went; only who holds the lock of the model's slots does so."""
        self._storage.replace(_try_key(stamp, attempt.number), _bytes(attempt))

    def drop_try(self, stamp: str, attempt: Try) -> None:
        """A try that was none: the worker was told to stop, or another cycle ran."""
        self._storage.delete(_try_key(stamp, attempt.number))

    def end(self, end: SlotEnd) -> bool:
        """Note how a slot ended; ``False`` when that is known already."""
        return self._storage.commit(f"{FOLDER}/{end.slot}.done.json", _bytes(end))

    def tidy(self, now: datetime) -> None:
        """Remove what lies there of slots that ended long ago."""
        shelf = self.look()
        before, kept = stamp_of(now - _KEPT_FOR), set(shelf.claimed[-_KEPT:])
        old = {stamp for stamp in shelf.done - kept if stamp < before}
        if not old:
            return
        self._note_tidied(shelf.tidied, max(old))
        names = [name for name in self._storage.names(FOLDER) if _TIDIED.fullmatch(name) and name[:_STAMP] in old]
        # its end goes last: a slot that is claimed, and whose end is gone, would run again
        for name in sorted(names, key=lambda name: name.endswith(".done.json")):
            self._storage.delete(f"{FOLDER}/{name}")

    def _note_tidied(self, before: str, latest: str) -> None:
        """Note up to which slot nothing lies there any more, so that no beat whose clock is behind claims one again."""
        if before < latest:
            self._storage.replace(f"{FOLDER}/{latest}.tidied.json", b"{}")
            if before:
                self._storage.delete(f"{FOLDER}/{before}.tidied.json")


def _stamps(names: list[str], suffix: str) -> list[str]:
    """The stamps of slots that have a file with this suffix, in order; whatever else lies there is nobody's."""
    return sorted(stem for name in names if name.endswith(suffix) and time_of(stem := name.removesuffix(suffix)))


def _try_key(stamp: str, number: int) -> str:
    return f"{FOLDER}/{stamp}.try{number}.json"


def _bytes(record: _Record) -> bytes:
    return record.model_dump_json(indent=1).encode()


def now_text() -> str:
    """Now, in UTC, for files."""
    return datetime.now(UTC).isoformat(timespec="seconds")
