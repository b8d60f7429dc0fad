"""A bare process that measures one model: a turn in on stdin, its figures out on stdout, both JSON.

Run as ``python -P -m models.benchmark.child``. It imports NumPy and ONNX Runtime and no more, so that memory and load
time are what a device pays for the model.
"""

import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from models.session import bare_session, refuse_telemetry

if TYPE_CHECKING:
    import onnxruntime as ort

BATCH: Final = 32
"""Photos in a call, when throughput is measured."""
EDGE_PHOTO: Final = (640, 480)
"""Height and width of the whole photo that an edge graph is given."""
_STATUS: Final = Path("/proc/self/status")
_WARM_UP: Final = 2
"""Calls that are not timed: the first plans its memory, the second is the first to use the plan."""

_Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Turn:
    """One file in one fresh process.

    Attributes:
        file: an ONNX file.
        size: height and width of a photo.
        edge: whether the file takes one photo a call, without a batch axis.
        threads: the numbers of threads to measure with; memory and load time are measured with the first.
        calls: timed calls with one photo, at most.
        batches: timed calls with a batch, at most; an edge graph has none.
        seconds: for each number of threads and each kind of call; after these no further call begins.
    """

    file: str
    size: tuple[int, int]
    edge: bool
    threads: tuple[int, ...]
    calls: int
    batches: int
    seconds: float


def photo_like(count: int, size: tuple[int, int]) -> _Pixels:
    """Slow waves of colour under a little noise, ``uint8 (count, height, width, 3)``, the same each time."""
    photo, row, column, colour = np.ogrid[:count, : size[0], : size[1], :3]
    waves = np.sin(row / 17 + photo) * np.cos(column / 23 + 2 * colour)
    noise = (row * 7919 + column * 104_729 + photo * 1299 + colour * 31) % 33 - 16
    pixels: _Pixels = (128 + 90 * waves + noise).astype(np.uint8)
    return pixels


def take(turn: Turn) -> dict[str, Any]:
    """Measure one file in this process.

    Returns:
        ``load_ms``: milliseconds to read the file and make a session of it; ``baseline_memory_mb``: the most that the
        process held before, with NumPy and ONNX Runtime imported; ``peak_memory_mb``: the most that it held until the
        calls with one photo were over; ``speeds``: a :class:`models.benchmark.measure.Speed` for each number of
        threads.
    """
    refuse_telemetry()
    import onnxruntime  # noqa: F401 - it is in the baseline

    one = photo_like(1, turn.size)[0 if turn.edge else slice(None)]
    baseline = _peak_memory_mb()
    load_ms, peak, speeds = 0.0, 0.0, []
    for threads in turn.threads:
        began = time.perf_counter()
        session = bare_session(Path(turn.file).read_bytes(), threads)
        load_ms = load_ms or _ms_since(began)
        one_ms = _timed(session, one, turn.calls, turn.seconds)
        peak = peak or _peak_memory_mb()
        batch_ms = [] if turn.edge else _timed(session, photo_like(BATCH, turn.size), turn.batches, turn.seconds)
        speeds.append(
            {
                "threads": threads,
                "p50_ms": median(one_ms),
                "p95_ms": float(np.percentile(one_ms, 95, method="higher")),
                "images_per_s": BATCH * 1000 / median(batch_ms) if batch_ms else None,
            }
        )
        del session
    return {"load_ms": load_ms, "baseline_memory_mb": baseline, "peak_memory_mb": peak, "speeds": speeds}


def _timed(session: "ort.InferenceSession", image: _Pixels, calls: int, seconds: float) -> list[float]:
    """Milliseconds of each call: at least one."""
    for _ in range(_WARM_UP):
        session.run(None, {"image": image})
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or (len(times) < calls and time.perf_counter() < end):
        began = time.perf_counter()
        session.run(None, {"image": image})
        times.append(_ms_since(began))
    return times


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def _peak_memory_mb() -> float:
    """The most that this process has held, by Linux's own count: ``getrusage`` inherits its parent's."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        lines = []
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    unit = 1 if sys.platform == "darwin" else 1024
    return (kilobytes[0] * 1024 if kilobytes else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit) / 1e6


if __name__ == "__main__":
    print(json.dumps(take(Turn(**json.load(sys.stdin)))))
