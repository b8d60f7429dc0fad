"""``hangtag worker --queue train``: runs cycles, one at a time, where TensorFlow is."""

import logging
import os
import socket
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from kombu import Queue

from models.errors import BusyError, ExitCode, HangtagError, InputError, MissingExtraError
from models.events import log_event
from models.storage.storage import open_storage
from trainer.retrain.config import RetrainConfig, read_config
from trainer.retrain.cycle_folder import CycleStatus, now_text
from trainer.retrain.lock import CycleLock
from trainer.schedule.claims import FOLDER, ClaimStore, SlotEnd, Try
from trainer.schedule.cycle_process import CycleEnd, run_cycle
from trainer.schedule.queue import QUEUE, RETRAIN_TASK, CycleMessage, CycleQueue, cycle_call
from worker.queue.app import HangtagCelery
from worker.queue.redis_state import RedisError, connect
from worker.queue.settings import QueueSettings
from worker.queue.start_worker import HeartStep, prepare_worker, run_worker
from worker.queue.worker_state import BusyProcesses, Heartbeat

MOST_TRIES: Final = 3
_RETRY_S: Final = 60
_LEAVE_S: Final = 4.0
"""Seconds of the grace time that are kept for files and processes to end: one more than the worker itself needs."""

_COMMAND: Final = (sys.executable, "-P", "-m", "hangtag", "retrain")
_ERROR: Final = "hangtag: "
"""The beginning of every error on stderr."""

_CELERY: Final[dict[str, Any]] = {
    "task_queues": [Queue(QUEUE, exchange="", routing_key=QUEUE)],
    "task_default_queue": QUEUE,
    # A cycle outlasts every visibility timeout; files say whether it has to be begun again, and no message.
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    "task_time_limit": None,
    "worker_concurrency": 1,
}
_NEEDED: Final = ("tensorflow", "keras", "sklearn")
_ENDS: Final = {
    int(status.exit_code): status for status in (CycleStatus.PROMOTED, CycleStatus.REFUSED, CycleStatus.NOTHING_NEW)
}


def start_train_worker(
    settings: QueueSettings, configs: Sequence[Path] = (), *, as_json: bool, task: "CycleTask | None" = None
) -> int:
    """Run cycles that a scheduler asks for, until told to stop; gives the exit status.

    SIGTERM: the cycle in hand is told to stop, has ``settings.grace_s`` to do so, and goes on at the next start.

    Args:
        settings: say where Redis is.
        configs: it runs cycles of these only. Without any, of each config that a due time was claimed for.
        as_json: log JSON lines instead of text.
        task: runs them. Default: ``hangtag retrain``.

    Raises:
        MissingExtraError: the packages that train are not installed.
        InputError: a config cannot be used, or the heartbeat file.
    """
    if task is None:
        check_training()
        for config in configs:
            read_config(config)
        task = CycleTask(settings, configs=[str(config.absolute()) for config in configs])
    Heartbeat(settings.heartbeat).check()
    prepare_worker(as_json=as_json)
    log_event("train_worker_starts", redis=settings.redis_name, queue=QUEUE)
    app = HangtagCelery(settings, cycle_call)
    app.conf.update(_CELERY)
    app.task(name=RETRAIN_TASK, shared=False)(replace(task, busy=app.busy).retrain)
    app.steps["worker"].add(HeartStep)
    return run_worker(app, 1)


def check_training(find: Callable[[str], object] = find_spec) -> None:
    """Refuse to start on a machine that cannot train.

    Raises:
        MissingExtraError: a package that training needs is not installed.
    """
    missing = [package for package in _NEEDED if find(package) is None]
    if missing:
        msg = (
            f"A worker of the queue train needs {', '.join(missing)}; pip install 'hangtag[train,worker]', "
            "or start it on a machine that has them."
        )
        raise MissingExtraError(msg)


@dataclass(frozen=True)
class CycleTask:
    """A train worker's task: runs the cycle of a due time, if that is not done yet.

    Attributes:
        settings: say where Redis is, and how long a worker has to stop.
        command: the command line, to which a config and options are added.
        configs: see :func:`start_train_worker`; absolute paths.
        retry_s: seconds before a cycle that failed is tried again.
        busy: knows whether the worker has been told to stop.
    """

    settings: QueueSettings
    command: Sequence[str] = _COMMAND
    configs: Collection[str] = ()
    retry_s: int = _RETRY_S
    busy: BusyProcesses = field(default_factory=BusyProcesses)

    def retrain(self, config: str, slot: str) -> None:
        """Run the cycle of a due time, unless that is done, or the model is being retrained."""
        message = CycleMessage(config, slot)
        try:
            with self.busy.taken():
                self._try(message, self._config(config))
        except BusyError as error:
            self._later(message, self.retry_s // 4, str(error))
        except (HangtagError, OSError, ValueError) as error:
            self._later(message, self.retry_s, f"{type(error).__name__}: {error}")

    def _config(self, path: str) -> RetrainConfig:
        """The config that a message names.

        Raises:
            InputError: the worker was not started with them, or they cannot be used.
        """
        if self.configs and path not in self.configs:
            ours = " or ".join(self.configs)
            msg = f"Expected a cycle of {ours}, which this worker was started with, got one of {path}."
            raise InputError(msg)
        if not Path(path).is_file():  # a device would be read without end
            msg = f"Expected settings of a retraining in {path}, found no such file on {socket.gethostname()}."
            raise InputError(msg)
        return read_config(Path(path))

    def _try(self, message: CycleMessage, config: RetrainConfig) -> None:
        slot, storage = message.slot, open_storage(config.registry).child(config.name)
        store = ClaimStore(storage)
        if not store.is_open(slot):
            return
        claimed = store.claim_of(slot).config
        if claimed != message.config:
            log_event("slot_refused", logging.WARNING, config=message.config, slot=slot, claimed_for=claimed)
            return
        with CycleLock(storage.child(FOLDER)).held() as held:
            earlier = store.tries(slot)
            if not store.is_open(slot):
                return
            if len(earlier) >= MOST_TRIES:  # the last one died with its worker
                self._fail(store, message, earlier)
                return
            number = earlier[-1].number + 1 if earlier else 1  # there may be fewer: a try before it was dropped
            attempt = Try(number=number, at=now_text(), by=f"{socket.gethostname()}:{os.getpid()}")
            store.write_try(slot, attempt)
            end = self._run(message, config, attempt)
            if end.status in _ENDS:  # whoever holds the lock by now
                self._done(store, message, len(earlier) + 1, end)
                return
            try:
                held.check()
            except BusyError:  # who lost the lock to another worker leaves it to that one, and has not tried
                store.drop_try(slot, attempt)
                raise
            self._unfinished(store, message, [*earlier, attempt], end)

    def _run(self, message: CycleMessage, config: RetrainConfig, attempt: Try) -> CycleEnd:
        log_event("cycle_starts", config=message.config, slot=message.slot, attempt=attempt.number)
        drift = ["--when", "drift"] if config.schedule and config.schedule.when == "drift" else []
        grace_s = max(self.settings.grace_s - _LEAVE_S, self.settings.grace_s / 2)
        return run_cycle([*self.command, message.config, "--json", *drift], lambda: self.busy.stops, grace_s)

    def _done(self, store: ClaimStore, message: CycleMessage, tries: int, end: CycleEnd) -> None:
        status, reasons = _ENDS[end.status], (end.outcome or {}).get("reasons") or ()
        reason = "; ".join(map(str, reasons))
        store.end(
            SlotEnd(slot=message.slot, status=status, tries=tries, at=now_text(), reason=reason, outcome=end.outcome)
        )
        log_event("cycle_done", config=message.config, slot=message.slot, status=status, tries=tries)

    def _unfinished(self, store: ClaimStore, message: CycleMessage, tries: list[Try], end: CycleEnd) -> None:
        """Note a try that ended without a result."""
        error = _last_error(end.message)
        if end.stopped or end.status in {ExitCode.BUSY, ExitCode.INTERRUPTED}:
            store.drop_try(message.slot, tries[-1])
            self._later(message, self.retry_s // 4, "told to stop" if end.stopped else error)
            return
        failed = tries[-1].model_copy(update={"status": end.status, "reason": error})
        store.write_try(message.slot, failed)
        if len(tries) >= MOST_TRIES:
            self._fail(store, message, [*tries[:-1], failed])
        else:
            self._later(message, self.retry_s, error or f"exit status {end.status}")

    def _fail(self, store: ClaimStore, message: CycleMessage, tries: list[Try]) -> None:
        last, config, slot = tries[-1], message.config, message.slot
        died = "its worker or its process died" if last.status is None or last.status < 0 else ""
        reason = last.reason or died or f"exit status {last.status}"
        store.end(SlotEnd(slot=slot, status=CycleStatus.FAILED, tries=len(tries), at=now_text(), reason=reason))
        log_event("slot_failed", logging.ERROR, config=config, slot=slot, tries=len(tries), reason=reason)

    def _later(self, message: CycleMessage, seconds: int, why: str) -> None:
        """Let a scheduler queue it again, after ``seconds`` at the earliest unless Redis loses that."""
        log_event("cycle_later", logging.WARNING, config=message.config, slot=message.slot, after_s=seconds, reason=why)
        with suppress(RedisError), connect(self.settings) as client:
            CycleQueue(client).hold_back(message, seconds)


def _last_error(message: str) -> str:
    """The last error that ``hangtag`` printed, all of its lines; if there is none, the last line."""
    lines = message.splitlines()
    begins = [place for place, line in enumerate(lines) if line.startswith(_ERROR)]
    return " ".join(line.strip() for line in lines[begins[-1] if begins else -1 :])
