"""How soon a worker comes back to a Redis that was away."""

from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection

__all__ = ["QuickAmqp"]


class _QuickConnection(Connection):
    """Tries again after 0.2 s, and then ever later, up to 3 s; Celery's own waits begin with 2 s and end with 30."""

    def ensure_connection(self, *arguments: Any, **options: Any) -> Connection:  # noqa: ANN401 - kombu has no types
        """See kombu's ``Connection.ensure_connection``."""
        waits = {"interval_start": 0.2, "interval_step": 0.2, "interval_max": 3}
        return super().ensure_connection(*arguments, **{**options, **waits})


class QuickAmqp(AMQP):
    """Celery's, with quick connections."""

    Connection = _QuickConnection
