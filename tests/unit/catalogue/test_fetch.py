"""Whose fault silence is, the photo's or its host's; and the memory that photos may take."""

import asyncio

import pytest

from catalogue.fetch import Fetch, MemoryBudget
from catalogue.photo import Limits
from catalogue.urls import parse_url
from models.errors import ImageError, ImageFault

LARGE = 300_000
LIMITS = Limits(room=1_000_000, max_bytes=2_000_000, slow_s=1.0)
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
        fetch.met_silence(began, ended, answered_at)
    assert fetch.is_to_blame is blamed


async def bring(fetch, size):
    """What reading it takes, in four pieces; a bug ends it."""
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
        await bring(fetch, LIMITS.room)
        assert not budget.free
        waits = asyncio.create_task(bring(Fetch(TARGET, None, LIMITS, budget), LARGE))
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
        waiting = [asyncio.create_task(bring(fetch, 2 * LARGE)) for fetch in fetches]
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
        waits = asyncio.create_task(bring(other, 2 * LARGE))
        await settle()
        assert other.clock.when() is None
        fetch.end_try()
        await waits
        assert other.clock.when() is not None
        assert (fetch.size, fetch.came) == (0, LIMITS.room)

    asyncio.run(run())


def test_one_byte_too_many_is_too_large(budget, fetch):
    async def run():
        async with asyncio.timeout(5) as fetch.clock:
            await fetch.add(bytes(LIMITS.max_bytes))
            with pytest.raises(ImageError, match=r"2,000,000 bytes at http://shop.test/a.jpg") as caught:
                await fetch.add(b"x")
        assert caught.value.fault is ImageFault.TOO_LARGE

    asyncio.run(run())
