"""Schedulers, train workers and a real Redis: one due time, one run, whatever dies or forgets."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from tests.command import HANGTAG
from tests.until import until
from trainer.retrain.cycle_folder import CycleStatus
from worker.queue.private_redis import PrivateRedis

from .scheduled_model import ScheduledModel


@pytest.fixture
def model(server: PrivateRedis, tmp_path: Path) -> Iterator[ScheduledModel]:
    model = ScheduledModel(tmp_path, server, "2s")
    yield model
    model.close()


@pytest.fixture
def claimed(model: ScheduledModel) -> str:
    """A due time of a schedule that asks for nothing else."""
    model.schedule("9h")
    return model.claim_by_hand()


def check_once_each(model: ScheduledModel) -> None:
    claims = model.claims()
    assert set(claims.claimed) == claims.done
    assert model.runs() == {"begin": len(claims.claimed), "end": len(claims.claimed)}


def test_two_schedulers_and_two_workers_run_each_slot_once(model: ScheduledModel) -> None:
    schedulers = [model.scheduler(), model.scheduler()]
    workers = [model.worker(), model.worker()]
    model.wait_for(3)
    model.settle(*schedulers)
    check_once_each(model)
    claimed = list(model.claims().claimed)
    assert sorted(event["slot"] for scheduler in schedulers for event in scheduler.events("slot_claimed")) == claimed

    def done() -> list[str]:
        return sorted(event["slot"] for worker in workers for event in worker.events("cycle_done"))

    until(lambda: done() == claimed, "each is said to be done once")
    model.end_beats()


def test_redis_may_be_away_die_and_forget(model: ScheduledModel) -> None:
    model.server.kill()
    scheduler = model.scheduler()
    until(lambda: model.claims().claimed, "one is claimed without Redis")
    (told,) = scheduler.events("waiting_for_redis")
    assert told["message"].startswith(f"Expected Redis at {model.server.url}, got: ")
    until(lambda: scheduler.events("cannot_keep_the_schedule"), "the scheduler says that it cannot send")
    model.server.start()
    model.worker()
    model.wait_for(1)
    model.server.kill()
    there = len(model.claims().claimed)
    until(lambda: len(model.claims().claimed) > there, "another is claimed without Redis")
    model.server.start()
    model.wait_for(there + 1)
    with redis.Redis.from_url(model.server.url) as client:
        client.flushall()
    model.wait_for(there + 2)
    model.settle(scheduler)
    check_once_each(model)


def test_a_cycle_ends_with_the_main_process_of_its_worker_and_goes_on_with_another(
    model: ScheduledModel, claimed: str
) -> None:
    model.order(seconds=600)
    first = model.worker()
    model.scheduler()
    until(lambda: model.runs()["begin"] == 1, "a cycle runs")
    pids = first.pids()
    first.process.kill()
    until(lambda: not any(map(psutil.pid_exists, pids[1:])), "its processes are gone")
    model.order(seconds=0)
    model.worker()
    model.wait_for(1)
    end = model.store.end_of(claimed)
    assert end
    assert (end.status, end.tries) == (CycleStatus.PROMOTED, 2)
    assert model.runs() == {"begin": 2, "end": 1}


def test_a_worker_that_is_told_to_stop_stops_its_cycle(model: ScheduledModel, claimed: str) -> None:
    model.order(seconds=600)
    worker = model.worker()
    model.scheduler()
    until(lambda: model.runs()["begin"] == 1, "a cycle runs")
    worker.terminate()
    worker.process.wait(12)
    assert model.runs() == {"begin": 1, "stopped": 1}
    assert model.store.tries(claimed) == [], "being told to stop is no failure"


def test_the_real_train_worker_takes_cycles_and_no_chunks(model: ScheduledModel, claimed: str) -> None:
    worker = model.start((*HANGTAG, "worker", "--queue", "train"))
    worker.wait_until_ready()
    with redis.Redis.from_url(model.server.url) as client:
        client.lpush("hangtag.2.normal", "a chunk's message")
        model.scheduler()
        until(lambda: worker.events("cycle_starts"), "it takes a due time")
        assert client.llen("hangtag.2.normal") == 1
    worker.terminate()
    assert worker.process.wait(15) == 0
