"""A worker's counts since it started; docs/metrics.md says what each means."""

import logging
import mmap
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from threading import Lock
from typing import Final, NamedTuple

import numpy as np
from billiard.process import current_process
from numpy.typing import NDArray

from models.errors import ImageFault
from models.events import log_event
from worker.job.parts import PhotoWork, Status


class Family(NamedTuple):
    """The numbers of one metric, as in Prometheus: its name, its HELP text, and its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()


Key = tuple[Family, tuple[str, ...]]
"""A family and the value of each of its labels."""

IMAGES: Final = Family(
    "hangtag_images_total", "Rows in the parts that this worker committed, by status.", ("status", "error")
)
PHOTOS: Final = Family("hangtag_photos_total", "Photos by what had to be done for them.", ("work",))
BYTES: Final = Family("hangtag_downloaded_bytes_total", "Bytes of photos that came over a network.")
DOWNLOAD: Final = Family("hangtag_download_seconds_total", "Seconds of all downloads, added up; they overlap.")
DECODE: Final = Family("hangtag_decode_seconds_total", "Seconds of decoding photos, of all processes.")
INFERENCE: Final = Family("hangtag_inference_seconds_total", "Seconds of running the network, of all processes.")
CHUNKS: Final = Family("hangtag_chunks_total", "Chunks that this worker took in hand, by outcome.", ("outcome",))
DIED: Final = Family("hangtag_processes_died_total", "Processes of this worker that died with a chunk in hand.")
DROPPED: Final = Family(
    "hangtag_unreadable_total", "Messages and records in Redis that no Hangtag wrote, and that are dropped.", ("what",)
)
CHUNK_SECONDS: Final = Family("hangtag_chunk_seconds", "Seconds from taking a chunk to its committed part.", ("le",))
CHUNK_SECONDS_SUM: Final = Family("hangtag_chunk_seconds_sum", "Of the same, the sum.")

COUNTERS: Final = (IMAGES, PHOTOS, BYTES, DOWNLOAD, DECODE, INFERENCE, CHUNKS, DIED, DROPPED)
CHUNK_BOUNDS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, float("inf"))
_SHOWN: Final = 120
_PHOTO_WORK: Final = ("downloaded", "unchanged", "decoded", "repeated", "carried")
_KEYS: Final[tuple[Key, ...]] = (
    *((IMAGES, (status.value, "")) for status in (Status.LABELED, Status.REVIEW)),
    *((IMAGES, (Status.FAILED.value, fault.value)) for fault in ImageFault),
    *((PHOTOS, (work,)) for work in _PHOTO_WORK),
    *((CHUNKS, (outcome,)) for outcome in ("done", "failed", "given_up")),
    *((DROPPED, (what,)) for what in ("message", "record")),
    *((CHUNK_SECONDS, (str(bound),)) for bound in CHUNK_BOUNDS_S),
    *((family, ()) for family in (BYTES, DOWNLOAD, DECODE, INFERENCE, DIED, CHUNK_SECONDS_SUM)),
)
_PLACES: Final = {key: place for place, key in enumerate(_KEYS)}
_MOST_ROWS: Final = 4096


class Metrics:
    """Counts in a worker's processes, and sums up in its main process; none of its methods raises.

    A process that is killed loses nothing that it has counted; the processes must be forked from the one that made
    this. A number that cannot be counted is logged (``not_counted``), and the work goes on.
    """

    def __init__(self) -> None:
        self._counts = SharedCounts(len(_KEYS))

    def chunk_done(self, seconds: float, rows: Counter[tuple[Status, str | None]], photos: PhotoWork) -> None:
        """Count a chunk that this process has committed ``seconds`` after taking it: its rows by status and error."""
        bound = CHUNK_BOUNDS_S[bisect_left(CHUNK_BOUNDS_S, seconds)]
        self._count(
            {
                **{(IMAGES, (status.value, error or "")): count for (status, error), count in rows.items()},
                **{(PHOTOS, (work,)): getattr(photos, work) for work in _PHOTO_WORK},
                (BYTES, ()): photos.bytes,
                (DOWNLOAD, ()): photos.download_s,
                (DECODE, ()): photos.decode_s,
                (INFERENCE, ()): photos.inference_s,
                (CHUNKS, ("done",)): 1,
                (CHUNK_SECONDS, (str(bound),)): 1,
                (CHUNK_SECONDS_SUM, ()): seconds,
            }
        )

    def count(self, family: Family, *labels: str) -> None:
        """Count one event other than a finished chunk."""
        self._count({(family, labels): 1})

    def record_passed_over(self, key: str) -> None:
        """Count a record in Redis that cannot be read."""
        log_event("record_unreadable", logging.WARNING, key=repr(key[:_SHOWN]))
        self.count(DROPPED, "record")

    def totals(self) -> dict[Key, float]:
        """Every number, zeros included; for :data:`CHUNK_SECONDS`, how many chunks fall between each two bounds."""
        return dict(zip(_KEYS, self._counts.totals().tolist(), strict=True))

    def _count(self, amounts: Mapping[Key, float]) -> None:
        try:
            self._counts.add({_PLACES[key]: amount for key, amount in amounts.items()})
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not fail a chunk
            log_event("not_counted", logging.WARNING, error=f"{type(error).__name__}: {error}")


class SharedCounts:
    """Rows of ``width`` numbers that only grow, shared by all processes forked after they are made.

    Processes share no lock: one may be killed at any moment. So each process has a row of its own, and each row exists
    twice; a switch says which of the two counts, and is changed last. So one call is counted as a whole or not at all,
    and the process that replaces a dead one goes on with its row. The threads of a process take turns.
    """

    def __init__(self, width: int) -> None:
        self._turns = np.frombuffer(mmap.mmap(-1, _MOST_ROWS * 8), np.uint64)
        self._rows = np.frombuffer(mmap.mmap(-1, _MOST_ROWS * 2 * width * 8), np.float64).reshape(_MOST_ROWS, 2, width)
        self._unlock()
        os.register_at_fork(after_in_child=self._unlock)

    def _unlock(self) -> None:
        """Make a new lock: in a forked process, another thread's hold on the old one would last for ever."""
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
