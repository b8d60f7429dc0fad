"""Scheduled retraining: Celery's beat sends a message when a cycle is due, and a train worker runs the cycle.

A duplicate message is harmless: a model has one cycle at a time, and a cycle without new data ends in seconds.
"""

import ctypes
import logging
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from celery.beat import Service
from celery.schedules import BaseSchedule, ParseException, crontab, schedule
from kombu import Queue

from models.errors import ExitCode, InputError, MissingExtraError
from models.events import log_event, start_logging
from models.registry.registry import open_registry
from trainer.request import parse_duration
from trainer.retrain.config import RetrainConfig, ScheduleSettings, read_config
from worker.queue.app import HangtagCelery
from worker.queue.settings import QueueSettings
from worker.queue.start_worker import HeartStep, prepare_worker, run_worker

QUEUE: Final = "hangtag.train"
TASK: Final = "hangtag.retrain"
_STATE: Final = ".schedule"
"""Beat's file on this machine, in the registry or the cache. It has the time of each cycle's last message, so that a
restart skips no cycle."""

_RETRAIN: Final = (sys.executable, "-P", "-m", "hangtag", "retrain")
_EXPECTED: Final = {ExitCode.OK, ExitCode.GATE_REFUSED, ExitCode.NOTHING_NEW, ExitCode.BUSY}
_UNTIL_REDIS_IS_THERE: Final = {"max_retries": None, "interval_start": 0, "interval_step": 1, "interval_max": 5}
_SET_DEATH_SIGNAL: Final = 1
"""``PR_SET_PDEATHSIG`` of prctl(2). The setting survives execve(2)."""


def run_beat(configs: Sequence[Path], settings: QueueSettings, *, as_json: bool) -> None:
    """Send a message for each due cycle of all models, until SIGTERM or Ctrl-C."""
    read = {str(path.absolute()): read_config(path) for path in configs}
    start_logging(as_json=as_json)
    app = _make_app(settings)
    app.conf.beat_schedule = {path: _beat_entry(path, config) for path, config in read.items()}
    first = next(iter(read.values()))
    state = open_registry(first.registry).model_storage(first.name).scratch / _STATE
    state.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # beat saves its file when it exits
    for path, entry in app.conf.beat_schedule.items():
        due = entry["schedule"]
        log_event("schedule_starts", config=path, schedule=str(due), next=next_time(due), redis=settings.redis_name)
    Service(app, schedule_filename=str(state)).start()
    log_event("schedule_ends")


def _make_app(settings: QueueSettings) -> HangtagCelery:
    app = HangtagCelery(settings)
    app.conf.update(
        task_queues=[Queue(QUEUE, exchange="", routing_key=QUEUE)],
        task_default_queue=QUEUE,
        task_time_limit=None,
        result_expires=None,  # otherwise beat adds a daily clean-up of results
        worker_concurrency=1,
    )
    return app


def _beat_entry(path: str, config: RetrainConfig) -> dict[str, Any]:
    if config.schedule is None:
        msg = f'Expected [schedule] in {path}, such as cron = "0 3 * * 0"; see docs/retraining.md.'
        raise InputError(msg)
    options: dict[str, Any] = {"queue": QUEUE, "retry_policy": _UNTIL_REDIS_IS_THERE}
    if config.schedule.every:  # drop a waiting message when the next cycle is due
        options["expires"] = parse_duration(config.schedule.every)
    arguments = (path, config.schedule.when)
    return {"task": TASK, "schedule": beat_schedule(config.schedule), "args": arguments, "options": options}


def beat_schedule(settings: ScheduleSettings) -> BaseSchedule:
    """Convert the settings to a Celery schedule. ``cron`` is in the time zone of the settings."""
    if settings.cron is None:
        return schedule(timedelta(seconds=parse_duration(settings.every or "")))
    try:
        minute, hour, day, month, weekday = settings.cron.split()
        due = crontab(minute, hour, weekday, day, month)
    except (ValueError, ParseException) as error:
        why = str(error).rstrip(".")
        msg = f'Expected five fields in cron, such as "0 3 * * 0" for Sundays at 3, got {settings.cron!r}: {why}.'
        raise InputError(msg) from error
    due.tz = ZoneInfo(settings.timezone)
    return due


def next_time(due: BaseSchedule) -> str:
    """The next due time after now, in UTC."""
    now = due.now()
    rounded: datetime = now + due.remaining_estimate(now) + timedelta(seconds=0.5)
    return rounded.astimezone(UTC).isoformat(timespec="seconds")


def start_train_worker(
    settings: QueueSettings, configs: Sequence[Path], *, as_json: bool, command: Sequence[str] = _RETRAIN
) -> int:
    """Run the cycles of some configs, one at a time, until stopped. Returns the exit status.

    SIGTERM ends the worker and its cycle at once. The message goes back to the queue, and the next worker continues the
    cycle. ``command`` starts a cycle, when the config and the options are appended.
    """
    if find_spec("tensorflow") is None:
        msg = "A worker of the queue train needs TensorFlow; pip install 'hangtag[train,worker]'."
        raise MissingExtraError(msg)
    if not configs:
        msg = "Expected config files for this worker's cycles, got none: hangtag worker --queue train shop.toml"
        raise InputError(msg)
    for config in configs:
        read_config(config)
    prepare_worker(settings, as_json=as_json)
    ours = {str(config.absolute()) for config in configs}

    def retrain(config: str, when: str) -> None:
        run_cycle(command, ours, config, when)

    app = _make_app(settings)
    app.task(name=TASK, shared=False)(retrain)
    app.steps["worker"].add(HeartStep)
    log_event("train_worker_starts", redis=settings.redis_name, queue=QUEUE)
    return run_worker(app, 1)


def run_cycle(command: Sequence[str], configs: Collection[str], config: str, when: str) -> int | None:
    """Run a cycle in a separate process, which frees its memory at the end, and log its lines.

    If this process dies, the cycle's process dies, too. Returns the cycle's exit status, or None if ``configs`` does
    not contain ``config``.
    """
    if config not in configs:
        log_event("cycle_refused", logging.WARNING, config=config, known=", ".join(sorted(configs)))
        return None
    log_event("cycle_starts", config=config)
    with subprocess.Popen(
        [*command, config, "--when", when],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - safe here: Celery's pool process has only one thread
    ) as process:
        try:
            for line in process.stdout or ():
                if line.strip():
                    log_event("cycle_line", config=config, line=line.rstrip())
        except BaseException:  # the worker is stopping
            process.kill()
            raise
    level = logging.INFO if process.returncode in _EXPECTED else logging.ERROR
    log_event("cycle_ends", level, config=config, status=process.returncode)
    return process.returncode


def _die_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Celery's pool ignores SIGINT
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
