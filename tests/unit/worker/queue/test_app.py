import multiprocessing
import ssl

import pytest

from worker.queue.app import BusyProcesses, HangtagCelery
from worker.queue.settings import TIME_LIMIT_S, QueueSettings


def test_a_message_is_away_for_longer_than_its_chunk_may_take() -> None:
    with HangtagCelery(QueueSettings()) as app:
        assert app.conf.task_time_limit == TIME_LIMIT_S
        assert app.conf.broker_transport_options["visibility_timeout"] > TIME_LIMIT_S


def test_nothing_but_json_is_read_or_written() -> None:
    with HangtagCelery(QueueSettings()) as app:
        assert (app.conf.task_serializer, app.conf.accept_content) == ("json", ["json"])


@pytest.mark.parametrize(
    ("options", "verify"),
    [("", ssl.CERT_REQUIRED), ("?ssl_cert_reqs=none", ssl.CERT_NONE), ("?ssl_check_hostname=false", None)],
)
def test_a_server_is_verified_unless_its_url_says_otherwise(options: str, verify: ssl.VerifyMode | None) -> None:
    """Redis's client verifies where Celery names no mode."""
    url = f"rediss://:ssl_cert_reqs@queue/0{options}"
    with HangtagCelery(QueueSettings(redis_url=url)) as app, app.connection() as broker:
        assert broker.ssl.get("ssl_cert_reqs") == verify


FORK = multiprocessing.get_context("fork")


def test_what_a_forked_process_takes_is_seen_until_it_is_done() -> None:
    busy, taken, go_on = BusyProcesses(), FORK.Event(), FORK.Event()

    def work() -> None:
        with busy.taken():
            taken.set()
            go_on.wait()

    process = FORK.Process(target=work)
    process.start()
    assert taken.wait(10)
    assert busy
    go_on.set()
    process.join()
    assert not busy
