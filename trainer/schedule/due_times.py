"""The moments at which a schedule asks for a cycle. A slot is told by its time in UTC, whatever the schedule's zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from trainer.request import parse_duration
from trainer.retrain.config import ScheduleSettings, check_cron, zone_of

__all__ = ["Slots", "slots_of", "stamp_of", "time_of"]

_STAMP: Final = "%Y%m%dT%H%M%SZ"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DOUBLED: Final = timedelta(hours=2)
"""No clock is set back by more, so no slot that has been is told later than this by the clock on the wall."""


@dataclass(frozen=True)
class Slots:
    """The slots of one schedule. All times are aware, in UTC, and whole seconds.

    A slot in an hour that the clocks skip is when they skip it, one in an hour that they have twice is in the first of
    both, as Debian's cron does; a schedule of every hour or minute knows nothing of clocks that are set.

    Attributes:
        text: the schedule, for files and people.
        cron: its five fields; none where ``every`` is given.
        every_s: seconds.
        zone: that the fields are told in.
    """

    text: str
    cron: str | None
    every_s: int
    zone: ZoneInfo

    def latest(self, now: datetime) -> datetime | None:
        """The last slot that is not after ``now``; none where there has been none for 50 years."""
        if self.cron is None:
            return _EPOCH + timedelta(seconds=int(now.timestamp()) // self.every_s * self.every_s)
        ahead = (now + _DOUBLED).astimezone(self.zone)
        slots = (slot.astimezone(UTC) for slot in CronSim(self.cron, ahead, reverse=True))
        return next((slot for slot in slots if slot <= now), None)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The slots after a moment, in order."""
        if self.cron is None:
            first = int(moment.timestamp()) // self.every_s + 1
            while True:
                yield _EPOCH + timedelta(seconds=first * self.every_s)
                first += 1
        else:
            slots = (slot.astimezone(UTC) for slot in CronSim(self.cron, moment.astimezone(self.zone)))
            yield from (slot for slot in slots if slot > moment)

    def next(self, now: datetime) -> datetime | None:
        """The first slot after ``now``."""
        return next(self.after(now), None)

    def count(self, after: datetime, before: datetime, most: int = 1000) -> int:
        """How many slots lie between two moments; counts no further than ``most``."""
        return sum(slot < before for slot in islice(self.after(after), most))


def slots_of(settings: ScheduleSettings) -> Slots:
    """The slots that somebody asked for.

    Raises:
        InputError: the time zone or the fields are not what they should be.
    """
    zone = zone_of(settings.timezone)
    if settings.cron is None:
        every = settings.every or ""
        return Slots(f"every {every}", None, int(parse_duration(every)), zone)
    check_cron(settings.cron)
    return Slots(f"{settings.cron} ({settings.timezone})", settings.cron, 0, zone)


def stamp_of(slot: datetime) -> str:
    """The name of a slot's files: ``20261122T030000Z``."""
    return slot.astimezone(UTC).strftime(_STAMP)


def time_of(stamp: str) -> datetime | None:
    """The inverse; none for what is no stamp."""
    try:
        time = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    return time if stamp_of(time) == stamp else None
