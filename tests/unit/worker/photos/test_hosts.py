"""When a host is asked, and when it is left alone; the clock is a number."""

from itertools import cycle

import pytest

from worker.photos.cells import parse_url
from worker.photos.fetch import Fetch, Intake, MemoryBudget, Trouble
from worker.photos.hosts import Host, Prefetch
from worker.photos.photo import Limits

LIMITS = Limits(silences=3, silent_s=4.0, total_s=60.0, rest_s=10.0, longest_rest_s=30.0)
SILENT = Trouble("does not answer", silent=True)
BUSY = Trouble("answered 503")


@pytest.fixture
def host():
    host = Host("shop.test:80", LIMITS, per_host=2)
    target = parse_url("http://shop.test/a.jpg")
    host.waiting.append(Fetch(target.text, None, target, Intake(MemoryBudget(LIMITS), target.text)))
    return host


def dead(host):
    for now in (5.0, 5.0, 5.0):
        host.troubled(SILENT, 0.0, now)
    return host


def test_no_more_than_its_limit_at_once(host):
    host.running = 1
    assert host.may_start(0.0)
    host.running = 2
    assert not host.may_start(0.0)


def test_a_host_that_says_nothing_several_times_is_left_alone(host):
    host.troubled(SILENT, 0.0, 5.0)
    host.troubled(SILENT, 0.0, 5.0)
    assert host.refusal(5.0) is None
    host.troubled(SILENT, 0.0, 5.0)
    assert "does not answer and is left alone" in host.refusal(5.0)
    assert host.refusal(14.9)
    assert host.refusal(15.0) is None


def test_a_moment_of_silence_is_forgiven(host):
    for _ in range(10):
        host.troubled(SILENT, 0.0, 3.9)
    assert host.refusal(3.9) is None


def test_one_answer_is_enough(host):
    host.troubled(SILENT, 0.0, 5.0)
    host.troubled(SILENT, 0.0, 5.0)
    host.answered(5.0)
    host.troubled(SILENT, 0.0, 5.0)
    assert host.refusal(5.0) is None


def test_who_answers_that_it_is_busy_is_given_longer(host):
    for now in (1.0, 10.0, 20.0, 59.0):
        host.troubled(BUSY, 0.0, now)
    assert host.refusal(59.0) is None
    host.troubled(BUSY, 59.0, 60.0)
    assert "answered 503" in host.refusal(60.0)


def test_after_a_rest_one_photo_tries_it_again(host):
    dead(host)
    assert host.may_start(15.0)
    host.running = 1
    assert not host.may_start(15.0)
    host.answered(15.0)
    assert host.may_start(15.0)


def test_each_trial_that_fails_makes_the_rest_longer(host):
    dead(host)
    ends = []
    for _ in range(3):
        now = host.rests_until
        host.troubled(SILENT, now, now)
        ends.append(host.rests_until - now)
    assert ends == [20.0, 30.0, 30.0]


def test_those_under_way_when_it_begins_to_rest_make_it_no_longer(host):
    dead(host)
    host.troubled(SILENT, 0.0, 6.0)
    assert host.rests_until == 15.0


def test_a_host_that_is_not_known_rests_at_once(host):
    host.troubled(Trouble("has no address", silent=True, lasting=True), 0.0, 0.1)
    assert "has no address" in host.refusal(0.2)


def test_a_host_is_not_asked_before_it_wants_to_be(host):
    host.troubled(Trouble("answered 429", after_s=30.0), 0.0, 1.0)
    assert not host.may_start(30.9)
    assert host.may_start(31.0)
    assert host.refusal(1.0) is None


def test_one_answer_does_not_stop_a_host_for_hours(host):
    host.waiting.append(object())
    host.troubled(Trouble("answered 429", after_s=3600.0), 0.0, 1.0)
    assert host.refusal(1.0) is None
    assert not host.may_start(host.limits.longest_after_s)
    assert host.may_start(1.0 + host.limits.longest_after_s)


def test_a_time_that_cannot_be_kept_to_is_cut_to_twice_that_of_a_photo():
    limits = Limits(total_s=20.0, longest_after_s=120.0)
    assert [limits.put_off_s(after_s) for after_s in (0.0, 60.0, 120.0, 121.0)] == [0.0, 60.0, 120.0, 40.0]
    assert Limits(total_s=600.0, longest_after_s=120.0).put_off_s(3600.0) == 120.0


def test_a_host_that_has_given_photos_is_waited_for_when_it_falls_silent(host):
    host.waiting.append(object())
    host.answered(0.0)
    for _ in range(3):
        host.troubled(SILENT, 0.5, 1.0)
    assert host.is_waited_for(1.0)
    assert host.refusal(1.0) is None
    assert not host.may_start(1.9)
    assert host.may_start(2.0)
    host.troubled(SILENT, 2.0, 2.0)
    host.troubled(SILENT, 0.5, 2.0)  # one that was under way when it began to rest
    assert not host.may_start(3.9)
    assert host.may_start(4.0)


def test_and_is_not_waited_for_for_ever(host):
    host.answered(0.0)
    late = host.limits.patience_s + 1.0
    for now in (1.0, 5.0, 5.0, late):
        host.troubled(SILENT, 0.0, now)
    assert not host.is_waited_for(late)
    assert "left alone" in host.refusal(late)


ENOUGH = 64


def asked(prefetch: Prefetch, frees: list[bool], photos: int, now: float = 0.0) -> None:
    for free, _ in zip(cycle(frees), range(photos), strict=False):
        prefetch.asked(free=free, now=now)


def test_it_wants_more_at_first() -> None:
    assert Prefetch(ENOUGH, 0.0).wants_more(0.0)


def test_photos_of_busy_hosts_only_are_enough_at_some_time() -> None:
    prefetch = Prefetch(ENOUGH, 0.0)
    asked(prefetch, [False], 256)
    assert not prefetch.wants_more(1.0)
    prefetch.waiting = ENOUGH - 1
    assert prefetch.wants_more(1.0)


@pytest.mark.parametrize("busy", [1, 4, 9])
def test_one_free_host_among_busy_ones_is_reason_for_more(busy: int) -> None:
    prefetch = Prefetch(ENOUGH, 0.0)
    asked(prefetch, [*[False] * busy, True], 4096)
    assert prefetch.wants_more(0.0)


def test_now_and_then_it_has_a_look_at_what_comes_next() -> None:
    prefetch = Prefetch(ENOUGH, 0.0)
    asked(prefetch, [False], 1000, now=10.0)
    assert not prefetch.wants_more(11.9)
    assert prefetch.wants_more(12.0)
    asked(prefetch, [False], 1, now=12.0)
    assert not prefetch.wants_more(13.0)
