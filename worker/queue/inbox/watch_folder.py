"""Look into a folder again and again."""

import time
from typing import Final, NoReturn

from worker.queue.inbox.inbox import Inbox

__all__ = ["look_once", "watch_folder"]

_EFFORT: Final = 0.2
"""The share of the time that looking may take: a network disk with many files has others to serve."""


def watch_folder(inbox: Inbox, every_s: float) -> NoReturn:
    """Look until somebody ends this; a look may end anywhere, as with ``kill -9``."""
    while True:
        start = time.monotonic()
        inbox.look(start)
        time.sleep(max(every_s, (time.monotonic() - start) / _EFFORT))


def look_once(inbox: Inbox, settle_s: float) -> bool:
    """Take what stays the same for so many seconds.

    Returns:
        Whether all of it became jobs.
    """
    inbox.look(time.monotonic(), gather=False)
    if settle_s:
        time.sleep(settle_s)
        inbox.look(time.monotonic(), gather=False)
    return not inbox.faults
