"""The queue of cycles: its messages, and those that wait in Redis.

Files beside the registry say whether a cycle has to run, so Redis may lose all of it.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import redis

from trainer.schedule.due_times import time_of
from worker.queue.messages import TaskCall, read_call
from worker.queue.redis_state import RedisState

QUEUE: Final = "hangtag.train"
RETRAIN_TASK: Final = "hangtag.retrain"
_SENT_S: Final = 10
_HELD_S: Final = 600


@dataclass(frozen=True)
class CycleMessage:
    """Asks for the cycle of a due time: its stamp, and the config's absolute path, the same wherever it is read."""

    config: str
    slot: str


def cycle_call(text: bytes | str) -> TaskCall | None:
    """The task of a message that a train worker takes; ``None`` for anything else."""
    return read_call(text) if _parse(text) else None


def _parse(text: bytes | str) -> CycleMessage | None:
    match read_call(text):
        case TaskCall(task=task, arguments=[str(config), str(slot)]) if task == RETRAIN_TASK:
            known = config.startswith("/") and "\0" not in config and time_of(slot)
            return CycleMessage(config, slot) if known else None
    return None


class CycleQueue:
    """The messages that wait in Redis; every method raises ``redis.RedisError`` where it cannot be reached."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._state = RedisState(client)

    def waiting(self) -> set[CycleMessage]:
        """The messages that still wait."""
        return {message for text in self._state.queued(QUEUE) if (message := _parse(text))}

    def send(self, message: CycleMessage) -> bool:
        """Queue a cycle, unless that was done a moment ago or it is held back; returns whether it was queued."""
        if not self._state.win(_key(message), _SENT_S, at_most=_HELD_S):
            return False
        self._state.send(QUEUE, TaskCall(RETRAIN_TASK, [message.config, message.slot]))
        return True

    def hold_back(self, message: CycleMessage, seconds: int) -> None:
        """Keep a cycle from being queued for ``seconds``."""
        self._redis.set(_key(message), "", ex=min(max(1, seconds), _HELD_S))


def _key(message: CycleMessage) -> str:
    digest = hashlib.sha256(message.config.encode()).hexdigest()[:16]
    return f"hangtag:slot:{digest}:{message.slot}"
