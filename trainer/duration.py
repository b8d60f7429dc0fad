"""Times as people write them: ``90s``, ``10m``, ``1h30m``."""

import re
from typing import Final

from models.errors import InputError

__all__ = ["parse_duration"]

_PARTS: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def parse_duration(text: str) -> float:
    """Seconds.

    Raises:
        InputError: it is no time, or none at all.
    """
    found = _PARTS.fullmatch(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not total:
        msg = f"Expected a time such as 90s, 10m or 1h30m, got {text!r}."
        raise InputError(msg)
    return float(total)
