"""Blame for silence, the memory of photos, and turns at a host; the clock is a number."""

import asyncio

import pytest

from catalogue.fetch import FailedTry, Fetch, Host, MemoryBudget
from catalogue.photo import DownloadLimits
from catalogue.urls import parse_url
from models.errors import ImageError

LARGE = 300_000
LIMITS = DownloadLimits(room=1_000_000, max_bytes=2_000_000, slow_s=1.0)
SILENT = FailedTry("does not answer", silent=True)
BUSY = FailedTry("answered 503")
TARGET = parse_url("http://shop.test/a.jpg")


@pytest.fixture
def budget():
    return MemoryBudget(LIMITS.room)


@pytest.fixture
def fetch(budget):
    return Fetch(TARGET, None, LIMITS, budget)


@pytest.mark.parametrize(
    ("tries", "blamed"),
    [
        ([(0, 5, None), (5, 10, None), (10, 15, None)], False),
        ([(9.9, 10.1, 10.0), (11, 13, 10.0), (13, 15, 10.0), (20, 22, 10.0), (35, 37, 10.0)], False),
        ([(0, 10, 0.5)], True),
        ([(0, 0.1, -1.0), (1, 1.1, 0.5)], False),
        ([(0, 0.1, -1.0), (1, 1.1, 0.5), (2, 2.1, 1.5)], True),
    ],
    ids=["it answered nobody", "it died", "answered others in a long try", "once between tries", "twice between tries"],
)
def test_a_photo_is_to_blame_for_silence_when_its_host_answers_others(tries, blamed, fetch):
    for began, ended, answered_at in tries:
        fetch.note_silence(began, ended, answered_at)
    assert fetch.is_to_blame is blamed


async def receive(fetch, size):
    async with asyncio.timeout(5) as fetch.clock:
        for _ in range(4):
            await fetch.add(bytes(size // 4))
            await asyncio.sleep(0)
    fetch.end_try(ready=True)


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_large_photo_waits_while_others_can_be_taken(budget, fetch):
    async def run():
        await receive(fetch, LIMITS.room)
        assert not budget.free
        waits = asyncio.create_task(receive(Fetch(TARGET, None, LIMITS, budget), LARGE))
        begins = asyncio.create_task(budget.room())
        await settle()
        assert (waits.done(), begins.done()) == (False, False)
        budget.release(LIMITS.room)
        await asyncio.gather(waits, begins)
        assert budget.free

    asyncio.run(run())


def test_of_large_photos_that_wait_for_one_another_one_goes_on(budget):
    async def run():
        fetches = [Fetch(TARGET, None, LIMITS, budget) for _ in range(4)]
        waiting = [asyncio.create_task(receive(fetch, 2 * LARGE)) for fetch in fetches]
        for left in (3, 2, 1, 0):
            await settle()
            waiting = [task for task in waiting if not task.done()]
            assert len(waiting) == left
            budget.release(2 * LARGE)

    asyncio.run(run())


def test_what_is_dropped_makes_room_and_waiting_costs_no_time(budget, fetch):
    async def run():
        async with asyncio.timeout(5) as fetch.clock:
            await fetch.add(bytes(LIMITS.room))
        other = Fetch(TARGET, None, LIMITS, budget)
        waits = asyncio.create_task(receive(other, 2 * LARGE))
        await settle()
        assert other.clock.when() is None
        fetch.end_try()
        await waits
        assert other.clock.when() is not None
        assert (fetch.size, fetch.downloaded) == (0, LIMITS.room)

    asyncio.run(run())


@pytest.fixture
def host():
    return Host("shop.test:80", LIMITS, per_host=2)


def silent(host, *times, began=0.0):
    for now in times:
        host.note_failure(SILENT, began, now)
    return host


def test_turns_are_given_in_order_and_no_more_than_its_limit_at_once(host):
    given = []

    async def ask(number, *, first):
        async with host.turn("http://shop.test/a.jpg", first=first):
            given.append(number)
            assert host.load
            await asyncio.sleep(0)

    async def run():
        tasks = [asyncio.create_task(ask(number, first=number == 4)) for number in range(5)]
        await asyncio.sleep(0)
        assert given == [0, 1]
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())
    assert given == [0, 1, 4, 3]
    assert not host.load


def test_those_who_wait_for_a_host_that_is_left_alone_are_told_so(host):
    async def ask():
        async with host.turn("http://shop.test/a.jpg", first=False):
            await asyncio.sleep(0)
            silent(host, *[asyncio.get_running_loop().time()] * 5)

    async def run():
        return await asyncio.gather(*(ask() for _ in range(6)), return_exceptions=True)

    outcomes = asyncio.run(run())
    assert outcomes[:2] == [None, None]
    assert all(isinstance(error, ImageError) and "is not tried again" in str(error) for error in outcomes[2:])


def test_a_host_that_says_nothing_several_times_is_left_alone(host):
    assert silent(host, 5.0, 5.0, 5.0, 5.0).refusal(5.0) is None
    silent(host, 5.0)
    assert "does not answer and is not tried again" in host.refusal(5.0)
    assert host.refusal(14.9)
    assert host.refusal(15.0) is None


def test_who_answers_that_it_is_busy_is_given_longer(host):
    for now in (1.0, 10.0, 20.0, 30.0, 59.0):
        host.note_failure(BUSY, 0.0, now)
    assert host.refusal(59.0) is None
    host.note_failure(BUSY, 59.0, 60.0)
    assert "answered 503" in host.refusal(60.0)


def test_each_trial_that_fails_makes_the_rest_longer(host):
    silent(host, *[5.0] * 5, 6.0)  # one was under way when it began to rest
    now = 15.0
    for rest_s in (20.0, 40.0, 80.0, 160.0, 300.0, 300.0):
        assert host.refusal(now - 0.1)
        assert host.refusal(now) is None
        silent(host, now, began=now)
        now += rest_s
    host.note_answer(now - 1.0)
    assert host.may_start(now - 1.0)


@pytest.mark.parametrize(("after_s", "until"), [(30, 31), (3600, 121)])
def test_a_host_is_not_asked_before_it_wants_to_be_and_no_answer_stops_it_for_hours(host, after_s, until):
    host.note_failure(FailedTry("answered 429", after_s=after_s), 0.0, 1.0)
    assert not host.may_start(until - 0.1)
    assert host.may_start(until)
    assert host.refusal(1.0) is None


def test_an_answer_ends_a_rest_but_not_the_time_that_the_host_asks_for(host):
    host.note_answer(0.0)
    silent(host, *[1.0] * 5, began=0.5)
    host.note_failure(FailedTry("answered 429", after_s=30.0), 0.5, 1.0)  # this try began before the rest
    host.note_answer(1.1)
    assert [host.may_start(now) for now in (30.9, 31.0)] == [False, True]


def test_a_host_that_has_given_photos_is_waited_for_when_it_falls_silent(host):
    host.note_answer(0.0)
    silent(host, *[1.0] * 5, began=0.5)
    assert host.is_waited_for(1.0)
    assert host.refusal(1.0) is None
    assert [host.may_start(now) for now in (1.9, 2.0)] == [False, True]
    silent(host, 2.0, began=2.0)
    silent(host, 2.0, began=0.5)  # one that was under way when it began to rest
    assert [host.may_start(now) for now in (3.9, 4.0)] == [False, True]


def test_and_is_not_waited_for_for_ever(host):
    host.note_answer(0.0)
    late = LIMITS.patience_s + 1.0
    silent(host, 1.0, 5.0, 5.0, 5.0, 5.0)
    silent(host, late, began=late - 1.0)
    assert not host.is_waited_for(late)
    assert "not tried again" in host.refusal(late)
