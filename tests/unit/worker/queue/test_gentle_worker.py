from worker.queue.app import make_app
from worker.queue.celery_worker import GracefulWorker
from worker.queue.settings import QueueSettings


def test_workers_of_the_app_are_gentle() -> None:
    with make_app(QueueSettings()) as app:
        assert issubclass(app.Worker, GracefulWorker)
        assert app.Worker.app is app
