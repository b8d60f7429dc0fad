"""What the commands about jobs need, opened once: the folder of jobs, Redis, and a reconciler."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from models.errors import JobError
from models.storage.open_storage import open_storage
from worker.jobs import Jobs
from worker.queue.app import CeleryPublisher, make_app
from worker.queue.connection import redis_expected
from worker.queue.ledger import Ledger, RedisError, connect
from worker.queue.reconciler import Reconciler
from worker.queue.settings import QueueSettings

__all__ = ["Control", "open_control"]


@dataclass(frozen=True)
class Control:
    """The queue, from the side of those who submit and watch."""

    settings: QueueSettings
    jobs: Jobs
    ledger: Ledger
    reconciler: Reconciler

    def check_redis(self) -> None:
        """Raise a :class:`JobError` that says what to do when Redis cannot be reached."""
        try:
            self.ledger.ping()
        except RedisError as error:
            raise JobError(redis_expected(self.settings.redis_name, error)) from error


@contextmanager
def open_control(settings: QueueSettings) -> Iterator[Control]:
    """Open the queue; Redis is not asked for anything yet."""
    jobs, ledger = Jobs(open_storage(settings.jobs)), Ledger(connect(settings))
    try:
        with make_app(settings) as app:
            yield Control(settings, jobs, ledger, Reconciler(jobs, ledger, CeleryPublisher(app)))
    finally:
        ledger.close()
