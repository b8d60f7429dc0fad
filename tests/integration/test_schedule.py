"""A real beat, a real train worker and a real Redis: cycles run after any of them dies or loses its data."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from celery import Celery

from tests.command import HANGTAG
from tests.until import until
from worker.queue.private_redis import PrivateRedis

from .scheduled_model import ScheduledModel


@pytest.fixture
def model(server: PrivateRedis, tmp_path: Path) -> Iterator[ScheduledModel]:
    model = ScheduledModel(tmp_path, server)
    yield model
    model.close()


def send(server: PrivateRedis, model: ScheduledModel) -> None:
    with Celery(broker=server.url, set_as_current=False) as app:
        app.send_task("hangtag.retrain", [str(model.config), "data"], queue="hangtag.train")


def test_cycles_run_after_kills_and_after_redis_lost_its_data(server: PrivateRedis, model: ScheduledModel) -> None:
    server.kill()
    beat = model.beat()
    until(lambda: beat.events("celery.beat"), "the beat says that it waits for Redis")
    server.start()
    first = model.worker()
    model.wait_for_another()
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    model.wait_for_another()

    model.order(seconds=600)
    model.wait_for_another("begin")
    pids = first.pids()
    first.process.kill()
    until(lambda: not any(map(psutil.pid_exists, pids[1:])), "the cycle ends with its worker")

    model.order(seconds=0)
    second = model.worker()
    model.wait_for_another()
    for process in (beat, second):
        process.terminate()
        assert process.process.wait(15) == 0
    assert {event["status"] for event in second.events("cycle_ends")} == {0}
    assert second.events("cycle_line")[0]["line"] == "the cycle's own words"


def test_the_next_worker_continues_the_cycle_of_a_stopped_worker(server: PrivateRedis, model: ScheduledModel) -> None:
    model.order(seconds=600)
    first = model.worker()
    send(server, model)
    until(lambda: model.runs()["begin"] == 1, "a cycle runs")
    pids = first.pids()
    first.terminate()
    assert first.process.wait(15) == 0
    until(lambda: not any(map(psutil.pid_exists, pids[1:])), "the cycle ends with its worker")
    model.order(seconds=0)
    model.worker()
    until(lambda: model.runs() == {"begin": 2, "end": 1}, "it runs again, without another message")


def test_of_messages_that_waited_only_the_last_may_run(server: PrivateRedis, model: ScheduledModel) -> None:
    beat = model.beat()
    with redis.Redis.from_url(server.url) as client:
        until(lambda: client.llen("hangtag.train") >= 4, "messages wait")
        beat.terminate()
        beat.process.wait(15)
        worker = model.worker()
        until(lambda: client.llen("hangtag.train") == 0, "the worker takes them")
    worker.terminate()
    assert worker.process.wait(15) == 0
    assert len(worker.events("cycle_starts")) <= 1


def test_the_real_train_worker_runs_hangtag_retrain_and_takes_no_chunks(
    server: PrivateRedis, model: ScheduledModel
) -> None:
    worker = model.start((*HANGTAG, "worker", "--queue", "train", str(model.config)))
    worker.wait_until_ready()
    with redis.Redis.from_url(server.url) as client:
        client.lpush("hangtag.2.normal", "a chunk's message")
        send(server, model)
        (end,) = until(lambda: worker.events("cycle_ends"), "a cycle ends")
        assert client.llen("hangtag.2.normal") == 1
    assert end["status"] == 2
    assert any("photos" in event["line"] for event in worker.events("cycle_line")), "hangtag retrain says why"
