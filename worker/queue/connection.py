"""How soon a worker comes back to a Redis that was away, and that it is alive meanwhile."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.app.amqp import AMQP
from celery.worker.consumer import Consumer
from kombu import Connection

if TYPE_CHECKING:
    from worker.queue.app import GentleCelery

__all__ = ["PatientConsumer", "QuickAmqp"]


class _QuickConnection(Connection):
    """Tries again after 0.2 s, and then ever later, up to 3 s; Celery's own waits begin with 2 s and end with 30.

    Attributes:
        while_waiting: called after each try that failed, and each second until the next.
    """

    while_waiting: Callable[[], None] | None = None

    def ensure_connection(self, *arguments: Any, **options: Any) -> Connection:  # noqa: ANN401 - kombu has no types
        """See kombu's ``Connection.ensure_connection``."""
        waits = {"interval_start": 0.2, "interval_step": 0.2, "interval_max": 3}
        calls = [call for call in (self.while_waiting, options.pop("callback", None)) if call]
        return super().ensure_connection(*arguments, **options, **waits, callback=lambda: [call() for call in calls])


class QuickAmqp(AMQP):
    """Celery's, with quick connections."""

    Connection = _QuickConnection


class PatientConsumer(Consumer):
    """Celery's, whose heart beats while it waits for Redis; Celery's event loop does not turn then."""

    app: "GentleCelery"

    def ensure_connected(self, conn: Connection) -> Connection:
        """See Celery's ``Consumer.ensure_connected``."""
        conn.while_waiting = self.app.heartbeat.beat
        return super().ensure_connected(conn)
