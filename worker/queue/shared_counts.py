"""Numbers that a worker's processes count, and that outlive the process that counted them."""

import mmap
import os
from collections.abc import Mapping
from threading import Lock
from typing import Final

import numpy as np
from billiard.process import current_process
from numpy.typing import NDArray

__all__ = ["SharedCounts"]

_MOST_ROWS: Final = 4096


class SharedCounts:
    """Rows of numbers that only grow; shared by all processes that are forked from the one that made them.

    Processes share no lock: one may be killed at any moment. So each process has a row of its own, and each row is
    there twice; a turn says which of the two counts, and is changed last. What is added in one call is therefore
    counted as a whole or not at all, and the process in the place of a dead one goes on with its row. The threads of a
    process take turns.

    Args:
        width: how many numbers.
    """

    def __init__(self, width: int) -> None:
        self._turns = np.frombuffer(mmap.mmap(-1, _MOST_ROWS * 8), np.uint64)
        self._rows = np.frombuffer(mmap.mmap(-1, _MOST_ROWS * 2 * width * 8), np.float64).reshape(_MOST_ROWS, 2, width)
        self._unlock()
        os.register_at_fork(after_in_child=self._unlock)

    def _unlock(self) -> None:
        """A new lock, also in each process that is forked while another thread holds this one."""
        self._lock = Lock()

    def add(self, amounts: Mapping[int, float]) -> None:
        """Add to some of this process's numbers; the keys are their places."""
        row = (getattr(current_process(), "index", -1) + 1) % _MOST_ROWS  # 0 is the main process
        with self._lock:
            turn = int(self._turns[row])
            after = self._rows[row, turn % 2].copy()
            for place, amount in amounts.items():
                after[place] += amount
            self._rows[row, (turn + 1) % 2] = after
            self._turns[row] = turn + 1

    def totals(self) -> NDArray[np.float64]:
        """The sum of all processes' numbers ``(width,)``."""
        rows = [self._read(row) for row in np.flatnonzero(self._turns).tolist()]
        return np.sum(rows, axis=0) if rows else np.zeros(self._rows.shape[2])

    def _read(self, row: int) -> NDArray[np.float64]:
        while True:
            turn = int(self._turns[row])
            numbers: NDArray[np.float64] = self._rows[row, turn % 2].copy()
            if self._turns[row] == turn:  # nobody has written meanwhile
                return numbers
