"""``hangtag beat``: Celery's beat, whose scheduler keeps everything beside the registries and nothing of its own."""

import logging
import signal
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

from celery.beat import ScheduleEntry, Scheduler, Service
from celery.exceptions import CPendingDeprecationWarning
from kombu.exceptions import OperationalError

from models.errors import HangtagError, InputError
from trainer.schedule.app import CeleryOutbox, make_sending_app
from trainer.schedule.desk import Desk
from trainer.schedule.messages import Marks
from trainer.schedule.watched_config import WatchedConfig
from worker.events import log_event, start_logging
from worker.queue.connection import Absence
from worker.queue.ledger import RedisError, connect
from worker.queue.settings import QueueSettings
from worker.queue.worker_state import Heartbeat

__all__ = ["SlotScheduler", "beat_until_told", "check_models_differ"]

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
        Absence(settings.redis_name).away(error)
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
