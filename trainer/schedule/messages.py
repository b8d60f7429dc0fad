"""What a message on the queue of cycles says, and what Redis knows of those that wait."""

import hashlib
from dataclasses import dataclass
from typing import Final

import redis

from trainer.schedule.slots import time_of
from worker.queue.ledger import Ledger
from worker.queue.messages import Call, read_call

__all__ = ["QUEUE", "RETRAIN_TASK", "Marks", "SlotMessage", "parse_message", "slot_call"]

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
        self._ledger = Ledger(client)

    def ping(self) -> None:
        """Raise where Redis cannot be reached."""
        self._ledger.ping()

    def waiting(self) -> set[SlotMessage]:
        """The messages that nobody took yet."""
        return {message for text in self._ledger.queued(QUEUE) if (message := parse_message(text))}

    def mark(self, message: SlotMessage) -> bool:
        """Note that it is being queued; ``False`` when somebody did so, or held it back, a moment ago."""
        return self._ledger.win(_key(message), SENT_S, at_most=HELD_S)

    def hold_back(self, message: SlotMessage, seconds: int) -> None:
        """Let it be queued again after so many seconds, and not before."""
        self._redis.set(_key(message), "", ex=min(max(1, seconds), HELD_S))

    def close(self) -> None:
        """Close the connection."""
        self._ledger.close()


def _key(message: SlotMessage) -> str:
    digest = hashlib.sha256(message.config.encode()).hexdigest()[:16]
    return f"hangtag:slot:{digest}:{message.slot}"
