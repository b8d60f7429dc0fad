"""Wait for another process: poll a condition until a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_PAUSE_S = 0.01


def until(condition: Callable[[], T], what: str, within_s: float = 30.0) -> T:
    deadline = time.monotonic() + within_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            message = f"Waited {within_s:g} s in vain: {what}."
            raise AssertionError(message)
        time.sleep(_PAUSE_S)
