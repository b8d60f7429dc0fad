"""The queue of cycles: its messages, those that wait in Redis, and the Celery app.

Files beside the registry say whether a cycle has to run, so Redis may lose all of it.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import redis
from celery import Celery
from kombu import Queue

from trainer.schedule.due_times import time_of
from worker.queue.app import HangtagCelery
from worker.queue.messages import Call, read_call
from worker.queue.redis_state import RedisState
from worker.queue.settings import QueueSettings

__all__ = ["QUEUE", "RETRAIN_TASK", "CycleMessage", "CycleQueue", "hold_back", "make_sending_app"]

QUEUE: Final = "hangtag.train"
RETRAIN_TASK: Final = "hangtag.retrain"
_SENT_S: Final = 10
_HELD_S: Final = 600
_OVER: Final[dict[str, Any]] = {
    "task_queues": [Queue(QUEUE, exchange="", routing_key=QUEUE)],
    "task_default_queue": QUEUE,
    # A cycle outlasts every visibility timeout; files say whether it has to be begun again, and no message.
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    "task_time_limit": None,
    "worker_concurrency": 1,
}


@dataclass(frozen=True)
class CycleMessage:
    """Asks for the cycle of a due time: its stamp, and the config's absolute path, the same wherever it is read."""

    config: str
    slot: str


def _parse(text: bytes | str) -> CycleMessage | None:
    """Read a message; ``None`` if it is not ours."""
    match read_call(text):
        case Call(task=task, arguments=[str(config), str(slot)]) if task == RETRAIN_TASK:
            known = config.startswith("/") and "\0" not in config and time_of(slot)
            return CycleMessage(config, slot) if known else None
    return None


def make_sending_app(settings: QueueSettings) -> HangtagCelery:
    """The app of chunks with another queue, and settings for a task that takes hours; it runs no cycles."""
    app = HangtagCelery(settings, lambda text: read_call(text) if _parse(text) else None)
    app.conf.update(_OVER)
    return app


class CycleQueue:
    """The messages that wait in Redis; every method raises ``redis.RedisError`` where it cannot be reached."""

    def __init__(self, client: redis.Redis, app: Celery) -> None:
        self.state = RedisState(client)
        self._app = app

    def waiting(self) -> set[CycleMessage]:
        """The messages that still wait."""
        return {message for text in self.state.queued(QUEUE) if (message := _parse(text))}

    def send(self, message: CycleMessage) -> bool:
        """Queue a cycle, unless that was done a moment ago or it is held back; returns whether it was queued."""
        if not self.state.win(_key(message), _SENT_S, at_most=_HELD_S):
            return False
        self._app.send_task(RETRAIN_TASK, (message.config, message.slot), queue=QUEUE)
        return True


def hold_back(client: redis.Redis, message: CycleMessage, seconds: int) -> None:
    """Keep a cycle from being queued for ``seconds``."""
    client.set(_key(message), "", ex=min(max(1, seconds), _HELD_S))


def _key(message: CycleMessage) -> str:
    digest = hashlib.sha256(message.config.encode()).hexdigest()[:16]
    return f"hangtag:slot:{digest}:{message.slot}"
