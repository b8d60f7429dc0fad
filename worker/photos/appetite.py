"""Whether more photos would be downloads for now, or only wait with others for the same busy hosts."""

from typing import Final

__all__ = ["Appetite"]

_MEMORY: Final = 0.02
"""How much one photo tells of those that come next: about the last fifty count."""

_WORTH: Final = 0.05
_LOOK_S: Final = 2.0


class Appetite:
    """Learns from the photos that were asked for how many of the next can begin at once.

    Chunks that are taken in hand are kept from other processes, so none are while nearly all of their photos would wait
    for hosts that give no more at once. Now and then one is all the same: the hosts of the next may be others.

    Args:
        enough: photos that wait, below which more are always welcome.
        now: by the clock of the calls.

    Attributes:
        waiting: photos that wait for their turn.
    """

    def __init__(self, enough: int, now: float) -> None:
        self._enough = enough
        self._free = 1.0
        self._look_at = now
        self.waiting = 0

    def asked(self, *, free: bool, now: float) -> None:
        """One more photo waits; ``free``: its host could give it at once."""
        self.waiting += 1
        self._free += _MEMORY * (free - self._free)
        self._look_at = now + _LOOK_S

    def wants_more(self, now: float) -> bool:
        """Whether more photos would be welcome."""
        return self.waiting < self._enough or self._free > _WORTH or now >= self._look_at
