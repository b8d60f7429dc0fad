"""The due times of a model that were claimed, tried and done, as files beside its versions: Redis may lose its data.

schedule/plan/000002.json               which schedule holds since when; due times before that are not asked for
schedule/20261122T030000Z.json          claimed: the first to write it lets the cycle run
schedule/20261122T030000Z.try1.json     a worker began with it, and how that went
schedule/20261122T030000Z.done.json     how it ended; nothing more happens for this due time
schedule/20261122T030000Z.tidied.json   the latest due time whose files were removed, long after it had ended

A due time is called a slot in these files and in the log.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from models.storage.storage import Storage
from models.text import numbered
from trainer.retrain.cycle_folder import CycleRecord, CycleStatus
from trainer.schedule.due_times import stamp_of, time_of

FOLDER: Final = "schedule"
_PLANS: Final = f"{FOLDER}/plan"
SKEW: Final = timedelta(minutes=5)
"""How far clocks of machines may differ. A later time was written by a clock that was ahead."""

_STAMP: Final = len("20261122T030000Z")
_TIDIED: Final = re.compile(rf".{{{_STAMP}}}(\.try[0-9]+|\.done)?\.json")
_KEPT: Final = 100
_KEPT_FOR: Final = timedelta(days=30)


class _Plan(CycleRecord):
    schedule: str
    since: datetime


class Claim(CycleRecord):
    """A due time (its stamp) that a cycle runs for: claimed ``at`` a time in UTC, ``by`` a host and process.

    Attributes:
        config: the file that asks for it.
        skipped: due times before it that nobody claimed, since no scheduler ran then or too many were open.
    """

    slot: str
    config: str
    schedule: str
    skipped: int
    at: str
    by: str


class Try(CycleRecord):
    """A worker's try to run a cycle, numbered from 1; ``at`` is when it began.

    Attributes:
        status: exit status of the cycle's process; None until it has ended, and for ever if its worker died.
        reason: its last message.
    """

    number: int
    at: str
    by: str
    status: int | None = None
    reason: str = ""


class SlotEnd(CycleRecord):
    """How a due time ended, and after how many tries.

    Attributes:
        reason: why it failed, or was refused.
        outcome: what the cycle itself reports; None if it failed.
    """

    slot: str
    status: CycleStatus
    tries: int
    at: str
    reason: str = ""
    outcome: dict[str, Any] | None = None


@dataclass(frozen=True)
class Claims:
    """The claims of a model at one moment.

    Attributes:
        claimed: stamps, the oldest first.
        done: those of them that ended.
        tidied: the latest stamp whose files were removed; empty if there is none.
    """

    claimed: tuple[str, ...]
    done: frozenset[str]
    tidied: str = ""

    @property
    def open(self) -> tuple[str, ...]:
        """Claimed and not done, the oldest first."""
        return tuple(stamp for stamp in self.claimed if stamp not in self.done)

    def last(self, now: datetime) -> datetime | None:
        """The latest due time that was claimed, without those that are ahead."""
        known = [stamp for stamp in self.claimed if stamp <= stamp_of(now + SKEW)]
        return time_of(known[-1]) if known else None

    def ahead(self, now: datetime) -> tuple[str, ...]:
        """Stamps claimed by a scheduler whose clock was ahead: these have had their run, earlier due times have not."""
        return tuple(stamp for stamp in self.claimed if stamp > stamp_of(now + SKEW))

    def may_claim(self, stamp: str) -> bool:
        """Whether nobody has claimed it: it has no claim, and none can have been removed."""
        return stamp not in self.claimed and stamp > self.tidied


class ClaimStore:
    """The claims of one model, in its folder in the registry."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def plan(self, schedule: str, now: datetime) -> datetime:
        """The time from which a schedule holds: ``now`` if it is new, or if a clock that was ahead wrote it down."""
        while True:
            last = max(numbered(self._storage.names(_PLANS), ".json"), default=0)
            if last:
                plan = _Plan.model_validate_json(self._storage.read(f"{_PLANS}/{last:06d}.json"))
                if plan.schedule == schedule and plan.since <= now + SKEW:
                    return plan.since
            plan = _Plan(schedule=schedule, since=now.replace(microsecond=0))
            if self._storage.commit(f"{_PLANS}/{last + 1:06d}.json", _bytes(plan)):
                return plan.since

    def look(self) -> Claims:
        """The claims as they are now."""
        names = self._storage.names(FOLDER)
        tidied = max(_stamps(names, ".tidied.json"), default="")
        return Claims(tuple(_stamps(names, ".json")), frozenset(_stamps(names, ".done.json")), tidied)

    def claim(self, claim: Claim) -> bool:
        """Claim a due time; ``False`` when somebody was quicker."""
        return self._storage.commit(_key(claim.slot), _bytes(claim))

    def claim_of(self, stamp: str) -> Claim:
        """Who claimed a due time, and for which config.

        Raises:
            FileNotFoundError: nobody did.
        """
        return Claim.model_validate_json(self._storage.read(_key(stamp)))

    def hand_over(self, claim: Claim, config: str) -> Claim:
        """Give a claim to another config, since the one that it was made for is gone."""
        mine = claim.model_copy(update={"config": config})
        self._storage.replace(_key(claim.slot), _bytes(mine))
        return mine

    def is_open(self, stamp: str) -> bool:
        """Whether a due time is claimed and not done."""
        return self._storage.exists(_key(stamp)) and self.end_of(stamp) is None

    def end(self, end: SlotEnd) -> bool:
        """Note how a due time ended; ``False`` if that was noted already."""
        return self._storage.commit(_key(end.slot, ".done"), _bytes(end))

    def end_of(self, stamp: str) -> SlotEnd | None:
        """How a due time ended."""
        try:
            return SlotEnd.model_validate_json(self._storage.read(_key(stamp, ".done")))
        except FileNotFoundError:
            return None

    def tries(self, stamp: str) -> list[Try]:
        """In order."""
        start = f"{stamp}.try"
        rest = [name.removeprefix(start) for name in self._storage.names(FOLDER) if name.startswith(start)]
        keys = [_key(stamp, f".try{number}") for number in numbered(rest, ".json", width=1)]
        return [Try.model_validate_json(self._storage.read(key)) for key in keys]

    def write_try(self, stamp: str, attempt: Try) -> None:
        """Note a try, or how it went; only who holds the lock of the schedule does so."""
        self._storage.replace(_key(stamp, f".try{attempt.number}"), _bytes(attempt))

    def drop_try(self, stamp: str, attempt: Try) -> None:
        """Remove a try that does not count: the worker was told to stop, or another cycle ran."""
        self._storage.delete(_key(stamp, f".try{attempt.number}"))

    def tidy(self, now: datetime) -> None:
        """Remove the files of due times that ended long ago."""
        claims = self.look()
        old = {stamp for stamp in claims.done - set(claims.claimed[-_KEPT:]) if stamp < stamp_of(now - _KEPT_FOR)}
        if not old:
            return
        if claims.tidied < max(old):  # noted first, so that no scheduler whose clock is behind claims one again
            self._storage.replace(_key(max(old), ".tidied"), b"{}")
            if claims.tidied:
                self._storage.delete(_key(claims.tidied, ".tidied"))
        names = [name for name in self._storage.names(FOLDER) if _TIDIED.fullmatch(name) and name[:_STAMP] in old]
        # its end goes last: a due time that is claimed, and whose end is gone, would run again
        for name in sorted(names, key=lambda name: name.endswith(".done.json")):
            self._storage.delete(f"{FOLDER}/{name}")


def _stamps(names: list[str], suffix: str) -> list[str]:
    """The stamps that have a file with this suffix, in order; whatever else lies there is nobody's."""
    return sorted(stem for name in names if name.endswith(suffix) and time_of(stem := name.removesuffix(suffix)))


def _key(stamp: str, kind: str = "") -> str:
    return f"{FOLDER}/{stamp}{kind}.json"


def _bytes(record: CycleRecord) -> bytes:
    return record.model_dump_json(indent=1).encode()
