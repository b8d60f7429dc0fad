from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trainer.retrain.config import ScheduleSettings
from trainer.schedule.due_times import Schedule, schedule_of, stamp_of, time_of


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def cron(text: str, zone: str = "UTC") -> Schedule:
    return schedule_of(ScheduleSettings(cron=text, timezone=zone))


def every(text: str) -> Schedule:
    return schedule_of(ScheduleSettings(every=text))


def first_after(schedule: Schedule, moment: datetime) -> datetime:
    return next(schedule.after(moment))


def slots_between(schedule: Schedule, start: str, end: str) -> list[str]:
    return [slot.strftime("%dT%H:%M") for slot in takewhile(lambda slot: slot < at(end), schedule.after(at(start)))]


SUNDAYS, ZURICH = cron("0 3 * * 0"), cron("0 3 * * *", "Europe/Zurich")


@pytest.mark.parametrize(
    ("schedule", "now", "latest", "following"),
    [
        (SUNDAYS, "2026-11-25T12:00", "2026-11-22T03:00", "2026-11-29T03:00"),
        (SUNDAYS, "2026-11-22T03:00", "2026-11-22T03:00", "2026-11-29T03:00"),  # the moment itself is due
        (SUNDAYS, "2026-11-22T02:59:59", "2026-11-15T03:00", "2026-11-22T03:00"),
        (ZURICH, "2026-11-22T12:00", "2026-11-22T02:00", "2026-11-23T02:00"),
        (ZURICH, "2026-07-22T12:00", "2026-07-22T01:00", "2026-07-23T01:00"),
        (every("6h"), "2026-11-22T17:59:59", "2026-11-22T12:00", "2026-11-22T18:00"),  # multiples since 1970
        (every("2s"), "2026-11-22T00:00:03", "2026-11-22T00:00:02", "2026-11-22T00:00:04"),
    ],
)
def test_what_was_due_last_and_is_next(schedule: Schedule, now: str, latest: str, following: str) -> None:
    assert (schedule.latest(at(now)), first_after(schedule, at(now))) == (at(latest), at(following))


def test_a_slot_in_the_hour_that_is_skipped_is_when_it_is_skipped() -> None:
    """In Zurich 2 to 3 o'clock of 2026-03-29 does not exist; it goes from 1:00 to 1:00 UTC."""
    nightly = cron("30 2 * * *", "Europe/Zurich")
    assert slots_between(nightly, "2026-03-27T12:00", "2026-03-31T12:00") == [
        "28T01:30",
        "29T01:00",
        "30T00:30",
        "31T00:30",
    ]
    assert nightly.latest(at("2026-03-29T01:00")) == at("2026-03-29T01:00")
    assert nightly.latest(at("2026-03-29T00:59")) == at("2026-03-28T01:30")


def test_a_slot_in_the_hour_that_comes_twice_comes_once() -> None:
    """In Zurich 2 to 3 o'clock of 2026-10-25 is both 0 to 1 and 1 to 2 o'clock UTC."""
    nightly = cron("30 2 * * *", "Europe/Zurich")
    assert slots_between(nightly, "2026-10-24T12:00", "2026-10-27T00:00") == ["25T00:30", "26T01:30"]
    for minutes in range(0, 24 * 60, 7):
        now = at("2026-10-25T00:30") + timedelta(minutes=minutes)
        assert nightly.latest(now) == at("2026-10-25T00:30"), now


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_every_hour_knows_nothing_of_clocks_that_are_set(day: str) -> None:
    hourly = cron("0 * * * *", "Europe/Zurich")
    hours = list(islice(hourly.after(at(f"{day}T00:00") - timedelta(hours=3)), 8))
    assert {later - sooner for sooner, later in pairwise(hours)} == {timedelta(hours=1)}


MOMENTS = st.integers(1_577_836_800, 2_051_222_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
ZONES = st.sampled_from(["UTC", "Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
CRONS = st.sampled_from(["30 2 * * *", "0 3 * * 0", "15 1,2,3 * * *", "*/20 * * * *", "0 0 1 * *"])


@given(CRONS, ZONES, MOMENTS)
def test_the_latest_slot_is_the_last_of_those_before(text: str, zone: str, now: datetime) -> None:
    schedule = cron(text, zone)
    latest = schedule.latest(now)
    assert latest is not None
    assert latest <= now
    assert latest.tzinfo is UTC
    following = first_after(schedule, latest)
    assert following > now


def test_missed_slots_are_counted() -> None:
    schedule = every("1h")
    assert schedule.count(at("2026-11-22T00:00"), at("2026-11-22T05:00")) == 4
    assert schedule.count(at("2026-11-22T00:00"), at("2026-11-22T01:00")) == 0
    assert every("1s").count(at("2020-01-01T00:00"), at("2026-01-01T00:00")) == 1000


@pytest.mark.parametrize("text", ["", "0 3 * *", "0 0 3 * * 0", "60 3 * * *", "0 3 30 2 *", "every day", "@daily"])
def test_what_is_no_cron_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="five fields as in crontab"):
        cron(text)


@pytest.mark.parametrize("zone", ["Zurich", "../etc/passwd", "Europe", ""])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValidationError, match="Expected one such as Europe/Zurich"):
        cron("0 3 * * 0", zone)


@given(MOMENTS)
def test_a_stamp_tells_its_time(moment: datetime) -> None:
    assert time_of(stamp_of(moment)) == moment
    assert stamp_of(moment.astimezone(ZoneInfo("Asia/Kathmandu"))) == stamp_of(moment)


@pytest.mark.parametrize("name", ["plan", "cycle", "20261122T030000Z.done", "", "20261322T030000Z"])
def test_other_names_are_no_stamps(name: str) -> None:
    assert time_of(name) is None
