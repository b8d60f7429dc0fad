"""When to try again what failed for a reason that may pass, and when that is news. The clock is passed in."""

from dataclasses import dataclass
from typing import Final

__all__ = ["Patience"]

FIRST_S: Final = 5.0
LONGEST_S: Final = 60.0


@dataclass(frozen=True)
class _Setback:
    """The last failure: what was said of it, the pause after it, and when that ends."""

    reason: str
    pause_s: float
    until: float


class Patience:
    """Keeps track of failures by the name of what failed."""

    def __init__(self) -> None:
        self._setbacks: dict[str, _Setback] = {}

    def may_try(self, what: str, now: float) -> bool:
        """Whether it never failed, or its pause is over."""
        return what not in self._setbacks or now >= self._setbacks[what].until

    def failed(self, what: str, reason: str, now: float) -> bool:
        """Note a failure; the pause that follows is 5 s, twice as long with each failure, at most a minute.

        Returns:
            Whether that is news: it failed for the first time, or for another reason than the last.
        """
        last = self._setbacks.get(what)
        pause_s = min(LONGEST_S, last.pause_s * 2) if last else FIRST_S
        self._setbacks[what] = _Setback(reason, pause_s, now + pause_s)
        return last is None or last.reason != reason

    def succeeded(self, what: str) -> None:
        """Forget its failures."""
        self._setbacks.pop(what, None)
