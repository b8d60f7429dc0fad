"""Makes the process of a command begin and end sooner, without changing what it does.

Each was measured with ``benchmarks/cold_start.py``.
"""

import atexit
import gc
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any, Final, Literal

_FIRST_COLLECTION: Final = 200_000
"""How many new objects trigger a search for reference cycles: the objects that imports make stay anyway."""
_NO_LINEAR_ALGEBRA: Final = frozenset({"models", "worker"})
_ONLY_SHOW: Final = frozenset({"models"})


def begin_quickly(rooms: Sequence[str]) -> None:
    """Put off what the start of a command does not need.

    Args:
        rooms: whose commands may be asked for.
    """
    # Pydantic looks for plugins in the metadata of every package that is installed; Hangtag has none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if _NO_LINEAR_ALGEBRA.issuperset(rooms):  # numpy starts a thread for each core, which spin and are never used
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _collect_late()


def _collect_late() -> None:
    usual = gc.get_threshold()

    def as_usual(_phase: Literal["start", "stop"], _info: dict[str, Any]) -> None:
        gc.callbacks.remove(as_usual)
        gc.set_threshold(*usual)

    gc.callbacks.append(as_usual)
    gc.set_threshold(_FIRST_COLLECTION, *usual[1:])


def end_quickly(rooms: Sequence[str], end: SystemExit) -> None:
    """End a process without a last search for reference cycles and, where it is safe, without freeing memory.

    After commands that only read and show, only exit handlers and unprinted output are left. Every other command ends
    as any process does, and so does one with threads or with a closed output.

    Args:
        rooms: whose commands may have been asked for.
        end: what ends the process.
    """
    gc.freeze()
    if not _ONLY_SHOW.issuperset(rooms) or threading.active_count() > 1 or not isinstance(end.code, int):
        return
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return
    os._exit(end.code)
