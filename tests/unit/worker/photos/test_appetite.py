from itertools import cycle

import pytest

from worker.photos.hosts import Appetite

ENOUGH = 64


def asked(appetite: Appetite, frees: list[bool], photos: int, now: float = 0.0) -> None:
    for free, _ in zip(cycle(frees), range(photos), strict=False):
        appetite.asked(free=free, now=now)


def test_it_wants_more_at_first() -> None:
    assert Appetite(ENOUGH, 0.0).wants_more(0.0)


def test_photos_of_busy_hosts_only_are_enough_at_some_time() -> None:
    appetite = Appetite(ENOUGH, 0.0)
    asked(appetite, [False], 256)
    assert not appetite.wants_more(1.0)
    appetite.waiting = ENOUGH - 1
    assert appetite.wants_more(1.0)


@pytest.mark.parametrize("busy", [1, 4, 9])
def test_one_free_host_among_busy_ones_is_reason_for_more(busy: int) -> None:
    appetite = Appetite(ENOUGH, 0.0)
    asked(appetite, [*[False] * busy, True], 4096)
    assert appetite.wants_more(0.0)


def test_now_and_then_it_has_a_look_at_what_comes_next() -> None:
    appetite = Appetite(ENOUGH, 0.0)
    asked(appetite, [False], 1000, now=10.0)
    assert not appetite.wants_more(11.9)
    assert appetite.wants_more(12.0)
    asked(appetite, [False], 1, now=12.0)
    assert not appetite.wants_more(13.0)
