"""Whose fault silence is: the photo's, or its host's; the clock is a number."""

import asyncio

import pytest

from models.errors import ImageError, ImageFault
from worker.photos.cells import parse_url
from worker.photos.fetch import Fetch, Intake, MemoryBudget
from worker.photos.photo import Limits

SLOW_S = 1.0


@pytest.fixture
def fetch():
    target = parse_url("http://shop.test/a.jpg")
    return Fetch(target.text, None, target, Intake(MemoryBudget(Limits()), target.text))


def test_a_host_that_has_answered_nobody_is_to_blame(fetch):
    for began in (0.0, 5.0, 10.0):
        fetch.met_silence(began, began + 5.0, None, SLOW_S)
    assert not fetch.is_to_blame


def test_what_was_cut_short_when_a_host_died_is_not_to_blame_however_often_it_is_tried(fetch):
    fetch.met_silence(9.9, 10.1, 10.0, SLOW_S)
    for began in (11.0, 13.0, 20.0, 35.0):
        fetch.met_silence(began, began + 2.0, 10.0, SLOW_S)
    assert not fetch.is_to_blame


def test_a_photo_is_to_blame_when_others_were_answered_while_nothing_was_said_to_it_for_long(fetch):
    fetch.met_silence(0.0, 10.0, 0.5, SLOW_S)
    assert fetch.is_to_blame


def test_a_photo_is_to_blame_when_others_are_answered_between_its_tries(fetch):
    for began, answered_at in ((0.0, -1.0), (1.0, 0.5), (2.0, 1.5)):
        assert not fetch.is_to_blame
        fetch.met_silence(began, began + 0.1, answered_at, SLOW_S)
    assert fetch.is_to_blame


LARGE = 300_000
LIMITS = Limits(room=1_000_000, max_bytes=2_000_000)


@pytest.fixture
def room():
    return MemoryBudget(LIMITS)


def bring(intake, size):
    """What reading it takes; over at once where nothing has to be waited for."""
    return asyncio.wait_for(intake.add(bytes(size)), 0.01)


def test_there_is_room_until_there_is_none(room):
    async def run():
        first = Intake(room, "a")
        await bring(first, LIMITS.room - 1)
        assert room.free
        await bring(Intake(room, "b"), 1)
        assert not room.free
        assert len(first.whole()) == LIMITS.room - 1
        assert room.took(LIMITS.room - 1)
        assert room.free

    asyncio.run(run())


def test_nobody_is_told_where_nobody_waits(room):
    assert not room.took(10)


def test_a_large_photo_waits_while_others_can_be_taken(room):
    async def run():
        ready = Intake(room, "a")
        await bring(ready, LIMITS.room)
        ready.whole()
        waits = asyncio.create_task(Intake(room, "b").add(bytes(LARGE)))
        await asyncio.sleep(0)
        assert not waits.done()
        assert room.took(LIMITS.room)
        room.look_again()
        await asyncio.wait_for(waits, 1)

    asyncio.run(run())


def test_of_large_photos_that_wait_for_one_another_one_goes_on(room):
    async def run():
        intakes = [Intake(room, str(number)) for number in range(4)]
        tasks = [asyncio.create_task(_bring_all(intake, 2 * LARGE)) for intake in intakes]
        done, waiting = await asyncio.wait(tasks, timeout=0.05)
        assert (len(done), len(waiting)) == (1, 3)
        while waiting:
            room.took(2 * LARGE)
            room.look_again()
            done, waiting = await asyncio.wait(waiting, timeout=0.05)
            assert done

    asyncio.run(run())


async def _bring_all(intake, size):
    for _ in range(4):
        await intake.add(bytes(size // 4))
        await asyncio.sleep(0)
    intake.whole()


def test_what_is_dropped_makes_room(room):
    async def run():
        dropped = Intake(room, "a")
        await bring(dropped, LIMITS.room)
        waits = asyncio.create_task(Intake(room, "b").add(bytes(LARGE)))
        await asyncio.sleep(0)
        dropped.drop()
        await asyncio.wait_for(waits, 1)
        assert (dropped.size, dropped.came) == (0, LIMITS.room)

    asyncio.run(run())


def test_one_byte_too_many_is_too_large(room):
    async def run():
        intake = Intake(room, "http://shop.test/a.jpg")
        await intake.add(bytes(LIMITS.max_bytes))
        with pytest.raises(ImageError, match=r"2,000,000 bytes at http://shop.test/a.jpg") as caught:
            await intake.add(b"x")
        assert caught.value.fault is ImageFault.TOO_LARGE

    asyncio.run(run())


def test_a_whole_photo_that_nobody_takes_keeps_no_large_one_waiting(room):
    """Its rows were given up at the moment when it had come."""

    async def run():
        forgotten = Intake(room, "a")
        await bring(forgotten, LARGE)
        forgotten.whole()
        forgotten.drop()
        await asyncio.wait_for(Intake(room, "b").add(bytes(LIMITS.room)), 1)

    asyncio.run(run())
