"""The standard streams of a process that speaks JSON lines with the command that started it."""

import os
import sys
from pathlib import Path
from typing import TextIO

__all__ = ["take_streams"]


def take_streams() -> TextIO:
    """Keep stdout for replies and stderr for Python, and send whatever C libraries print to nowhere.

    libtiff prints a line for every odd tag of every file; a plugin that prints must not mix with the replies.

    Returns:
        The pipe to the command, a line at a time.
    """
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    return replies
