"""What a bare process is asked for, and what it answers: of the standard library alone, so that it stays bare."""

from dataclasses import dataclass
from typing import Final

__all__ = ["BATCH", "EDGE_PHOTO", "ThreadTimes", "Turn", "TurnFigures"]

BATCH: Final = 32
"""Photos a call where throughput is measured."""
EDGE_PHOTO: Final = (640, 480)
"""Height and width of the whole photo that an edge graph is given."""


@dataclass(frozen=True)
class Turn:
    """One file in one fresh process.

    Attributes:
        file: an ONNX file.
        size: height and width of a photo.
        edge: whether the file takes one photo a call, without a batch axis.
        threads: each number of threads to measure with; memory and load time are of the first.
        calls: timed calls with one photo, at most.
        batches: timed calls with a batch, at most; an edge graph has none.
        seconds: once these are over no further call begins (each kind of call has them anew).
    """

    file: str
    size: tuple[int, int]
    edge: bool
    threads: tuple[int, ...]
    calls: int
    batches: int
    seconds: float


@dataclass(frozen=True)
class ThreadTimes:
    """How long calls took.

    Attributes:
        threads: that ONNX Runtime was given.
        one_ms: milliseconds of each call with one photo.
        batch_ms: milliseconds of each call with a batch.
    """

    threads: int
    one_ms: tuple[float, ...]
    batch_ms: tuple[float, ...]


@dataclass(frozen=True)
class TurnFigures:
    """What came of a turn.

    Attributes:
        load_ms: milliseconds to read the file and make a session of it.
        baseline_memory_mb: most that the process held before, with NumPy and ONNX Runtime imported.
        peak_memory_mb: most that it held until the calls with one photo were over.
        times: for each number of threads.
    """

    load_ms: float
    baseline_memory_mb: float
    peak_memory_mb: float
    times: tuple[ThreadTimes, ...]
