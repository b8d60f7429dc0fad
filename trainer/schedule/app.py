"""The Celery app of cycles: the one of chunks with another queue, and settings for a task that takes hours."""

from typing import Any, Final

from celery import Celery
from celery.bootsteps import StartStopStep
from kombu import Queue

from trainer.schedule.messages import QUEUE, RETRAIN_TASK, Marks, SlotMessage, slot_call
from trainer.schedule.slot_run import SlotRun
from worker.queue.app import LOGGED, GentleCelery, configuration
from worker.queue.settings import QueueSettings
from worker.queue.worker_state import BEAT_S, Heartbeat

__all__ = ["CeleryOutbox", "make_sending_app", "make_train_app"]

_OVER: Final[dict[str, Any]] = {
    "task_queues": [Queue(QUEUE, exchange="", routing_key=QUEUE)],
    "task_default_queue": QUEUE,
    # A cycle outlasts every visibility timeout; files say whether it has to be begun again, and no message.
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    "task_time_limit": None,
    "worker_concurrency": 1,
}


def make_sending_app(settings: QueueSettings) -> GentleCelery:
    """Queues cycles, and runs none."""
    amqp = "worker.queue.connection:QuickAmqp"
    app = GentleCelery("hangtag", amqp=amqp, set_as_current=False, read=slot_call, heartbeat=settings.heartbeat)
    app.conf.update({**configuration(settings), **_OVER})
    return app


def make_train_app(settings: QueueSettings, run: SlotRun) -> GentleCelery:
    """Runs cycles, one at a time; nothing is connected yet."""
    app = make_sending_app(settings)
    run.in_hand = app.in_hand
    app.task(name=RETRAIN_TASK, Request=LOGGED, shared=False)(run.retrain)
    app.steps["worker"].add(_heart_step(app.heartbeat))
    return app


def _heart_step(heartbeat: Heartbeat) -> type[StartStopStep]:
    class HeartStep(StartStopStep):
        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:  # noqa: ANN401 - Celery has no types
            if parent.hub:
                parent.hub.call_repeatedly(BEAT_S, self._beat)

        def _beat(self) -> None:
            heartbeat.turned()
            heartbeat.beat()

    return HeartStep


class CeleryOutbox:
    """See :class:`trainer.schedule.desk.Outbox`.

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
