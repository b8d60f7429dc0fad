"""Memory for photos that have come."""

import asyncio

import pytest

from models.errors import ImageError, ImageFault
from worker.photos.fetch import Intake, Room
from worker.photos.photo import Limits

LARGE = 300_000
LIMITS = Limits(room=1_000_000, max_bytes=2_000_000)


@pytest.fixture
def room():
    return Room(LIMITS)


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
