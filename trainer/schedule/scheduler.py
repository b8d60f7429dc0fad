"""``hangtag schedule``: claims cycles that are due, and queues them; its whole state lies beside the registries."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from models.errors import HangtagError, InputError
from models.events import log_event, start_logging
from models.storage.storage import open_storage
from trainer.retrain.config import RetrainConfig, read_config
from trainer.retrain.lock import CycleLock
from trainer.schedule.claims import FOLDER, SKEW, Claim, Claims, ClaimStore
from trainer.schedule.due_times import Schedule, schedule_of, stamp_of
from trainer.schedule.queue import CycleMessage, CycleQueue
from worker.queue.redis_state import RedisError, RedisOutage, connect
from worker.queue.settings import QueueSettings
from worker.queue.worker_state import Heartbeat

MOST_OPEN: Final = 8
"""Open due times of a model: claimed and not done. If cycles take longer than their interval, others are skipped."""

_LOOK_S: Final = 3.0
"""Seconds between looks at due times that are claimed and not done."""

_TURN_S: Final = 1.0
_LEAST_S: Final = 0.02


def schedule_until_told(configs: Sequence[Path], settings: QueueSettings, *, as_json: bool) -> None:
    """Claim and queue cycles that are due until SIGTERM or Ctrl-C; the log has JSON lines or text.

    Raises:
        InputError: a config cannot be used, two are of one model, or the heartbeat file cannot be used.
    """
    watched = [WatchedConfig(path) for path in configs]
    check_models_differ(watched)
    heartbeat = Heartbeat(settings.heartbeat)
    heartbeat.check()
    start_logging(as_json=as_json)
    signal.signal(signal.SIGTERM, _leave)
    with suppress(KeyboardInterrupt, SystemExit), connect(settings) as client:
        try:
            client.ping()
        except RedisError as error:  # cycles are claimed all the same, and queued when it is there
            RedisOutage(settings.redis_name).away(error)
        for config in watched:
            schedule = config.schedule.text if config.schedule else ""
            log_event("schedule_starts", config=str(config.path), schedule=schedule, redis=settings.redis_name)
        queue = CycleQueue(client)
        schedulers = [ModelScheduler(config, queue) for config in watched]
        while True:
            wait = min(_TURN_S, *(scheduler.turn_or_tell() for scheduler in schedulers))
            heartbeat.beat()
            time.sleep(max(wait, _LEAST_S))
    log_event("schedule_ends")


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
                f"Expected each config to name another model, but {seen[model]} and {one.path} both name {model[1]} "
                f"in {model[0]}; leave one of them out."
            )
            raise InputError(msg)
        seen[model] = one.path


class ModelScheduler:
    """Claims the due times of one model, and queues those that are not done. Any number of processes may do so."""

    def __init__(
        self, watched: WatchedConfig, queue: CycleQueue, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._watched = watched
        self._queue = queue
        self._clock = clock
        self._wrong = ""
        self._open_storage()

    def _open_storage(self) -> None:
        storage = open_storage(self._watched.config.registry).child(self._watched.config.name)
        self._store = ClaimStore(storage)
        # kept, since a silent holder on another machine is known to be dead only by who goes on watching it
        self._locks = (CycleLock(storage), CycleLock(storage.child(FOLDER)))
        self._since: datetime | None = None
        self._told_ahead: tuple[str, ...] = ()
        self._seen: datetime | None = None  # the due time of the last look
        self._look_at = 0.0

    def turn_or_tell(self) -> float:
        """Take a turn; log an error once, and try again in the next turn."""
        config = str(self._watched.path)
        try:
            wait = self.turn()
        except (HangtagError, OSError, ValueError, RedisError) as error:
            text = f"{type(error).__name__}: {error}"
            if text != self._wrong:
                log_event("cannot_keep_the_schedule", logging.WARNING, config=config, error=text)
            self._wrong = text
            return _TURN_S
        if self._wrong:
            log_event("keeping_the_schedule_again", config=config)
        self._wrong = ""
        return wait

    def turn(self) -> float:
        """Do what is due now.

        Returns:
            Seconds until the next due time.

        Raises:
            OSError, HangtagError: the registry cannot be reached.
            redis.RedisError: Redis cannot be reached; a later turn queues what is claimed.
        """
        if self._watched.refresh():
            self._open_storage()
        now, schedule = self._clock(), self._watched.schedule
        due = schedule.latest(now) if schedule else None
        if due != self._seen or time.monotonic() >= self._look_at:
            if schedule and due:
                self._claim_due(schedule, due, now)
            self._queue_open()
            self._seen, self._look_at = due, time.monotonic() + _LOOK_S
        upcoming = next(schedule.after(now), None) if schedule else None
        return (upcoming - self._clock()).total_seconds() if upcoming else float("inf")

    def _claim_due(self, schedule: Schedule, due: datetime, now: datetime) -> None:
        """Claim the latest due time, unless somebody has, or too many are open."""
        if self._since is None or self._since > now + SKEW:
            self._since = self._store.plan(schedule.text, now)
        claims, config = self._store.look(), str(self._watched.path)
        ahead = claims.ahead(now)
        if ahead and ahead != self._told_ahead:  # the schedule goes on as if these were not there
            log_event("slots_ahead", logging.WARNING, config=config, slots=len(ahead), last=ahead[-1])
        self._told_ahead = ahead
        last = max(self._since, claims.last(now) or self._since)
        if due <= last or not claims.may_claim(stamp_of(due)) or len(claims.open) >= MOST_OPEN:
            return
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

    def _tell_other_config(self, claims: Claims) -> None:
        """Log that the last claim names another config: two configs of a model run cycles at the times of both."""
        if claims.claimed:
            slot, config = claims.claimed[-1], str(self._watched.path)
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
                claim = self._store.hand_over(claim, str(self._watched.path))
            message = CycleMessage(claim.config, stamp)
            if message not in waiting and self._queue.send(message):
                log_event("slot_queued", config=message.config, slot=message.slot)
