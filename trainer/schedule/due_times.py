"""Due times: when a schedule lets a cycle run, in UTC whatever the schedule's zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from trainer.request import parse_duration
from trainer.retrain.config import ScheduleSettings

_STAMP: Final = "%Y%m%dT%H%M%SZ"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DOUBLED: Final = timedelta(hours=2)
"""The most that clocks are set back at once: by local time, a past due time may seem to be this far ahead."""


@dataclass(frozen=True)
class Schedule:
    """A schedule's due times. All are aware, in UTC, and whole seconds.

    As in Debian's cron, a due time in the hour that clocks skip falls on the moment of the change, and one in the hour
    that comes twice falls in the first of the two. A schedule of every hour or minute ignores changes of the clock.

    Attributes:
        text: the schedule, for files and people.
        cron: its five fields; None if ``every_s`` seconds are given.
        zone: of the fields.
    """

    text: str
    cron: str | None
    every_s: int
    zone: ZoneInfo

    def latest(self, now: datetime) -> datetime | None:
        """The last due time that is not after ``now``; None if there was none for 50 years."""
        if self.cron is None:
            return _EPOCH + timedelta(seconds=int(now.timestamp()) // self.every_s * self.every_s)
        ahead = (now + _DOUBLED).astimezone(self.zone)
        times = (time.astimezone(UTC) for time in CronSim(self.cron, ahead, reverse=True))
        return next((time for time in times if time <= now), None)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The due times after a moment, in order."""
        if self.cron is None:
            first = int(moment.timestamp()) // self.every_s + 1
            return (_EPOCH + timedelta(seconds=number * self.every_s) for number in count(first))
        times = (time.astimezone(UTC) for time in CronSim(self.cron, moment.astimezone(self.zone)))
        return (time for time in times if time > moment)

    def count(self, after: datetime, before: datetime, most: int = 1000) -> int:
        """How many due times lie between two moments; counts no further than ``most``."""
        return sum(time < before for time in islice(self.after(after), most))


def schedule_of(settings: ScheduleSettings) -> Schedule:
    """The schedule of a config's settings."""
    zone, cron, every = ZoneInfo(settings.timezone), settings.cron, settings.every or ""
    if cron is None:
        return Schedule(f"every {every}", None, int(parse_duration(every)), zone)
    return Schedule(f"{cron} ({settings.timezone})", cron, 0, zone)


def stamp_of(time: datetime) -> str:
    """The name of a due time's files: ``20261122T030000Z``."""
    return time.astimezone(UTC).strftime(_STAMP)


def time_of(stamp: str) -> datetime | None:
    """The inverse; None if the text is not a stamp."""
    try:
        time = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    return time if stamp_of(time) == stamp else None
