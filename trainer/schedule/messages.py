"""What a message on the queue of cycles says, and what Redis knows of those that wait."""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import redis

from worker.queue.ledger import Ledger

__all__ = ["QUEUE", "RETRAIN_TASK", "Marks", "SlotMessage", "parse_messages"]

QUEUE: Final = "hangtag.train"
RETRAIN_TASK: Final = "hangtag.retrain"
SENT_S: Final = 10


@dataclass(frozen=True)
class SlotMessage:
    """Asks for the cycle of a slot.

    Attributes:
        config: the file's absolute path, the same wherever it is read.
        slot: its stamp.
    """

    config: str
    slot: str


def parse_messages(texts: Iterable[bytes | str]) -> set[SlotMessage]:
    """Those of waiting messages that are ours, as Celery's protocol 2 lays them out on Redis."""
    found = set()
    for text in texts:
        try:
            config, slot = json.loads(base64.b64decode(json.loads(text)["body"]))[0]
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            continue
        found.add(SlotMessage(str(config), str(slot)))
    return found


class Marks:
    """What Redis knows of slots; all of it may be lost.

    Args:
        client: a connection; every method raises ``redis.RedisError`` where Redis cannot be reached.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._ledger = Ledger(client)

    def waiting(self) -> set[SlotMessage]:
        """The messages that nobody took yet."""
        return parse_messages(self._ledger.queued(QUEUE))

    def mark(self, message: SlotMessage) -> bool:
        """Note that it is being queued; ``False`` when somebody did so, or held it back, a moment ago."""
        return bool(self._redis.set(_key(message), "", nx=True, ex=SENT_S))

    def hold_back(self, message: SlotMessage, seconds: int) -> None:
        """Let it be queued again after so many seconds, and not before."""
        self._redis.set(_key(message), "", ex=max(1, seconds))

    def close(self) -> None:
        """Close the connection."""
        self._ledger.close()


def _key(message: SlotMessage) -> str:
    digest = hashlib.sha256(message.config.encode()).hexdigest()[:16]
    return f"hangtag:slot:{digest}:{message.slot}"
