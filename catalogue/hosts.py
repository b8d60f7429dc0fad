"""One host: its turns for downloads, and its circuit breaker."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from catalogue.fetch import Trouble, download_error
from catalogue.photo import Limits

_SILENCES: Final = 5
"""Tries in a row without an answer that open the circuit breaker, if they took long enough."""
_BLIP: Final = 0.1
"""Share of a rest after which a host that has given photos is first tried again."""
_LONGEST: Final = 30
"""Rests grow up to this many times the first."""


class Host:
    """Lets those who want its photos ask in turn. Times are those of the event loop's clock, in seconds.

    A host that gave nothing but trouble for a while is left alone ("rests"); then one photo tries it again. If it has
    given photos before, the others wait for that, up to the limits' patience; else they fail at once.
    """

    def __init__(self, place: str, limits: Limits, per_host: int) -> None:
        self.per_host = per_host
        self.answered_at: float | None = None  # when it last said something useful
        self._place = place
        self._limits = limits
        self._waiting: deque[asyncio.Future[str | None]] = deque()
        self._running = 0
        self._asked = 0
        self._put_off_until = 0.0
        self._rests_until = 0.0
        self._troubles = 0
        self._since = 0.0
        self._silent = True
        self._rests = 0
        self._rested_at = 0.0
        self._why = ""

    @asynccontextmanager
    async def turn(self, url: str, *, first: bool) -> AsyncIterator[bool]:
        """Wait for a turn, before all others if ``first``; returns whether others are asking the host, too.

        Raises:
            ImageError: ``download``: it is left alone.
        """
        turn: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting.insert(0 if first else len(self._waiting), turn)
        self._give_turns()
        try:
            if why := await turn:
                raise download_error(url, why)
            yield self._asked > 1 or bool(self._waiting)
        finally:
            if not turn.cancelled():
                self._running -= 1
            self._give_turns()

    def _give_turns(self) -> None:
        """Give turns to those who wait; if the host is left alone, to all, so that they are told."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        why = self.refusal(now)
        while self._waiting and (why or self.may_start(now)):
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self._running += 1
                self._asked += 1
                turn.set_result(why)
        if self._waiting and now < self._not_before:
            loop.call_at(self._not_before, self._give_turns)

    def may_start(self, now: float) -> bool:
        """Whether it may be asked for one more photo now."""
        return self._running < (1 if self._rests else self.per_host) and now >= self._not_before

    def may_ask(self, now: float) -> bool:
        """Whether a turn is still valid: since it was given, the host may have been put off or left alone."""
        return now >= self._not_before and (not self._rests or self._running == 1)

    @property
    def _not_before(self) -> float:
        return max(self._put_off_until, self._rests_until)

    @property
    def load(self) -> int:
        """How many downloads ask it or wait for a turn."""
        return self._running + len(self._waiting)

    def refusal(self, now: float) -> str | None:
        """Why it is left alone for now; None if it is not."""
        if now < self._rests_until and not self._is_known(now):
            return f"its host {self._place} {self._why} and is left alone for a while; see that it is up, and try again"
        return None

    def is_waited_for(self, now: float) -> bool:
        """Whether it has fallen silent, and is likely to come back."""
        return self._rests > 0 and self._is_known(now)

    def _is_known(self, now: float) -> bool:
        return self.answered_at is not None and now - self.answered_at < self._limits.patience_s

    def answered(self, now: float) -> None:
        """Note that it has given a useful answer."""
        self._troubles = self._rests = 0
        self._rests_until = 0.0
        self.answered_at = now

    def troubled(self, trouble: Trouble, began: float, now: float) -> None:
        """Note that a try that began at ``began`` ended in trouble."""
        if trouble.after_s is not None:
            self._put_off_until = max(self._put_off_until, now + self._put_off_s(trouble.after_s))
        if not self._troubles:
            self._since, self._silent = began, True
        self._troubles += 1
        self._silent = self._silent and trouble.silent
        if began < self._rested_at:
            return  # it was under way when the host was left alone
        if trouble.lasting or self._rests or self._is_hopeless(now):
            self._rest(trouble.why, now)

    def _put_off_s(self, after_s: float) -> float:
        """The seconds to wait, cut to a limit: a photo that gets no answer by then fails."""
        longest = self._limits.longest_after_s
        return after_s if after_s <= longest else min(longest, 2 * self._limits.total_s)

    def _is_hopeless(self, now: float) -> bool:
        """Whether to leave it alone. A host that answers, even "overloaded", gets as long as a photo may take.

        One that has given photos and falls silent is left alone at once, before a photo has used up all its tries.
        """
        if self._troubles < _SILENCES:
            return False
        if self._silent and self._is_known(now):
            return True
        return now - self._since >= (self._limits.silent_s if self._silent else self._limits.total_s)

    def _rest(self, why: str, now: float) -> None:
        rest_s = self._limits.rest_s
        first_s, longest_s = (rest_s * _BLIP, rest_s) if self._is_known(now) else (rest_s, rest_s * _LONGEST)
        self._rests_until = now + min(first_s * 2**self._rests, longest_s)
        self._rests += 1
        self._rested_at = now
        self._why = why
