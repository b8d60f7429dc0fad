"""A limit to the requests of one address."""

import math
import time
from collections import OrderedDict
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from web.problems import problem_response

_BURST_S: Final = 10.0
_ADDRESSES: Final = 10_000
"""Whose requests are counted; the one that has been silent longest is forgotten."""


class Allowance:
    """A bucket for each address, which fills steadily and holds what comes in ten seconds.

    Args:
        per_minute: requests that one address may send.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_s = per_minute / 60
        self._most = max(1.0, self._per_s * _BURST_S)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long an address must wait with the request that it sends now; 0 where it may pass."""
        now = time.monotonic()
        left, seen = self._left.pop(address, (self._most, now))
        left = min(self._most, left + (now - seen) * self._per_s)
        passes = left >= 1
        self._left[address] = (left - passes, now)
        if len(self._left) > _ADDRESSES:
            self._left.popitem(last=False)
        return 0.0 if passes else (1 - left) / self._per_s


class RateLimit:
    """The middleware.

    Args:
        app: what it stands before.
        per_minute: requests that one address may send.
    """

    def __init__(self, app: ASGIApp, per_minute: int) -> None:
        self._app = app
        self._allowance = Allowance(per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer 429."""
        wait_s = self._allowance.wait_s((scope.get("client") or ("",))[0]) if scope["type"] == "http" else 0.0
        if wait_s:
            again = {"retry-after": str(math.ceil(wait_s))}
            refusal = problem_response(429, "This address sends too many requests; send fewer a minute.", again)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)
