"""What a message on the queue of cycles says, and what Redis knows of those that wait."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import redis
from celery import Celery
from kombu import Queue

from trainer.schedule.due_times import time_of
from worker.queue.app import HangtagCelery, configuration
from worker.queue.messages import Call, read_call
from worker.queue.redis_state import RedisState
from worker.queue.settings import QueueSettings

__all__ = [
    "QUEUE",
    "RETRAIN_TASK",
    "CeleryOutbox",
    "Marks",
    "SlotMessage",
    "make_sending_app",
    "parse_message",
    "slot_call",
]


QUEUE: Final = "hangtag.train"
RETRAIN_TASK: Final = "hangtag.retrain"
SENT_S: Final = 10
HELD_S: Final = 600


@dataclass(frozen=True)
class SlotMessage:
    """Asks for the cycle of a slot.

    Attributes:
        config: the file's absolute path, the same wherever it is read.
        slot: its stamp.
    """

    config: str
    slot: str


def parse_message(text: bytes | str) -> SlotMessage | None:
    """Read a message about a slot; ``None`` if it is not ours."""
    match read_call(text):
        case Call(task=task, arguments=[str(config), str(slot)]) if task == RETRAIN_TASK:
            known = config.startswith("/") and "\0" not in config and time_of(slot)
            return SlotMessage(config, slot) if known else None
    return None


def slot_call(text: bytes | str) -> Call | None:
    """Read what a train worker may be asked to do; ``None`` for anything else."""
    message = parse_message(text)
    return Call(RETRAIN_TASK, [message.config, message.slot]) if message else None


class Marks:
    """What Redis knows of slots; all of it may be lost.

    Args:
        client: a connection; every method raises ``redis.RedisError`` where Redis cannot be reached.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._state = RedisState(client)

    def ping(self) -> None:
        """Raise where Redis cannot be reached."""
        self._state.ping()

    def waiting(self) -> set[SlotMessage]:
        """The messages that nobody took yet."""
        return {message for text in self._state.queued(QUEUE) if (message := parse_message(text))}

    def mark(self, message: SlotMessage) -> bool:
        """Note that it is being queued; ``False`` when somebody did so, or held it back, a moment ago."""
        return self._state.win(_key(message), SENT_S, at_most=HELD_S)

    def hold_back(self, message: SlotMessage, seconds: int) -> None:
        """Let it be queued again after so many seconds, and not before."""
        self._redis.set(_key(message), "", ex=min(max(1, seconds), HELD_S))

    def close(self) -> None:
        """Close the connection."""
        self._state.close()


def _key(message: SlotMessage) -> str:
    digest = hashlib.sha256(message.config.encode()).hexdigest()[:16]
    return f"hangtag:slot:{digest}:{message.slot}"


_OVER: Final[dict[str, Any]] = {
    "task_queues": [Queue(QUEUE, exchange="", routing_key=QUEUE)],
    "task_default_queue": QUEUE,
    # A cycle outlasts every visibility timeout; files say whether it has to be begun again, and no message.
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    "task_time_limit": None,
    "worker_concurrency": 1,
}


def make_sending_app(settings: QueueSettings) -> HangtagCelery:
    """Queues cycles, and runs none."""
    app = HangtagCelery(settings.heartbeat, slot_call)
    app.conf.update({**configuration(settings), **_OVER})
    return app


class CeleryOutbox:
    """See :class:`trainer.schedule.scheduler.Outbox`.

    Args:
        app: knows where Redis is.
        marks: what was queued a moment ago.
    """

    def __init__(self, app: Celery, marks: Marks) -> None:
        self._app = app
        self._marks = marks

    def waiting(self) -> set[SlotMessage]:
        """The messages that nobody took yet."""
        return self._marks.waiting()

    def send(self, message: SlotMessage) -> bool:
        """Queue it, unless that was done a moment ago."""
        if not self._marks.mark(message):
            return False
        self._app.send_task(RETRAIN_TASK, (message.config, message.slot), queue=QUEUE)
        return True
