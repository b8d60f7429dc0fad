"""The Celery app, its tasks and its settings; docs/queue.md gives the reason for each setting."""

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from celery import Celery, Task
from kombu import Queue

from models.process import usable_cores
from worker.queue.connection import MessageFilter
from worker.queue.messages import CHUNK_TASK, FINISH_TASK, QUEUES, TaskCall, chunk_call
from worker.queue.metrics import DROPPED, Metrics
from worker.queue.runner import Runner
from worker.queue.settings import TIME_LIMIT_S, QueueSettings
from worker.queue.worker_state import BusyProcesses, Heartbeat
from worker.request import Priority

if TYPE_CHECKING:
    from worker.queue.start_worker import GracefulWorker

VISIBILITY_S: Final = 2 * TIME_LIMIT_S
SOCKET_TIMEOUT_S: Final = 10
LEAVE_S: Final = 3.0
"""Seconds of the grace time that are kept for handing back messages and ending processes."""


class _LoggedTask(Task):
    Request = "worker.queue.start_worker:LoggedRequest"


class HangtagCelery(Celery):
    """A Celery app whose workers finish what they have in hand when they are told to stop.

    They take the messages that ``read`` recognises as a task, and drop all others.
    """

    amqp_cls = "worker.queue.connection:FastRetryAmqp"
    task_cls = _LoggedTask

    def __init__(self, settings: QueueSettings, read: Callable[[bytes], TaskCall | None] = chunk_call) -> None:
        super().__init__("hangtag", set_as_current=False)
        self.conf.update(_configuration(settings))
        self.settings = settings
        self.busy = BusyProcesses()
        self.metrics = Metrics()
        self.heartbeat = Heartbeat(settings.heartbeat)
        self.message_filter = MessageFilter(read, lambda: self.metrics.count(DROPPED, "message"))

    @property
    def Worker(self) -> type["GracefulWorker"]:
        """Celery's worker class; imported only to start a worker, since submitting does not need it."""
        name = "worker.queue.start_worker:GracefulWorker"
        graceful: type[GracefulWorker] = self.subclass_with_self(name, name="Worker")
        return graceful


def make_app(settings: QueueSettings) -> HangtagCelery:
    """A Celery app with our two tasks; nothing is connected yet."""
    app = HangtagCelery(settings)
    runner = Runner(settings, app.busy, app.metrics)
    app.task(name=CHUNK_TASK, shared=False)(runner.label_chunk)
    app.task(name=FINISH_TASK, shared=False)(runner.run_finish_process)
    app.steps["worker"].add("worker.queue.start_worker:ServiceStep")  # by name, as the worker above
    return app


def _configuration(settings: QueueSettings) -> dict[str, Any]:
    """Celery's settings; docs/queue.md gives the reason for each."""
    # Celery trusts any server unless told otherwise; what the URL itself says of TLS goes before this
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
            "global_keyprefix": "",
        },
        "broker_use_ssl": tls,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "task_queues": [Queue(name, exchange="", routing_key=name) for name in QUEUES.values()],
        "task_default_queue": QUEUES[Priority.NORMAL],
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure_or_timeout": True,
        "task_time_limit": TIME_LIMIT_S,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": None,
        "worker_consumer": "worker.queue.start_worker:HangtagConsumer",
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": usable_cores(),
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_soft_shutdown_timeout": max(settings.grace_s - LEAVE_S, settings.grace_s / 2),
        "worker_enable_soft_shutdown_on_idle": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }
