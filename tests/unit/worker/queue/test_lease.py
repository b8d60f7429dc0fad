import os
import signal
import time
from pathlib import Path

import pytest
import redis

from tests.until import until
from worker.owner import Owner
from worker.queue.leases import HeldLeases, held_lease
from worker.queue.private_redis import PrivateRedis
from worker.queue.redis_state import RedisState, connect
from worker.queue.settings import QueueSettings

LEASE = "hangtag:lease:spring:3"


def test_a_lease_is_held_as_long_as_the_block_runs(state: RedisState, client: redis.Redis) -> None:
    with held_lease(state, "spring", 3) as held:
        assert held
        assert Owner.from_json(client.get(LEASE)) == Owner.this()
    assert not client.exists(LEASE)


def test_what_another_process_holds_is_left_alone(
    state: RedisState, client: redis.Redis, living_process: Owner
) -> None:
    state.take_lease("spring", 3, living_process)
    with held_lease(state, "spring", 3) as held:
        assert not held
    assert Owner.from_json(client.get(LEASE)) == living_process


def test_what_a_dead_process_holds_is_taken(state: RedisState, ended_process: Owner) -> None:
    state.take_lease("spring", 3, ended_process)
    with held_lease(state, "spring", 3) as held:
        assert held


def test_an_error_lets_the_lease_go(state: RedisState, client: redis.Redis) -> None:
    with pytest.raises(ZeroDivisionError), held_lease(state, "spring", 3):
        1 / client.exists("no such key")
    assert not client.exists(LEASE)


def test_a_lease_is_renewed_while_it_is_held(state: RedisState, client: redis.Redis) -> None:
    with held_lease(state, "spring", 3):
        client.flushall()
        until(lambda: client.exists(LEASE), "the lease that Redis forgot is made again")
        assert Owner.from_json(client.get(LEASE)) == Owner.this()
    assert not client.exists(LEASE)


def test_a_lease_that_went_to_another_is_not_given_back(
    state: RedisState, client: redis.Redis, living_process: Owner
) -> None:
    with held_lease(state, "spring", 3):
        client.set(LEASE, living_process.to_json())
    assert Owner.from_json(client.get(LEASE)) == living_process


def test_without_redis_the_work_goes_on(away: QueueSettings) -> None:
    state = RedisState(connect(away))
    with held_lease(state, "spring", 3) as held:
        assert held
    state.close()


def test_a_redis_that_goes_away_stops_no_work(redis_installed, tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        state = RedisState(connect(QueueSettings(redis_url=server.url)))
        with held_lease(state, "spring", 3) as held:
            assert held
            server.kill()
        server.start()
        with held_lease(state, "spring", 3) as held:
            assert held
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


def test_the_leases_of_several_chunks_are_all_renewed(state: RedisState, client: redis.Redis) -> None:
    with HeldLeases(state, "spring") as leases:
        assert all(leases.take(chunk) for chunk in (1, 2, 3))
        leases.end(2)
        client.flushall()
        until(lambda: state.leased("spring", [1, 2, 3]) == {1, 3}, "those that Redis forgot are made again")
    assert not client.keys("hangtag:lease:*")
