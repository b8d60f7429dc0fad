import ssl

import pytest

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


@pytest.mark.parametrize(
    ("options", "verify"),
    [("", ssl.CERT_REQUIRED), ("?ssl_cert_reqs=none", ssl.CERT_NONE), ("?ssl_check_hostname=false", None)],
)
def test_a_server_is_verified_unless_its_url_says_otherwise(options: str, verify: ssl.VerifyMode | None) -> None:
    """Redis's client verifies where Celery names no mode."""
    with (
        make_app(QueueSettings(redis_url=f"rediss://:ssl_cert_reqs@queue/0{options}")) as app,
        app.connection() as broker,
    ):
        assert broker.ssl.get("ssl_cert_reqs") == verify
