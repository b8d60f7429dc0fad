"""How a worker is connected to Redis: how soon it comes back to one that was away, and what it takes from there."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.app.amqp import AMQP
from celery.worker.consumer import Consumer
from kombu import Connection

from worker.queue.transport import CheckedTransport, Gate

if TYPE_CHECKING:
    from worker.queue.app import GentleCelery

__all__ = ["PatientConsumer", "QuickAmqp"]


class _QuickConnection(Connection):
    """Tries again after 0.2 s, and then ever later, up to 3 s; Celery's own waits begin with 2 s and end with 30.

    Attributes:
        while_waiting: called after each try that failed, and each second until the next.
        gate: says which messages are taken from queues; none where nothing is.
    """

    while_waiting: Callable[[], None] | None = None
    gate: Gate | None = None

    def get_transport_cls(self) -> type[CheckedTransport]:
        """See kombu's ``Connection.get_transport_cls``; every URL that our settings allow leads to a Redis."""
        return CheckedTransport

    def ensure_connection(self, *arguments: Any, **options: Any) -> Connection:  # noqa: ANN401 - kombu has no types
        """See kombu's ``Connection.ensure_connection``."""
        waits = {"interval_start": 0.2, "interval_step": 0.2, "interval_max": 3}
        calls = [call for call in (self.while_waiting, options.pop("callback", None)) if call]
        return super().ensure_connection(*arguments, **options, **waits, callback=lambda: [call() for call in calls])


class QuickAmqp(AMQP):
    """Celery's, with quick connections."""

    Connection = _QuickConnection


class PatientConsumer(Consumer):
    """Celery's, whose heart beats while it waits for Redis, when Celery's event loop does not turn."""

    app: "GentleCelery"

    def ensure_connected(self, conn: Connection) -> Connection:
        """See Celery's ``Consumer.ensure_connected``."""
        conn.while_waiting, conn.gate = self.app.heartbeat.beat, self.app.gate
        return super().ensure_connected(conn)
