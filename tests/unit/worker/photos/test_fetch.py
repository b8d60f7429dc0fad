"""Whose fault silence is: the photo's, or its host's; the clock is a number."""

import pytest

from worker.photos.cells import parse_url
from worker.photos.fetch import Fetch, Intake, Room
from worker.photos.photo import Limits

SLOW_S = 1.0


@pytest.fixture
def fetch():
    target = parse_url("http://shop.test/a.jpg")
    return Fetch(target.text, None, target, Intake(Room(Limits()), target.text))


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
