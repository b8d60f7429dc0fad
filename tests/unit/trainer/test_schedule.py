import logging
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery
from celery.beat import Service

from models.errors import InputError
from trainer.retrain.config import ScheduleSettings
from trainer.schedule import beat_schedule, next_time, run_beat, run_cycle, start_train_worker
from worker.queue.settings import QueueSettings

SUNDAYS_AT_3 = ScheduleSettings(cron="0 3 * * 0", timezone="Europe/Zurich")


def due_times(settings: ScheduleSettings, begin: datetime, hours: int) -> list[str]:
    """Times (UTC) at which a beat with a check each quarter of an hour sends."""
    now, last = begin, begin
    due = beat_schedule(settings)
    due.app, due.nowfun = Celery(set_as_current=False), lambda: now
    found = []
    while now < begin + timedelta(hours=hours):
        if due.is_due(last).is_due:
            found.append(f"{now:%d %H:%M}")
            last = now
        now += timedelta(minutes=15)
    return found


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (ScheduleSettings(cron="0 2 * * *", timezone="Europe/Zurich"), "2026-11-27T01:00:00+00:00"),
        (ScheduleSettings(every="6h"), "2026-11-26T19:20:00+00:00"),
    ],
)
def test_the_next_due_time_is_logged_in_utc(settings: ScheduleSettings, expected: str) -> None:
    due = beat_schedule(settings)
    due.app, due.nowfun = Celery(set_as_current=False), lambda: datetime(2026, 11, 26, 13, 20, tzinfo=UTC)
    assert next_time(due) == expected


@pytest.mark.parametrize(
    ("cron", "begin", "expected"),
    [
        ("30 2 * * *", datetime(2026, 3, 27, 12, tzinfo=UTC), ["28 01:30", "29 01:30", "30 00:30"]),
        ("30 2 * * *", datetime(2026, 10, 23, 12, tzinfo=UTC), ["24 00:30", "25 00:30", "26 01:30"]),
        ("0 3 * * 0", datetime(2026, 10, 23, 12, tzinfo=UTC), ["25 02:00"]),
    ],
)
def test_fields_are_in_the_schedules_zone_and_clock_changes_neither_skip_nor_double(
    cron: str, begin: datetime, expected: list[str]
) -> None:
    assert due_times(ScheduleSettings(cron=cron, timezone="Europe/Zurich"), begin, 72) == expected


@pytest.mark.parametrize("cron", ["0 3 * *", "@weekly", "0 25 * * *", "0 3 31 2 *", "x 3 * * *"])
def test_a_cron_that_is_none_is_refused(cron: str) -> None:
    with pytest.raises(InputError, match=cron.replace("*", r"\*")):
        beat_schedule(ScheduleSettings(cron=cron))


def test_a_due_time_that_was_missed_while_no_beat_ran_is_sent_once(tmp_path: Path) -> None:
    app = Celery(set_as_current=False)
    app.conf.beat_schedule = {"shop": {"task": "hangtag.retrain", "schedule": beat_schedule(SUNDAYS_AT_3)}}

    def open_beat():
        return Service(app, schedule_filename=str(tmp_path / "schedule")).scheduler

    first = open_beat()
    assert not first.schedule["shop"].is_due().is_due, "the past of a new schedule is not made up for"
    first.schedule["shop"].last_run_at -= timedelta(days=20)
    first.close()
    second = open_beat()
    assert second.schedule["shop"].is_due().is_due
    assert not second.reserve(second.schedule["shop"]).is_due().is_due
    second.close()


def test_a_config_without_a_schedule_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "shop.toml"
    config.write_text('name = "shop"\ndata = "photos"\n')
    with pytest.raises(InputError, match="shop"):
        run_beat([config], QueueSettings(), as_json=True)


def test_a_train_worker_needs_to_know_whose_cycles_it_runs() -> None:
    with pytest.raises(InputError, match="train"):
        start_train_worker(QueueSettings(), [], as_json=True)


@pytest.mark.parametrize(("status", "level"), [(0, logging.INFO), (4, logging.INFO), (1, logging.ERROR)])
def test_a_cycles_lines_and_its_status_are_logged(status: int, level: int, caplog: pytest.LogCaptureFixture) -> None:
    command = (sys.executable, "-c", f"import sys; print('one', sys.argv[1:]); sys.exit({status})")
    with caplog.at_level(logging.INFO, "hangtag"):
        assert run_cycle(command, {"/shop.toml"}, "/shop.toml", "drift") == status
    assert "one ['/shop.toml', '--when', 'drift']" in caplog.text
    assert caplog.records[-1].levelno == level


def test_a_worker_runs_cycles_of_its_own_configs_only() -> None:
    assert run_cycle((sys.executable, "-c", ""), {"/shop.toml"}, "/tmp/other.toml", "data") is None  # noqa: S108
