"""Keeps the queue supplied: what the folder says is not done, and nobody works on, is queued again.

Any number of reconcilers may run. Only the folder of jobs is believed: Redis may be wiped at any time, and messages may
be lost or arrive twice. A chunk's message is a hint that the chunk might be worth a look.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from threading import Event, Thread
from typing import Any, Final, Protocol

from celery.bootsteps import StartStopStep

from models.errors import HangtagError
from models.storage.storage import open_storage
from worker.events import log_event
from worker.job import Job
from worker.jobs import Jobs
from worker.owner import Owner
from worker.priority import Priority
from worker.queue.messages import FINISH, QUEUES, parse_message
from worker.queue.metrics import Metrics
from worker.queue.redis_state import Presence, RedisState, connect
from worker.queue.settings import QueueSettings
from worker.queue.worker_state import BEAT_S, Heartbeat
from worker.receipt import finished_receipt
from worker.results import part_key

__all__ = ["Publisher", "Reconciler", "service_step"]

PERIOD_S: Final = 1.0
MIN_WINDOW: Final = 32
WINDOW_PER_SLOT: Final = 16
"""Chunks that wait, a slot: a tick comes once a second, and a chunk of small photos takes a tenth of one."""

BLOCK: Final = 64
TICK_S: Final = 2.0
"""How long one tick may look at jobs; the others' turn comes in the next."""

REST_S: Final = 5.0
"""How long a job that needs nothing is left alone."""

EFFORT: Final = 0.05
"""The share of its time that looking at one job may take."""


class Publisher(Protocol):
    """Puts work on the queue."""

    def send_chunk(self, job: str, chunk: int, priority: Priority) -> None:
        """Queue a chunk."""

    def send_finish(self, job: str, priority: Priority) -> None:
        """Queue the end of a job."""


@dataclass
class _Look:
    """The last look at a job: its chunks that had no part; no job if there was nothing to do for it."""

    job: Job | None
    missing: list[int] = field(default_factory=list)
    again_at: float = 0.0


class Reconciler:
    """Compares the parts on disk with leases and queues."""

    def __init__(self, jobs: Jobs, state: RedisState, publisher: Publisher) -> None:
        self._jobs = jobs
        self._redis = state
        self._publisher = publisher
        self._looks: dict[str, _Look] = {}

    def tick(self) -> int:
        """Look after every job, unless another reconciler does so at this moment.

        Returns:
            How many messages were queued.

        Raises:
            RedisError, kombu.exceptions.OperationalError: Redis cannot be reached.
        """
        if not self._redis.win_tick():
            return 0
        names = self._jobs.names()
        there = set(names)
        self._looks = {name: look for name, look in self._looks.items() if name in there}
        return self._supply(sorted(names, key=lambda name: self._looks[name].again_at if name in self._looks else 0.0))

    def supply(self, name: str) -> int:
        """Look after one job at once, whoever else does and however often it failed."""
        self._looks.pop(name, None)
        self._redis.reset_backoff(name)
        return self._supply([name])

    def _supply(self, names: list[str]) -> int:
        waiting = self._waiting_chunks()
        window = max(MIN_WINDOW, WINDOW_PER_SLOT * sum(worker.slots for worker in self._redis.workers()))
        until = time.monotonic() + TICK_S
        return sum(self._top_up(name, self._look(name, until), window, waiting[name]) for name in names)

    def _waiting_chunks(self) -> dict[str, set[int]]:
        """Job → numbers of its chunks that wait in a queue."""
        waiting: dict[str, set[int]] = defaultdict(set)
        for queue in QUEUES.values():
            for message in filter(None, map(parse_message, self._redis.queued(queue))):
                waiting[message.job].add(FINISH if message.chunk is None else message.chunk)
        return waiting

    def _look(self, name: str, until: float) -> _Look:
        """The last look at a job, or a fresh one where that is due and there is time for it."""
        look = self._looks.get(name)
        start = time.monotonic()
        if start > until:
            return look or _Look(None)
        if look is None or start >= look.again_at:
            look = self._looks[name] = self._fresh_look(name)
            seconds = time.monotonic() - start
            look.again_at = start + max(seconds / EFFORT, 0.0 if look.job else REST_S)
        return look

    def _fresh_look(self, name: str) -> _Look:
        try:
            job = self._jobs.get(name)
            if job is None or job.cancelled or finished_receipt(job):
                return _Look(None)
            return _Look(job, job.missing_chunks())
        except (HangtagError, OSError, ValueError) as error:
            log_event("job_unusable", job=name, error=str(error))
            return _Look(None)

    def _top_up(self, name: str, look: _Look, window: int, waiting: set[int]) -> int:
        if look.job is None:
            return 0
        failures = self._redis.failures(name)
        if failures and (waiting or not self._redis.may_retry(name, failures)):
            return 0  # other jobs need the slots that its tries would take up
        if not look.missing:
            return self._send_finish(name, look.job, waiting)
        most = 1 if failures else window - len(waiting)
        sent = 0
        for chunk in self._candidates(name, look.job, look.missing, waiting):
            if sent >= most:
                break
            if self._redis.mark_sent(name, chunk):
                self._publisher.send_chunk(name, chunk, look.job.spec.priority)
                sent += 1
        return sent

    def _candidates(self, name: str, job: Job, missing: list[int], waiting: set[int]) -> Iterator[int]:
        """Chunks without a part that nobody works on and that wait in no queue, in order."""
        if job.cancelled:
            return
        retry = job.retry()
        missing = [chunk for chunk in missing if chunk not in waiting]
        for start in range(0, len(missing), BLOCK):
            block = missing[start : start + BLOCK]
            leased = self._redis.leased(name, block)
            for chunk in block:
                if chunk not in leased and not job.storage.exists(part_key(chunk, retry.wanted(chunk))):
                    yield chunk

    def _send_finish(self, name: str, job: Job, waiting: set[int]) -> int:
        if FINISH in waiting or self._redis.leased(name, [FINISH]):
            return 0
        if job.cancelled or job.missing_chunks() or not self._redis.mark_sent(name, FINISH):  # since the last look
            return 0
        self._publisher.send_finish(name, job.spec.priority)
        return 1


class _Service(Thread):
    """Once a second: announce the worker, and one tick of the reconciler."""

    def __init__(
        self, settings: QueueSettings, publisher: Publisher, metrics: Metrics, heartbeat: Heartbeat, slots: int
    ) -> None:
        super().__init__(name="reconciler", daemon=True)
        self._settings = settings
        self._metrics = metrics
        self._publisher = publisher
        self._heartbeat = heartbeat
        self._slots = slots
        self.ended = Event()

    def run(self) -> None:
        jobs = Jobs(open_storage(self._settings.jobs))
        state = RedisState(connect(self._settings), self._metrics.record_passed_over)
        reconciler = Reconciler(jobs, state, self._publisher)
        here, wrong = version("hangtag"), ""
        while not self.ended.wait(PERIOD_S):
            self._heartbeat.turned()
            try:
                state.announce(Presence(Owner.this(), self._slots, here, jobs.place, jobs.identity()))
                queued = reconciler.tick()
            except Exception as error:  # noqa: BLE001 - a reconciler that ended would strand every job
                text = f"{type(error).__name__}: {error}"
                if text != wrong:
                    log_event("cannot_reconcile", logging.WARNING, error=text, redis=self._settings.redis_name)
                wrong = text
                continue
            if queued:
                log_event("queued", logging.DEBUG, messages=queued)
            if wrong:
                log_event("reconciling_again")
            wrong = ""
        state.close()


def service_step(
    settings: QueueSettings, publisher: Publisher, metrics: Metrics, heartbeat: Heartbeat
) -> type[StartStopStep]:
    """What a Celery worker does beside its tasks: it says that it is there, how it is, and reconciles."""

    class ServiceStep(StartStopStep):
        requires = ("celery.worker.components:Pool",)

        def __init__(self, parent: Any, **_: object) -> None:  # noqa: ANN401 - Celery has no types
            super().__init__(parent)
            self._service = _Service(settings, publisher, metrics, heartbeat, parent.concurrency)
            self._metrics_server = None
            if settings.metrics_port is not None:
                from worker.queue.exposition import MetricsServer

                self._metrics_server = MetricsServer(settings, metrics, parent.concurrency)

        def start(self, parent: Any) -> None:  # noqa: ANN401
            self._service.start()
            if parent.hub:  # Celery's event loop, which only processes of the prefork kind have
                parent.hub.call_repeatedly(BEAT_S, heartbeat.beat)
            if self._metrics_server:
                self._metrics_server.start()

        def stop(self, parent: Any) -> None:  # noqa: ANN401
            self._service.ended.set()
            if self._metrics_server:
                self._metrics_server.end()

    return ServiceStep
