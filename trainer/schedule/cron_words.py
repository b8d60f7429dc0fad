"""What ``[schedule]`` says in words: the five fields of cron, and a time zone. Knows nothing of settings or queues."""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from models.errors import InputError

__all__ = ["check_cron", "zone_of"]

_FIELDS: Final = 5


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"Expected [schedule] timezone to be one such as Europe/Zurich or UTC, got {name!r}."
        raise InputError(msg) from error


def check_cron(text: str) -> None:
    """Refuse fields that name no moment.

    Raises:
        InputError: they are not five, not as in crontab(5), or come true on no day.
    """
    try:
        wrong = len(text.split()) != _FIELDS or next(CronSim(text, datetime.now(UTC)), None) is None
    except CronSimError:
        wrong = True
    if wrong:
        msg = (
            'Expected [schedule] cron = five fields as in crontab(5), such as "0 3 * * 0" for Sundays at 3, '
            f"got {text!r}."
        )
        raise InputError(msg)
