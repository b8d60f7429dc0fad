"""kombu's Redis transport, which hands on only what our own publishers say.

kombu reads what it takes from a queue as JSON before Celery sees it, and where that fails, or a field is missing or of
another type, the worker's event loop ends (https://github.com/celery/kombu/issues/2421). So a message is read here
first. Celery gets another one with the same task and arguments, of which every field is our own.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import redis
from kombu.transport.redis import Channel, QoS, Transport

from worker.queue.events import log_event
from worker.queue.messages import Call

__all__ = ["CheckedTransport", "Gate"]

_SILENT_S: Final = 10.0
_SHOWN: Final = 80


class Gate:
    """Lets a message in, or drops it.

    Args:
        read: reads a message; gives nothing for what this worker does not do.
        dropped: told of each message that is dropped.
    """

    def __init__(self, read: Callable[[bytes], Call | None], dropped: Callable[[], None]) -> None:
        self._read = read
        self._dropped = dropped
        self._say_at = 0.0

    def let_in(self, queue: bytes, text: bytes) -> tuple[bytes, bytes] | None:
        """The queue and the message that Celery gets; nothing if it is dropped."""
        call = self._read(text)
        if call is None:
            self.drop(queue, text)
            return None
        return queue, call.envelope(queue.decode())

    def drop(self, queue: bytes, text: bytes) -> None:
        """Count it; the first of many within seconds is logged."""
        self._dropped()
        if time.monotonic() >= self._say_at:
            self._say_at = time.monotonic() + _SILENT_S
            where, begins = queue.decode(errors="replace"), repr(text[:_SHOWN])
            log_event("message_dropped", logging.WARNING, queue=where, bytes=len(text), begins=begins)


class _CheckedRedis(redis.Redis):
    """A client that takes nothing else from a queue."""

    def __init__(self, *arguments: Any, gate: Gate | None, **options: Any) -> None:  # noqa: ANN401 - as redis-py has it
        self._gate = gate
        super().__init__(*arguments, **options)

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:  # noqa: ANN401
        """See redis-py's; kombu passes the answers to its ``BRPOP`` through it."""
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        return self._gate.let_in(*answer) if self._gate and command_name == "BRPOP" and answer else answer


class _CheckedQoS(QoS):
    """Drops entries in the hash of messages in hand that are no messages; kombu would fail every few seconds."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: ANN401
        """See kombu's."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except (ValueError, TypeError, RecursionError):
            self._remove_from_indices(tag).execute()
            self.channel.connection.client.gate.drop(self.channel.unacked_key.encode(), tag)


class _CheckedChannel(Channel):
    QoS = _CheckedQoS

    def _get_client(self) -> Any:  # noqa: ANN401
        super()._get_client()
        return partial(_CheckedRedis, gate=self.connection.client.gate)


class CheckedTransport(Transport):
    """kombu's, for connections with a ``gate``: a :class:`Gate`, or none for those that only publish."""

    Channel = _CheckedChannel
