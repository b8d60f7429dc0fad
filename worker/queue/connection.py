"""Celery's connection to Redis: how soon it reconnects, and which messages it accepts.

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
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport.redis import Channel, QoS, Transport

from models.events import log_event
from worker.queue.messages import TaskCall
from worker.queue.redis_state import RedisOutage

_DROPPED_REPEAT_S: Final = 10.0
_SHOWN: Final = 80


class MessageFilter:
    """Accepts a message that ``read`` knows as one for this worker, or drops it."""

    def __init__(self, read: Callable[[bytes], TaskCall | None], dropped: Callable[[], None]) -> None:
        self._read = read
        self._dropped = dropped
        self._say_at = 0.0

    def accept(self, queue: bytes, text: bytes) -> tuple[bytes, bytes] | None:
        """The queue and the message to give to Celery; None if it is dropped."""
        call = self._read(text)
        if call is None:
            self.drop(queue, text)
            return None
        return queue, call.envelope(queue.decode())

    def drop(self, queue: bytes, text: bytes) -> None:
        """Count a dropped message; of many within seconds only the first is logged."""
        self._dropped()
        if time.monotonic() >= self._say_at:
            self._say_at = time.monotonic() + _DROPPED_REPEAT_S
            where, begins = queue.decode(errors="replace"), repr(text[:_SHOWN])
            log_event("message_dropped", logging.WARNING, queue=where, bytes=len(text), begins=begins)


class _FilteredRedis(redis.Redis):
    """A client that takes only what its filter accepts from a queue; everything without a filter."""

    def __init__(self, *arguments: Any, accept: MessageFilter | None, **options: Any) -> None:  # noqa: ANN401 - redis-py's
        self._filter = accept
        super().__init__(*arguments, **options)

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:  # noqa: ANN401
        """See redis-py's; kombu passes the answers to its ``BRPOP`` through it."""
        answer = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        return self._filter.accept(*answer) if self._filter and command_name == "BRPOP" and answer else answer


class _FilteredQoS(QoS):
    """Drops invalid entries from the hash of messages in hand, at which kombu would fail every few seconds."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: ANN401
        """See kombu's."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except (ValueError, TypeError, RecursionError):
            self._remove_from_indices(tag).execute()
            self.channel.connection.client.message_filter.drop(self.channel.unacked_key.encode(), tag)


class _FilteredChannel(Channel):
    QoS = _FilteredQoS

    def _get_client(self) -> Any:  # noqa: ANN401
        super()._get_client()
        return partial(_FilteredRedis, accept=self.connection.client.message_filter)


class _FilteredTransport(Transport):
    Channel = _FilteredChannel


class _FastRetryConnection(Connection):
    """Reconnects after 0.2 s, then after longer pauses, up to 3 s; Celery's own begin with 2 s and end with 30.

    ``while_waiting`` is called after each failed try, and each second until the next. The outage reports them, instead
    of Celery, which would log a line each time. Without a filter all messages are taken.
    """

    while_waiting: Callable[[], None] | None = None
    outage: RedisOutage | None = None
    message_filter: MessageFilter | None = None

    def get_transport_cls(self) -> type[Transport]:
        """See kombu's ``Connection.get_transport_cls``; every URL that our settings allow leads to a Redis."""
        return _FilteredTransport

    def as_uri(self, include_password: bool = False, mask: str = "**") -> str:
        """See kombu's ``Connection.as_uri``, which shows a mask where there is no password, too."""
        return str(super().as_uri(include_password, mask if self.password else ""))

    def ensure_connection(self, errback: Any = None, *arguments: Any, **options: Any) -> Connection:  # noqa: ANN401
        """See kombu's ``Connection.ensure_connection``, which has no types."""
        tell = self.outage.away if self.outage else errback
        waits = {"interval_start": 0.2, "interval_step": 0.2, "interval_max": 3}
        calls = [call for call in (self.while_waiting, options.pop("callback", None)) if call]
        there = super().ensure_connection(tell, *arguments, **options, **waits, callback=lambda: [c() for c in calls])
        if self.outage:
            self.outage.there()
        return there


class FastRetryAmqp(AMQP):
    """Celery's AMQP with quick connections."""

    Connection = _FastRetryConnection
