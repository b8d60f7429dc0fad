"""What one host is asked for and whether it may be asked now; whether more photos are worth fetching ahead."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from worker.photos.fetch import Fetch, Trouble
from worker.photos.photo import Limits

__all__ = ["Host", "Prefetch"]

_MEMORY: Final = 0.02
"""How much one photo tells of those that come next: about the last fifty count."""
_WORTH: Final = 0.05
_LOOK_S: Final = 2.0


@dataclass(eq=False)
class Host:
    """A host's queue. Times are those of the event loop's clock, in seconds.

    A host in which nothing but trouble was met for a while is left alone ("rests"); then one photo tries it again.
    Where it has given photos before, the others wait for that, up to the limits' patience; else they fail at once.

    Attributes:
        place: ``HOST:PORT`` or ``s3://BUCKET``.
        limits: of all downloads.
        per_host: how many at once.
        waiting: what it will be asked for.
        running: how many downloads are under way.
        asked: how many there have been.
        not_before: when it wants to be asked again.
        rests_until: when it is tried again.
        in_line: whether it waits for its turn among the hosts.
        answered_at: when it last said something useful; none where it never did.
    """

    place: str
    limits: Limits
    per_host: int
    waiting: deque[Fetch] = field(default_factory=deque)
    running: int = 0
    asked: int = 0
    not_before: float = 0.0
    rests_until: float = 0.0
    in_line: bool = False
    answered_at: float | None = None
    _rests: int = 0
    _troubles: int = 0
    _since: float = 0.0
    _silent: bool = True
    _why: str = ""

    def may_start(self, now: float) -> bool:
        """Whether it may be asked for one more photo now."""
        limit = 1 if self._rests else self.per_host
        return bool(self.waiting) and self.running < limit and now >= self.not_before

    @property
    def has_room(self) -> bool:
        """Whether one more photo would not wait for others of this host."""
        return self.running + len(self.waiting) < self.per_host

    def refusal(self, now: float) -> str | None:
        """Why it is not asked at all for now; none where it is."""
        if now < self.rests_until:
            return f"its host {self.place} {self._why} and is left alone for a while; see that it is up, and try again"
        return None

    def is_waited_for(self, now: float) -> bool:
        """Whether it has fallen silent, and is likely to come back."""
        return self._rests > 0 and self._is_known(now)

    def _is_known(self, now: float) -> bool:
        return self.answered_at is not None and now - self.answered_at < self.limits.patience_s

    def answered(self, now: float) -> None:
        """It has said something useful."""
        self._troubles = self._rests = 0
        self.answered_at = now

    def troubled(self, trouble: Trouble, began: float, now: float) -> None:
        """A try that began at ``began`` ended in trouble."""
        if trouble.after_s is not None:
            self.not_before = max(self.not_before, now + self.limits.put_off_s(trouble.after_s))
        if not self._troubles:
            self._since, self._silent = began, True
        self._troubles += 1
        self._silent = self._silent and trouble.silent
        if trouble.lasting or self._rests or self._is_hopeless(now):
            self._rest(trouble.why, now)

    def _is_hopeless(self, now: float) -> bool:
        """Who answers, if only that it is overloaded, is given as long as a photo may take.

        Who has given photos and says nothing any more is left alone at once, before any photo has had all its tries.
        """
        if self._troubles < self.limits.silences:
            return False
        if self._silent and self._is_known(now):
            return True
        return now - self._since >= (self.limits.silent_s if self._silent else self.limits.total_s)

    def _rest(self, why: str, now: float) -> None:
        if now < self.rests_until:
            return  # others that were under way when it began to
        if self._is_known(now):
            if now >= self.not_before:
                self.not_before = now + min(self.limits.blip_s * 2**self._rests, self.limits.rest_s)
                self._rests += 1
        else:
            self.rests_until = now + min(self.limits.rest_s * 2**self._rests, self.limits.longest_rest_s)
            self._rests += 1
        self._why = why


class Prefetch:
    """Learns from the photos that were asked for how many of the next can begin at once.

    Chunks that are taken in hand are kept from other processes, so none are while nearly all of their photos would wait
    for hosts that give no more at once. Now and then one is all the same: the hosts of the next may be others.

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
