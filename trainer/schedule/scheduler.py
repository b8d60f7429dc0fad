"""``hangtag beat``: Celery's beat with a scheduler whose whole state lies beside the registries."""

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
from typing import Any, Final

from celery import Celery
from celery.beat import ScheduleEntry, Scheduler, Service
from celery.exceptions import CPendingDeprecationWarning
from kombu.exceptions import OperationalError

from models.errors import HangtagError, InputError
from models.storage.storage import open_storage
from trainer.retrain.config import RetrainConfig, read_config
from trainer.retrain.lock import CycleLock
from trainer.schedule.claims import FOLDER, SKEW, Claim, Claims, ClaimStore
from trainer.schedule.due_times import Schedule, schedule_of, stamp_of
from trainer.schedule.queue import CycleMessage, CycleQueue, make_sending_app
from worker.events import log_event, start_logging
from worker.queue.connection import RedisOutage
from worker.queue.redis_state import RedisError, connect
from worker.queue.settings import QueueSettings
from worker.queue.worker_state import Heartbeat

__all__ = ["MOST_OPEN", "ModelScheduler", "WatchedConfig", "beat_until_told", "check_models_differ"]

MOST_OPEN: Final = 8
"""Open due times of a model: claimed and not done. If cycles take longer than their interval, others are skipped."""

_LOOK_S: Final = 3.0
"""Seconds between looks at due times that are claimed and not done."""

_TURN_S: Final = 1.0
_LEAST_S: Final = 0.02


def beat_until_told(configs: Sequence[Path], settings: QueueSettings, *, as_json: bool) -> None:
    """Claim and queue cycles that are due until SIGTERM or Ctrl-C; the log has JSON lines or text.

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
    with make_sending_app(settings) as app:
        queue = CycleQueue(connect(settings), app)
        try:
            queue.state.ping()
        except RedisError as error:  # cycles are claimed all the same, and queued when it is there
            RedisOutage(settings.redis_name).away(error)
        schedulers = [ModelScheduler(config, queue) for config in watched]
        for config in watched:
            schedule = config.schedule.text if config.schedule else ""
            log_event("beat_starts", config=str(config.path), schedule=schedule, redis=settings.redis_name)
        service = Service(
            app, scheduler_cls=lambda app, **_: _CycleScheduler(app, schedulers, app.heartbeat), remote_control=False
        )
        service.start()
        queue.state.close()
    log_event("beat_ends")


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Exit at once: every write is whole or absent, so any moment will do."""
    raise SystemExit(0)


class WatchedConfig:
    """The settings of a file, read again when it changes; if an edit cannot be used, the earlier ones stay in force.

    Attributes:
        path: absolute.
        config: its settings.
        schedule: when its cycle runs; None once ``[schedule]`` was removed.

    Raises:
        InputError: it cannot be used, or has no ``[schedule]``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._stamp = self._stat()
        self.config, self.schedule = self._read()
        if self.schedule is None:
            msg = f'Expected [schedule] in {path}, such as cron = "0 3 * * 0"; found none: see docs/retraining.md.'
            raise InputError(msg)

    def refresh(self) -> bool:
        """Read the file again if it changed, and log the result; returns whether the settings have changed."""
        before, self._stamp = self._stamp, self._stat()
        if self._stamp == before:
            return False
        try:
            self.config, self.schedule = self._read()
        except InputError as error:
            log_event("config_refused", logging.WARNING, config=str(self.path), error=str(error))
            return False
        log_event("config_read", config=str(self.path), schedule=self.schedule.text if self.schedule else "none")
        return True

    def _read(self) -> tuple[RetrainConfig, Schedule | None]:
        config = read_config(self.path)
        return config, schedule_of(config.schedule) if config.schedule else None

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def check_models_differ(watched: Sequence[WatchedConfig]) -> None:
    """Refuse two configs of one model: they share its claims, and each would run those of the other.

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


class _CycleScheduler(Scheduler):
    """Gives every model's scheduler a turn once a second, and at each due time."""

    def __init__(self, app: Celery, schedulers: "Sequence[ModelScheduler]", heartbeat: Heartbeat) -> None:
        super().__init__(app, max_interval=_TURN_S)
        self._schedulers = schedulers
        self._heartbeat = heartbeat
        self._wrong: dict[str, str] = {}

    def setup_schedule(self) -> None:
        """Do nothing: the due times lie beside the registries."""

    @property
    def schedule(self) -> Mapping[str, ScheduleEntry]:
        """No entries that Celery would need to keep."""
        return {}

    def tick(self, *_: Any, **__: Any) -> float:  # noqa: ANN401 - Celery has no types
        """See Celery's ``Scheduler.tick``."""
        wait = min([_TURN_S, *(self._turn(scheduler) for scheduler in self._schedulers)])
        self._heartbeat.turned()
        self._heartbeat.beat()
        return max(wait, _LEAST_S)

    def _turn(self, scheduler: "ModelScheduler") -> float:
        config = str(scheduler.watched.path)
        try:
            wait = scheduler.turn()
        except (HangtagError, OSError, ValueError, RedisError, OperationalError) as error:
            text = f"{type(error).__name__}: {error}"
            if self._wrong.get(config) != text:
                log_event("cannot_keep_the_schedule", logging.WARNING, config=config, error=text)
            self._wrong[config] = text
            return _TURN_S
        if self._wrong.pop(config, None):
            log_event("keeping_the_schedule_again", config=config)
        return wait


class ModelScheduler:
    """Claims the due times of one model, and queues those that are not done. Any number of beats may do so."""

    def __init__(
        self, watched: WatchedConfig, queue: CycleQueue, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.watched = watched
        self._queue = queue
        self._clock = clock
        self._open_storage()

    def _open_storage(self) -> None:
        storage = open_storage(self.watched.config.registry).child(self.watched.config.name)
        self._store = ClaimStore(storage)
        # kept, since a silent holder on another machine is known to be dead only by who goes on watching it
        self._locks = (CycleLock(storage), CycleLock(storage.child(FOLDER)))
        self._since: datetime | None = None
        self._settled: datetime | None = None  # the due time for which nothing is left to claim
        self._told_ahead: tuple[str, ...] = ()
        self._look_at = 0.0

    def turn(self) -> float:
        """Do what is due now.

        Returns:
            Seconds until the next due time.

        Raises:
            OSError, HangtagError: the registry cannot be reached.
            redis.RedisError, kombu.exceptions.OperationalError: Redis cannot be reached; a later turn queues what is
            claimed.
        """
        if self.watched.refresh():
            self._open_storage()
        now, schedule = self._clock(), self.watched.schedule
        claimed = schedule is not None and self._claim_due(schedule, now)
        if claimed or time.monotonic() >= self._look_at:
            self._queue_open()
            self._look_at = time.monotonic() + _LOOK_S
        upcoming = next(schedule.after(now), None) if schedule else None
        return (upcoming - self._clock()).total_seconds() if upcoming else float("inf")

    def _claim_due(self, schedule: Schedule, now: datetime) -> bool:
        """Claim the latest due time unless it is claimed; returns whether it is newly claimed."""
        if self._since is None or self._since > now + SKEW:
            self._since = self._store.plan(schedule.text, now)
        due = schedule.latest(now)
        if due is None or due == self._settled:
            return False
        claims, config = self._store.look(), str(self.watched.path)
        ahead = claims.ahead(now)
        if ahead and ahead != self._told_ahead:  # the schedule goes on as if these were not there
            log_event("slots_ahead", logging.WARNING, config=config, slots=len(ahead), last=ahead[-1])
        self._told_ahead = ahead
        last = max(self._since, claims.last(now) or self._since)
        if due <= last or not claims.may_claim(stamp_of(due)):
            self._settled = due
            return False
        if len(claims.open) >= MOST_OPEN:
            return False
        self._tell_other_config(claims)
        claim = Claim(
            slot=stamp_of(due),
            config=config,
            schedule=schedule.text,
            skipped=schedule.count(last, due),
            at=now.isoformat(timespec="seconds"),
            by=f"{socket.gethostname()}:{os.getpid()}",
        )
        if self._store.claim(claim):
            level = logging.WARNING if claim.skipped else logging.INFO
            log_event("slot_claimed", level, config=config, slot=claim.slot, skipped=claim.skipped)
            self._store.tidy(now)
        self._settled = due
        return True

    def _tell_other_config(self, claims: Claims) -> None:
        """Log that the last claim names another config: two configs of a model run cycles at the times of both."""
        if claims.claimed:
            slot, config = claims.claimed[-1], str(self.watched.path)
            other = self._store.claim_of(slot).config
            if other != config:
                log_event("other_config", logging.WARNING, config=config, slot=slot, other=other)

    def _queue_open(self) -> None:
        stamps = self._store.look().open
        if not stamps or any(lock.holder() for lock in self._locks):
            return
        waiting = self._queue.waiting()
        for stamp in stamps:
            claim = self._store.claim_of(stamp)
            if not Path(claim.config).is_file():  # it was moved: a worker runs a claim with the config that it names
                claim = self._store.hand_over(claim, str(self.watched.path))
            message = CycleMessage(claim.config, stamp)
            if message not in waiting and self._queue.send(message):
                log_event("slot_queued", config=message.config, slot=message.slot)
