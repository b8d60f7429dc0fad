"""``hangtag beat``: Celery's beat, whose scheduler keeps everything beside the registries and nothing of its own."""

import logging
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol

from celery.beat import ScheduleEntry, Scheduler, Service
from celery.exceptions import CPendingDeprecationWarning
from kombu.exceptions import OperationalError

from models.errors import HangtagError, InputError
from models.storage.storage import open_storage
from trainer.retrain.config import RetrainConfig, read_config
from trainer.retrain.lock import CycleLock
from trainer.schedule.claims import FOLDER, SKEW, Claim, SlotBook
from trainer.schedule.due_times import Slots, slots_of, stamp_of
from trainer.schedule.queue import CeleryOutbox, Marks, SlotMessage, make_sending_app
from worker.events import log_event, start_logging
from worker.queue.connection import RedisOutage
from worker.queue.redis_state import RedisError, connect
from worker.queue.settings import QueueSettings
from worker.queue.worker_state import Heartbeat

__all__ = [
    "LOOK_S",
    "MOST_OPEN",
    "Desk",
    "Outbox",
    "SlotScheduler",
    "WatchedConfig",
    "beat_until_told",
    "check_models_differ",
]


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


class WatchedConfig:
    """The settings of a file, read again when it changes; as long as an edit cannot be used, the earlier ones hold.

    Args:
        path: of the file.

    Attributes:
        path: absolute.
        config: what it says.
        slots: when its cycle runs; none once ``[schedule]`` was taken out.

    Raises:
        InputError: it cannot be used, or has no ``[schedule]``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._stamp = self._looks()
        self.config = read_config(self.path)
        self.slots = _slots(self.config)
        if self.slots is None:
            msg = f'Expected [schedule] in {path}, such as cron = "0 3 * * 0"; found none: see docs/retraining.md.'
            raise InputError(msg)

    def refresh(self) -> bool:
        """Read it again if it changed, and say in the log what became of it; whether other settings hold now."""
        looks = self._looks()
        if looks == self._stamp:
            return False
        self._stamp = looks
        try:
            config = read_config(self.path)
            slots = _slots(config)
        except InputError as error:
            log_event("config_refused", logging.WARNING, config=str(self.path), error=str(error))
            return False
        self.config, self.slots = config, slots
        log_event("config_read", config=str(self.path), schedule=slots.text if slots else "none")
        return True

    def _looks(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _slots(config: RetrainConfig) -> Slots | None:
    return slots_of(config.schedule) if config.schedule else None


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


_TURN_S: Final = 1.0
_LEAST_S: Final = 0.02


class SlotScheduler(Scheduler):
    """Has a turn at every desk once a second, and at each slot.

    Args:
        app: of Celery.
        desks: a config each.
        heartbeat: touched once a turn.
    """

    def __init__(self, app: object, desks: Sequence[Desk], heartbeat: Heartbeat) -> None:
        super().__init__(app, max_interval=_TURN_S)
        self._desks = desks
        self._heartbeat = heartbeat
        self._wrong: dict[str, str] = {}

    def setup_schedule(self) -> None:
        """Nothing: the slots lie beside the registries."""

    @property
    def schedule(self) -> Mapping[str, ScheduleEntry]:
        """No entries that Celery would need to keep."""
        return {}

    def tick(self, *_: Any, **__: Any) -> float:  # noqa: ANN401 - Celery has no types
        """See Celery's ``Scheduler.tick``."""
        wait = min([_TURN_S, *(self._turn(desk) for desk in self._desks)])
        self._heartbeat.turned()
        self._heartbeat.beat()
        return max(wait, _LEAST_S)

    def _turn(self, desk: Desk) -> float:
        config = str(desk.watched.path)
        try:
            wait = desk.turn()
        except (HangtagError, OSError, ValueError, RedisError, OperationalError) as error:
            self._say_once(config, f"{type(error).__name__}: {error}")
            return _TURN_S
        if self._wrong.pop(config, None):
            log_event("keeping_the_schedule_again", config=config)
        return wait

    def _say_once(self, config: str, text: str) -> None:
        if self._wrong.get(config) != text:
            log_event("cannot_keep_the_schedule", logging.WARNING, config=config, error=text)
        self._wrong[config] = text


def beat_until_told(configs: Sequence[Path], settings: QueueSettings, *, as_json: bool) -> None:
    """Claim and queue slots until SIGTERM or Ctrl-C.

    Args:
        configs: files of retraining settings, each with ``[schedule]``.
        settings: say where Redis is.
        as_json: log JSON lines instead of text.

    Raises:
        InputError: a config cannot be used, two are of one model, or the heartbeat file cannot be used.
    """
    watched = [WatchedConfig(path) for path in configs]
    check_models_differ(watched)
    Heartbeat(settings.heartbeat).check()
    warnings.simplefilter("ignore", CPendingDeprecationWarning)
    start_logging(as_json=as_json)
    logging.getLogger("celery.beat").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _leave)
    marks = Marks(connect(settings))
    try:
        marks.ping()
    except RedisError as error:  # slots are claimed all the same, and queued when it is there
        RedisOutage(settings.redis_name).away(error)
    with make_sending_app(settings) as app:
        desks = [Desk(config, CeleryOutbox(app, marks)) for config in watched]
        for desk in desks:
            schedule = desk.watched.slots.text if desk.watched.slots else ""
            log_event("beat_starts", config=str(desk.watched.path), schedule=schedule, redis=settings.redis_name)
        service = Service(
            app, scheduler_cls=lambda app, **_: SlotScheduler(app, desks, app.heartbeat), remote_control=False
        )
        service.start()
        marks.close()
    log_event("beat_ends")


def check_models_differ(watched: Sequence[WatchedConfig]) -> None:
    """Refuse two configs of one model: its slots lie in one place, and each would run those of the other.

    Raises:
        InputError: two name the same model of the same registry.
    """
    seen: dict[tuple[str, str], Path] = {}
    for one in watched:
        model = (one.config.registry, one.config.name)
        if model in seen:
            msg = (
                f"Expected each config to be of a model of its own, {seen[model]} and {one.path} are both of "
                f"{model[1]} in {model[0]}; leave one of them out."
            )
            raise InputError(msg)
        seen[model] = one.path


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Every write is whole or not at all, so any moment is a good one."""
    raise SystemExit(0)
