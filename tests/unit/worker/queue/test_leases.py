import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from models.process import Owner
from tests.until import until
from worker.job.job import Job
from worker.queue.app import BusyProcesses
from worker.queue.private_redis import PrivateRedis
from worker.queue.redis_state import QUEUES, HeldLeases, RedisState
from worker.queue.runner import extra_chunks
from worker.request import Priority

LEASE = "hangtag:lease:spring:3"


def test_a_lease_is_held_and_renewed_as_long_as_the_block_runs(state: RedisState, client: redis.Redis) -> None:
    with HeldLeases(state, "spring") as leases:
        assert leases.take(3)
        assert Owner.from_json(client.get(LEASE)) == Owner.this()
        client.flushall()
        until(lambda: client.exists(LEASE), "the lease that Redis forgot is made again")
        assert Owner.from_json(client.get(LEASE)) == Owner.this()
    assert not client.exists(LEASE)


def test_a_redis_that_goes_away_stops_no_work(redis_installed, tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        state = RedisState(redis.Redis.from_url(server.url, socket_timeout=1, retry=None))
        with HeldLeases(state, "spring") as leases:
            assert leases.take(3)
            server.kill()
            assert leases.take(4)
        state.close()


def test_a_redis_that_falls_silent_holds_up_the_end_once_and_not_for_each_lease(
    redis_installed, tmp_path: Path
) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        state = RedisState(redis.Redis.from_url(server.url, socket_timeout=0.1, retry=None))
        with HeldLeases(state, "spring") as leases:
            assert all(leases.take(chunk) for chunk in range(40))
            os.kill(server.pid, signal.SIGSTOP)
            start = time.monotonic()
        seconds = time.monotonic() - start
        os.kill(server.pid, signal.SIGCONT)
        state.close()
    assert seconds < 2


@pytest.fixture
def job(paper_job) -> Job:
    return paper_job(6)


@contextmanager
def feed_of(state: RedisState, job: Job, first: int, busy: BusyProcesses | None = None) -> Iterator[Iterator[int]]:
    """The feed of a task whose message is of a chunk."""
    with HeldLeases(state, "job") as leases:
        leases.take(first)
        yield extra_chunks("job", job, first, leases, state, BusyProcesses() if busy is None else busy)


def all_of(feed: Iterator[int], most: int = 100) -> list[int]:
    """What it gives until it has none at the moment."""
    found: list[int] = []
    while len(found) < most and (chunk := next(feed, None)) is not None:
        found.append(chunk)
    return found


def test_the_chunk_of_the_message_comes_first_and_then_each_other_once(state: RedisState, job: Job) -> None:
    with feed_of(state, job, 3) as feed:
        found = all_of(feed)
        assert found[0] == 3
        assert sorted(found) == list(range(6))
        assert state.leased("job", list(range(6))) == set(range(6))
    assert state.leased("job", list(range(6))) == set()


def test_what_is_done_or_in_other_hands_is_left_alone(state, job, commit_part, living_process) -> None:
    commit_part(job, 1, 2)
    state.take_lease("job", 4, living_process)
    with feed_of(state, job, 0) as feed:
        assert next(feed, None) == 0
        first = next(feed, None)
        commit_part(job, ({3, 5} - {first}).pop())  # somebody was quicker
        assert [first, next(feed, None)] in ([3, None], [5, None])
        assert state.leased("job", [1, 2, 3, 5]) == {first}


def test_nothing_is_taken_up_where_a_chunk_ended_its_process_before(state: RedisState, job: Job) -> None:
    in_progress = job.storage.scratch / "in_progress"
    in_progress.mkdir()
    (in_progress / "000002.00000000dead").write_text("1")
    with feed_of(state, job, 2) as feed:
        assert all_of(feed) == [2]
    with feed_of(state, job, 0) as feed:
        assert sorted(all_of(feed)) == [0, 1, 3, 4, 5]


def test_nothing_is_taken_up_while_something_keeps_chunks_from_being_done(state: RedisState, job: Job) -> None:
    state.report_trouble("job", "shop-7", "a file of rows is damaged")
    with feed_of(state, job, 2) as feed:
        assert all_of(feed) == [2]
    state.reset_backoff("job")
    with feed_of(state, job, 0) as feed:
        assert len(all_of(feed)) == 6


def test_nothing_is_taken_up_once_the_worker_is_told_to_stop(state: RedisState, job: Job) -> None:
    busy = BusyProcesses()
    with feed_of(state, job, 2, busy) as feed:
        assert next(feed, None) == 2
        assert next(feed, None) is not None
        busy.stop()
        assert next(feed, None) is None


def test_nothing_is_taken_up_while_an_urgent_message_waits(state: RedisState, client: redis.Redis, job: Job) -> None:
    client.lpush(QUEUES[Priority.LOW], "a less urgent one")
    with feed_of(state, job, 2) as feed:
        assert next(feed, None) == 2
        assert next(feed, None) is not None
        client.lpush(QUEUES[Priority.HIGH], "an urgent one")
        assert next(feed, None) is None
