"""All of this against a real Redis."""

from dataclasses import replace

import pytest
import redis

from models.process import Owner
from worker.queue.app import HangtagCelery
from worker.queue.redis_state import FINISH, QUEUES, Presence, RedisState
from worker.request import Priority

LEASE = "hangtag:lease:spring:3"
HERE = Presence(Owner.this(), 2, "0.1.0", "/srv/jobs", "cafe")


@pytest.mark.parametrize("priority", Priority)
def test_a_message_that_celery_sends_is_read(app: HangtagCelery, state: RedisState, priority: Priority) -> None:
    for chunk in (17, FINISH):
        app.send("spring", chunk, priority)
    app.send("autumn", 3, Priority.LOW)
    assert state.waiting() == {"spring": {17, FINISH}, "autumn": {3}}
    lengths = state.queue_lengths()
    assert lengths[QUEUES[priority]] >= 2
    assert sum(lengths.values()) == 3


def test_the_names_of_queues_are_in_the_order_of_urgency() -> None:
    assert sorted(QUEUES.values()) == [QUEUES[priority] for priority in (Priority.HIGH, Priority.NORMAL, Priority.LOW)]


def test_a_lease_is_held_by_one(state: RedisState, living_process: Owner) -> None:
    assert state.take_lease("spring", 3, living_process)
    assert not state.take_lease("spring", 3, Owner.this())
    assert state.take_lease("spring", 4, Owner.this())
    assert state.take_lease("autumn", 3, Owner.this())
    assert state.leased("spring", [2, 3, 4]) == {3, 4}


def test_a_dead_owners_lease_is_anybodys(state: RedisState, client: redis.Redis, ended_process: Owner) -> None:
    assert state.take_lease("spring", 3, ended_process)
    assert state.leased("spring", [3]) == set()
    assert state.take_lease("spring", 3, Owner.this())
    assert state.leased("spring", [3]) == {3}
    assert Owner.from_json(client.get(LEASE)) == Owner.this()


def test_a_dead_owner_of_another_machine_keeps_its_lease_to_its_end(state: RedisState, ended_process: Owner) -> None:
    elsewhere = replace(ended_process, machine="another")
    assert state.take_lease("spring", 3, elsewhere)
    assert not state.take_lease("spring", 3, Owner.this())
    assert state.leased("spring", [3]) == {3}


def test_only_who_holds_a_lease_gives_it_back(state: RedisState, living_process: Owner) -> None:
    state.take_lease("spring", 3, living_process)
    state.end_lease("spring", 3, Owner.this())
    assert state.leased("spring", [3]) == {3}
    state.end_lease("spring", 3, living_process)
    assert state.leased("spring", [3]) == set()


def test_the_last_trouble_of_each_host_is_shown_and_setbacks_are_counted(state: RedisState) -> None:
    assert state.failures("spring") == 0
    for host, message in (("shop-7", "no folder"), ("shop-8", "no model"), ("shop-7", "no room")):
        state.report_trouble("spring", host, message)
    assert state.trouble("spring") == {"shop-7": "no room", "shop-8": "no model"}
    assert (state.trouble("autumn"), state.failures("spring"), state.failures("autumn")) == ({}, 3, 0)
    state.reset_backoff("spring")
    assert state.failures("spring") == 0


def test_the_more_setbacks_the_rarer_a_trial(state: RedisState, client: redis.Redis) -> None:
    for setbacks, longest in ((1, 2), (3, 8), (4, 16), (1000, 16)):
        assert state.may_retry("spring", setbacks)
        assert longest / 2 < client.ttl("hangtag:trial:spring") <= longest
        assert not state.may_retry("spring", setbacks)
        state.reset_backoff("spring")


def test_every_key_has_an_end(state: RedisState, client: redis.Redis) -> None:
    state.take_lease("spring", 3, Owner.this())
    state.mark_sent("spring", 4)
    state.hold_back("spring", [5])
    state.win_tick()
    state.announce(HERE)
    state.report_trouble("spring", "shop-7", "no folder")
    state.may_retry("spring", 1)
    keys = list(client.scan_iter())
    assert len(keys) == 9
    assert all(0 < client.ttl(key) <= 600 for key in keys)
