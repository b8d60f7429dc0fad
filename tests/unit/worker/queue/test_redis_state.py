"""All of this against a real Redis."""

import json
from dataclasses import replace

import pytest
import redis
from redis.client import Pipeline

from models.process_identity import Owner
from worker.queue.redis_state import LEASE_S, Presence, RedisError, RedisState, connect
from worker.queue.settings import QueueSettings

LEASE = "hangtag:lease:spring:3"


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
    assert 0 < client.pttl(LEASE) <= LEASE_S * 1000


def test_a_dead_owner_of_another_machine_keeps_its_lease_to_its_end(state: RedisState, ended_process: Owner) -> None:
    elsewhere = replace(ended_process, machine="another")
    assert state.take_lease("spring", 3, elsewhere)
    assert not state.take_lease("spring", 3, Owner.this())
    assert state.leased("spring", [3]) == {3}


def test_a_lease_ends_by_itself(state: RedisState, client: redis.Redis) -> None:
    state.take_lease("spring", 3, Owner.this())
    assert 0 < client.pttl(LEASE) <= LEASE_S * 1000
    client.persist(LEASE)
    state.renew_leases("spring", [3], Owner.this())
    assert 0 < client.pttl(LEASE) <= LEASE_S * 1000


def test_only_who_holds_a_lease_gives_it_back(state: RedisState, living_process: Owner) -> None:
    state.take_lease("spring", 3, living_process)
    state.end_lease("spring", 3, Owner.this())
    assert state.leased("spring", [3]) == {3}
    state.end_lease("spring", 3, living_process)
    assert state.leased("spring", [3]) == set()


def test_who_takes_a_lease_clears_the_mark(state: RedisState) -> None:
    assert state.mark_sent("spring", 3)
    assert not state.mark_sent("spring", 3)
    assert state.mark_sent("spring", 4)
    state.take_lease("spring", 3, Owner.this())
    assert state.mark_sent("spring", 3)


def test_workers_announce_themselves_for_a_while(state: RedisState, client: redis.Redis, ended_process: Owner) -> None:
    here = Presence(Owner.this(), 2, "0.1.0", "/srv/jobs", "cafe")
    there = Presence(replace(ended_process, host="another"), 8, "0.1.0", "s3://shop/jobs", "cafe")
    for presence in (here, there, replace(here, slots=4)):
        state.announce(presence)
    assert sorted(state.workers(), key=lambda worker: worker.slots) == [replace(here, slots=4), there]
    assert all(0 < client.ttl(key) <= 10 for key in client.scan_iter("hangtag:worker:*"))


def test_the_last_trouble_of_each_host_is_shown_for_a_while(state: RedisState, client: redis.Redis) -> None:
    for host, message in (("shop-7", "no folder"), ("shop-8", "no model"), ("shop-7", "no room")):
        state.report_trouble("spring", host, message)
    assert state.trouble("spring") == {"shop-7": "no room", "shop-8": "no model"}
    assert state.trouble("autumn") == {}
    assert all(0 < client.ttl(key) <= 60 for key in client.scan_iter("hangtag:trouble:*"))


def test_setbacks_are_counted_until_they_are_forgotten(state: RedisState) -> None:
    assert state.failures("spring") == 0
    for host in ("shop-7", "shop-8", "shop-7"):
        state.report_trouble("spring", host, "no folder")
    assert (state.failures("spring"), state.failures("autumn")) == (3, 0)
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
    state.hold_back("spring", 5)
    state.win_tick()
    state.announce(Presence(Owner.this(), 2, "0.1.0", "/srv/jobs", "cafe"))
    state.report_trouble("spring", "shop-7", "no folder")
    state.may_retry("spring", 1)
    keys = list(client.scan_iter())
    assert len(keys) == 8
    assert all(client.ttl(key) > 0 for key in keys)


def forged_presences() -> list[str]:
    good = {"owner": json.loads(Owner.this().to_json()), "slots": 2, "version": "1", "jobs": "/srv", "jobs_id": "cafe"}
    bad_slots = [{**good, "slots": slots} for slots in ("x", "2", -1, 0, 1e9, True, None, 10**400)]
    bad_owners = [{**good, "owner": {**good["owner"], field: ["x"]}} for field in good["owner"]]
    return [
        json.dumps(record) for record in (*bad_slots, *bad_owners, {**good, "jobs": 7}, {**good, "jobs": "x" * 5000})
    ]


@pytest.mark.parametrize("text", ["}{", "null", "7", "[1]", '{"owner": 1}', "[" * 50_000, *forged_presences()])
def test_a_presence_that_is_none_is_passed_over_and_counted(client, settings, text) -> None:
    told: list[str] = []
    state = RedisState(connect(settings), told.append)
    here = Presence(Owner.this(), 2, "0.1.0", "/srv/jobs", "cafe")
    state.announce(here)
    client.set("hangtag:worker:forged", text)
    client.rpush("hangtag:worker:list", text)
    assert state.workers() == state.workers() == [here]
    assert told == ["hangtag:worker:forged"], "once"
    state.close()


@pytest.mark.parametrize("text", ["x", "-3", "1.5", "9" * 30, "[]"])
def test_setbacks_that_are_no_number_are_none(state: RedisState, client: redis.Redis, text: str) -> None:
    client.set("hangtag:setbacks:spring", text)
    client.rpush("hangtag:setbacks:autumn", text)
    assert (state.failures("spring"), state.failures("autumn")) == (0, 0)


def test_no_key_of_others_lasts_longer_than_ours_would(state: RedisState, client: redis.Redis) -> None:
    keys = {"lease:spring:3": 10, "sent:spring:3": 5, "trial:spring": 16, "tick:6": 1}
    for key in keys:
        client.set(f"hangtag:{key}", "x")
    assert state.leased("spring", [3]) == {3}
    assert not state.mark_sent("spring", 3)
    assert not state.may_retry("spring", 1)
    assert not state.win_tick()
    assert all(0 <= client.ttl(f"hangtag:{key}") <= most for key, most in keys.items())


def test_a_lease_that_is_a_list_is_nobodys(state: RedisState, client: redis.Redis) -> None:
    client.rpush(LEASE, "x")
    assert state.leased("spring", [3]) == set()
    assert state.take_lease("spring", 3, Owner.this())
    assert Owner.from_json(client.get(LEASE)) == Owner.this()


class _OldPipeline(Pipeline):
    """Answers ``EXPIRE … LT`` as Redis 6.2 does."""

    def expire(self, name: str, *_: object, **__: object) -> object:
        return self.execute_command("EXPIRE", name)


class _OldRedis(redis.Redis):
    def pipeline(self, transaction: bool = True, shard_hint: object = None) -> Pipeline:
        return _OldPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def test_a_redis_that_cannot_shorten_a_keys_life_is_good_enough(settings: QueueSettings, living_process: Owner) -> None:
    with _OldRedis.from_url(settings.redis_url, decode_responses=True) as old:
        state = RedisState(old)
        assert state.take_lease("spring", 3, living_process)
        assert state.leased("spring", [3]) == {3}
        assert state.mark_sent("spring", 4)
        assert not state.mark_sent("spring", 4)


def test_what_else_redis_refuses_is_told(settings: QueueSettings, client: redis.Redis, living_process: Owner) -> None:
    client.acl_setuser("guest", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-expire"])
    with redis.Redis.from_url(settings.redis_url, username="guest", password="", decode_responses=True) as guest:
        state = RedisState(guest)
        state.take_lease("spring", 3, living_process)
        with pytest.raises(RedisError, match="no permissions"):
            state.leased("spring", [3])


def test_a_queue_that_is_none_is_made_one_again(state: RedisState, client: redis.Redis) -> None:
    client.set("hangtag.2.normal", "x")
    assert state.queued("hangtag.2.normal") == []
    assert not client.exists("hangtag.2.normal")
