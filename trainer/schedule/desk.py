"""Looks after one model's slots: claims those that are due, and queues those that are claimed and not done."""

import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from models.storage.open_storage import open_storage
from trainer.retrain.lock import CycleLock
from trainer.schedule.messages import SlotMessage
from trainer.schedule.slot_book import FOLDER, SKEW, Claim, SlotBook
from trainer.schedule.slots import Slots, stamp_of
from trainer.schedule.watched_config import WatchedConfig
from worker.events import log_event

__all__ = ["LOOK_S", "MOST_OPEN", "Desk", "Outbox"]

MOST_OPEN: Final = 8
"""Slots of a model that are claimed and not done. Where cycles take longer than the time between slots, those that are
due beyond this are skipped."""

_NEVER: Final = datetime.min.replace(tzinfo=UTC)

LOOK_S: Final = 3.0
"""Seconds between looks at slots that are claimed and not done."""


class Outbox(Protocol):
    """The queue of cycles, as far as a desk uses it."""

    def waiting(self) -> set[SlotMessage]:
        """The messages that nobody took yet."""

    def send(self, message: SlotMessage) -> bool:
        """Queue it, unless that was done a moment ago; whether it was queued."""


class Desk:
    """The slots of one config. Any number of desks may look after the same one.

    Args:
        watched: its settings.
        outbox: the queue.
        clock: now, in UTC.
    """

    def __init__(
        self, watched: WatchedConfig, outbox: Outbox, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.watched = watched
        self._outbox = outbox
        self._clock = clock
        self._open_storage()

    def _open_storage(self) -> None:
        storage = open_storage(self.watched.config.registry).child(self.watched.config.name)
        self._book = SlotBook(storage)
        # kept, since a silent holder on another machine is known to be dead only by who goes on watching it
        self._locks = (CycleLock(storage), CycleLock(storage.child(FOLDER)))
        self._since: datetime | None = None
        self._last = _NEVER
        self._told_ahead: tuple[str, ...] = ()
        self._look_at = 0.0

    def turn(self) -> float:
        """Do what is due now.

        Returns:
            Seconds until the next slot.

        Raises:
            OSError, HangtagError: the registry cannot be reached.
            redis.RedisError, kombu.exceptions.OperationalError: Redis cannot; what is claimed is queued another time.
        """
        if self.watched.refresh():
            self._open_storage()
        now, slots = self._clock(), self.watched.slots
        claimed = slots is not None and self._claim_due(slots, now)
        if claimed or time.monotonic() >= self._look_at:
            self._queue_open()
            self._look_at = time.monotonic() + LOOK_S
        upcoming = slots.next(now) if slots else None
        return (upcoming - self._clock()).total_seconds() if upcoming else float("inf")

    def _claim_due(self, slots: Slots, now: datetime) -> bool:
        if self._since is None or self._since > now + SKEW:
            self._since = self._book.plan(slots.text, now)
        if self._last > now + SKEW:  # the clock was set back
            self._last = _NEVER
        slot = slots.latest(now)
        if slot is None or slot <= max(self._since, self._last):
            return False
        shelf = self._book.look()
        self._last = shelf.last(now) or self._last
        self._tell_of_ahead(shelf.ahead(now))
        if slot <= self._last or not shelf.may_claim(stamp_of(slot)) or len(shelf.open) >= MOST_OPEN:
            return False
        if shelf.claimed:
            self._compare_configs(shelf.claimed[-1])
        before = max(self._last, self._since)
        claim = Claim(
            slot=stamp_of(slot),
            config=str(self.watched.path),
            schedule=slots.text,
            skipped=slots.count(before, slot),
            at=now.isoformat(timespec="seconds"),
            by=f"{socket.gethostname()}:{os.getpid()}",
        )
        if self._book.claim(claim):
            level = logging.WARNING if claim.skipped else logging.INFO
            log_event("slot_claimed", level, config=claim.config, slot=claim.slot, skipped=claim.skipped)
            self._book.tidy(now)
        return True

    def _tell_of_ahead(self, stamps: tuple[str, ...]) -> None:
        """Somebody's clock was ahead; the schedule goes on as if these slots were not there."""
        if stamps and stamps != self._told_ahead:
            log_event("slots_ahead", logging.WARNING, config=str(self.watched.path), slots=len(stamps), last=stamps[-1])
        self._told_ahead = stamps

    def _compare_configs(self, stamp: str) -> None:
        """A model has one config: with two, cycles run by either, and the slots of both schedules."""
        config, other = str(self.watched.path), self._book.claim_of(stamp).config
        if other != config:
            log_event("other_config", logging.WARNING, config=config, slot=stamp, other=other)

    def _queue_open(self) -> None:
        stamps = self._book.look().open
        if not stamps or any(lock.holder() for lock in self._locks):
            return
        waiting = self._outbox.waiting()
        for stamp in stamps:
            message = SlotMessage(self._claim_of(stamp).config, stamp)
            if message not in waiting and self._outbox.send(message):
                log_event("slot_queued", config=message.config, slot=message.slot)

    def _claim_of(self, stamp: str) -> Claim:
        """A worker runs a slot with the config that claimed it; where that was moved, it is this one's."""
        claim = self._book.claim_of(stamp)
        return claim if Path(claim.config).is_file() else self._book.hand_over(claim, str(self.watched.path))
