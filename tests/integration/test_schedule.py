"""Beats, train workers and a real Redis: one slot, one run, whatever dies or forgets."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import redis

from tests.command import HANGTAG
from tests.until import until
from trainer.retrain.cycle_folder import CycleStatus
from trainer.schedule.claims import Claim
from trainer.schedule.queue import QUEUE
from worker.queue.private_redis import PrivateRedis

from .timetable import Timetable

SLOTS = 6


@pytest.fixture
def timetable(server: PrivateRedis, tmp_path: Path) -> Iterator[Timetable]:
    timetable = Timetable(tmp_path, server, "2s")
    yield timetable
    timetable.close()


def claim_by_hand(timetable: Timetable, stamp: str = "20261122T030000Z") -> str:
    """A slot that a beat claimed, and could do no more."""
    claim = Claim(slot=stamp, config=str(timetable.config), schedule="", skipped=0, at="", by="")
    assert timetable.book.claim(claim)
    return stamp


def check_once_each(timetable: Timetable) -> None:
    """Every slot between the first and the last claim is claimed or said to be skipped, and ran once."""
    shelf = timetable.shelf()
    assert set(shelf.claimed) == shelf.done
    assert timetable.runs() == {"begin": len(shelf.claimed), "end": len(shelf.claimed)}


def test_two_beats_and_two_workers_run_each_slot_once(timetable: Timetable) -> None:
    beats = [timetable.beat(), timetable.beat()]
    workers = [timetable.worker(), timetable.worker()]
    timetable.wait_for(SLOTS)
    timetable.schedule("9h")
    until(lambda: all(beat.events("config_read") for beat in beats), "both beats know that it ends")
    timetable.settle()
    check_once_each(timetable)
    claims = [event["slot"] for beat in beats for event in beat.events("slot_claimed")]
    assert sorted(claims) == list(timetable.shelf().claimed), "no slot was claimed twice"

    def done() -> list[str]:
        return sorted(event["slot"] for worker in workers for event in worker.events("cycle_done"))

    until(lambda: done() == list(timetable.shelf().claimed), "each is said to be done once")


def test_a_beat_without_redis_says_so_in_one_line_and_claims_slots(timetable: Timetable) -> None:
    timetable.server.kill()
    beat = timetable.beat()
    until(lambda: timetable.shelf().claimed, "a slot is claimed without Redis")
    (told,) = beat.events("waiting_for_redis")
    assert told["message"].startswith(f"Expected Redis at {timetable.server.url}, got: ")


def test_redis_may_die_and_forget_in_the_middle(timetable: Timetable) -> None:
    beats = [timetable.beat(), timetable.beat()]
    timetable.worker()
    timetable.wait_for(2)
    timetable.server.kill()
    there = len(timetable.shelf().claimed)
    until(lambda: len(timetable.shelf().claimed) >= there + 3, "slots are claimed without Redis")
    timetable.server.start()
    timetable.wait_for(there + 3)
    with redis.Redis.from_url(timetable.server.url) as client:
        client.flushall()
    timetable.wait_for(SLOTS)
    timetable.schedule("9h")
    until(lambda: all(beat.events("config_read") for beat in beats), "both beats know that it ends")
    timetable.settle()
    check_once_each(timetable)
    assert any(beat.events("cannot_keep_the_schedule") for beat in beats)


def test_a_message_that_is_lost_is_sent_again(timetable: Timetable) -> None:
    timetable.schedule("9h")
    timetable.beat()
    stamp = claim_by_hand(timetable)
    with redis.Redis.from_url(timetable.server.url) as client:
        until(lambda: client.llen(QUEUE), "it is queued")
        client.flushall()
    timetable.worker()
    timetable.wait_for(1)
    assert timetable.book.end_of(stamp)
    assert timetable.runs() == {"begin": 1, "end": 1}


def test_a_worker_that_is_killed_in_the_middle_of_a_cycle(timetable: Timetable) -> None:
    timetable.schedule("9h")
    timetable.order(seconds=600)
    first = timetable.worker()
    timetable.beat()
    stamp = claim_by_hand(timetable)
    until(lambda: timetable.runs()["begin"] == 1, "a cycle runs")
    first.kill_all()
    timetable.order(seconds=0)
    timetable.worker()
    timetable.wait_for(1)
    end = timetable.book.end_of(stamp)
    assert end
    assert (end.status, end.tries) == (CycleStatus.PROMOTED, 2)
    assert timetable.runs() == {"begin": 2, "end": 1}


def test_a_cycle_ends_with_the_main_process_of_its_worker(timetable: Timetable) -> None:
    timetable.schedule("9h")
    timetable.order(seconds=600)
    first = timetable.worker()
    timetable.beat()
    claim_by_hand(timetable)
    until(lambda: timetable.runs()["begin"] == 1, "a cycle runs")
    pids = first.pids()
    first.process.kill()
    until(lambda: not any(map(psutil.pid_exists, pids[1:])), "its processes are gone")


def test_a_worker_that_is_told_to_stop_stops_its_cycle(timetable: Timetable) -> None:
    timetable.schedule("9h")
    timetable.order(seconds=600)
    first = timetable.worker()
    timetable.beat()
    stamp = claim_by_hand(timetable)
    until(lambda: timetable.runs()["begin"] == 1, "a cycle runs")
    first.terminate()
    first.process.wait(12)
    assert timetable.runs() == {"begin": 1, "stopped": 1}
    timetable.order(seconds=0)
    timetable.worker()
    timetable.wait_for(1)
    end = timetable.book.end_of(stamp)
    assert end
    assert end.tries == 1, "being told to stop is no failure"


def test_a_cycle_that_fails_each_time_is_given_up(timetable: Timetable) -> None:
    timetable.schedule("9h")
    timetable.order(status=1, words="hangtag: the disk is full")
    worker = timetable.worker()
    timetable.beat()
    stamp = claim_by_hand(timetable)
    timetable.wait_for(1)
    end = timetable.book.end_of(stamp)
    assert end
    assert (end.status, end.tries, end.reason) == (CycleStatus.FAILED, 3, "hangtag: the disk is full")
    assert timetable.runs() == {"begin": 3, "end": 3}
    until(lambda: worker.events("slot_failed"), "the log says so")


def test_what_was_missed_runs_once(timetable: Timetable) -> None:
    timetable.worker()
    timetable.book.plan("every 2s", datetime(2026, 1, 1, tzinfo=UTC))
    stamp = claim_by_hand(timetable, "20260101T000100Z")
    timetable.beat()
    until(lambda: len(timetable.shelf().claimed) > 1, "the latest slot is claimed")
    timetable.schedule("9h")
    timetable.wait_for(2)
    claimed = timetable.shelf().claimed
    assert claimed[0] == stamp
    assert timetable.claim(claimed[1])["skipped"] == 1000
    assert len(claimed) < 10


def test_a_beat_ends_quickly(timetable: Timetable) -> None:
    timetable.beat()
    timetable.end_beats()


def test_a_config_that_cannot_be_used_any_more_changes_nothing(timetable: Timetable) -> None:
    beat = timetable.beat()
    timetable.config.write_text("[schedule")
    refused = until(lambda: beat.events("config_refused"), "the edit is refused")
    assert "Expected a retraining's settings in TOML" in refused[0]["error"]
    there = len(timetable.shelf().claimed)
    until(lambda: len(timetable.shelf().claimed) > there, "the earlier schedule holds")


def test_the_real_train_worker_takes_cycles_and_no_chunks(timetable: Timetable) -> None:
    timetable.schedule("9h")
    worker = timetable.start((*HANGTAG, "worker", "--queue", "train"))
    worker.wait_until_ready()
    with redis.Redis.from_url(timetable.server.url) as client:
        client.lpush("hangtag.2.normal", "a chunk's message")
        timetable.beat()
        claim_by_hand(timetable)
        until(lambda: worker.events("cycle_starts"), "it takes a slot")
        assert client.llen("hangtag.2.normal") == 1
    worker.terminate()
    assert worker.process.wait(15) == 0


def test_a_train_worker_runs_one_cycle_at_a_time(timetable: Timetable) -> None:
    worker = timetable.start((*HANGTAG, "worker", "--queue", "train", "--concurrency", "2"))
    assert worker.process.wait(30) == 2
    assert "--concurrency is of a worker that labels" in worker.log.read_text()
