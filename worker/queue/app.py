"""The Celery app and its settings, explained in docs/queue.md."""

import mmap
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from billiard.process import current_process
from celery import Celery, Task
from kombu import Queue
from kombu.exceptions import OperationalError

from models.process import usable_cores
from worker.queue.redis_state import FINISH, QUEUES, RedisError
from worker.queue.settings import TIME_LIMIT_S, QueueSettings
from worker.request import Priority

CHUNK_TASK: Final = "hangtag.label_chunk"
FINISH_TASK: Final = "hangtag.finish_job"

VISIBILITY_S: Final = 2 * TIME_LIMIT_S
SOCKET_TIMEOUT_S: Final = 10
LEAVE_S: Final = 3.0
"""Seconds at the end of the grace time to return messages and stop processes."""
_ONCE_MORE: Final = {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.0, "interval_max": 0.0}
"""Try to reconnect once, without a pause."""
_MOST_SLOTS: Final = 4096


class BusyProcesses:
    """Records which processes run a task, and whether the worker is stopping, in memory shared with forks.

    There is no lock, since a process may be killed at any moment. A killed process counts as busy until its
    replacement finishes a task.
    """

    def __init__(self) -> None:
        self._busy = mmap.mmap(-1, _MOST_SLOTS)
        self._stops = mmap.mmap(-1, 1)

    def __bool__(self) -> bool:
        return any(self._busy[:])

    @property
    def stops(self) -> bool:
        """Whether the worker is stopping. Tasks then begin no further chunks."""
        return bool(self._stops[0])

    def stop(self) -> None:
        """Tell all processes that the worker is stopping."""
        self._stops[0] = 1

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Count this process as busy while the block runs."""
        slot = getattr(current_process(), "index", 0) % _MOST_SLOTS
        self._busy[slot] = 1
        try:
            yield
        finally:
            self._busy[slot] = 0


class _LoggedTask(Task):
    Request = "worker.queue.start_worker:LoggedRequest"


class HangtagCelery(Celery):
    """A Celery app whose workers finish their chunks before they stop. Connects at first use."""

    task_cls = _LoggedTask

    def __init__(self, settings: QueueSettings) -> None:
        super().__init__("hangtag", set_as_current=False)
        self.conf.update(_configuration(settings))
        self.settings = settings
        self.busy = BusyProcesses()

    @property
    def Worker(self) -> Any:  # noqa: ANN401 - Celery has no types
        """Celery's worker class, imported only by workers."""
        return self.subclass_with_self("worker.queue.start_worker:GracefulWorker", name="Worker")

    def send(self, job: str, chunk: int, priority: Priority) -> None:
        """Queue a chunk; :data:`FINISH` queues the job's merge. Raises :data:`RedisError`."""
        task, arguments = (FINISH_TASK, [job]) if chunk == FINISH else (CHUNK_TASK, [job, chunk])
        try:
            self.send_task(task, arguments, queue=QUEUES[priority], retry=True, retry_policy=_ONCE_MORE)
        except OperationalError as error:
            raise RedisError(str(error)) from error


def _configuration(settings: QueueSettings) -> dict[str, Any]:
    # by default, Celery does not verify certificates; TLS options in the URL take precedence
    tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED} if settings.redis_url.startswith("rediss://") else None
    return {
        "broker_url": settings.redis_url,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_S,
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_connect_timeout": SOCKET_TIMEOUT_S,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "queue_order_strategy": "sorted",
            "max_retries": 0,  # only for senders: workers wait for Redis
        },
        "broker_use_ssl": tls,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "task_queues": [Queue(name, exchange="", routing_key=name) for name in QUEUES.values()],
        "task_default_queue": QUEUES[Priority.NORMAL],
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_time_limit": TIME_LIMIT_S,
        "task_ignore_result": True,
        "accept_content": ["json"],
        "worker_consumer": "worker.queue.start_worker:HangtagConsumer",
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": usable_cores(),
        "worker_enable_remote_control": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_soft_shutdown_timeout": max(settings.grace_s - LEAVE_S, settings.grace_s / 2),
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }
