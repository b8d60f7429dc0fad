from worker.queue.app import make_app
from worker.queue.settings import TIME_LIMIT_S, QueueSettings


def test_a_message_is_away_for_longer_than_its_chunk_may_take() -> None:
    with make_app(QueueSettings()) as app:
        assert app.conf.task_time_limit == TIME_LIMIT_S
        assert app.conf.broker_transport_options["visibility_timeout"] > TIME_LIMIT_S


def test_the_grace_time_leaves_some_for_the_end() -> None:
    for grace_s in (0.5, 3.0, 10.0, 600.0):
        with make_app(QueueSettings(grace_s=grace_s)) as app:
            assert 0 < app.conf.worker_soft_shutdown_timeout < grace_s
