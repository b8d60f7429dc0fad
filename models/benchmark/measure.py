"""Measures ONNX files against each other: a fresh process a turn, turn by turn, so that noise is fair to all."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.benchmark.child import BATCH, EDGE_PHOTO, ThreadTimes, Turn, TurnFigures
from models.errors import BundleError
from models.process import python_command, python_environment, usable_cores

__all__ = ["BRIEF", "THOROUGH", "Effort", "Measured", "Record", "Speed", "measure", "take_turn"]

Figure = Annotated[float, Field(gt=0.0)]


class Record(BaseModel):
    """A part of ``benchmark.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Speed(Record):
    """How quick a file is with a number of threads.

    Attributes:
        threads: of one call.
        p50_ms: milliseconds of a call with one photo: the median.
        p95_ms: milliseconds within which 95 of 100 such calls end.
        images_per_s: photos a second in batches of 32, of all threads together; none for an edge graph, which takes
            one photo a call.
    """

    threads: int = Field(ge=1)
    p50_ms: Figure
    p95_ms: Figure
    images_per_s: Figure | None

    @property
    def images_per_s_per_core(self) -> float | None:
        """Photos a second for each thread."""
        return None if self.images_per_s is None else self.images_per_s / self.threads


class Measured(Record):
    """One ONNX file.

    Attributes:
        variant: ``float32``, ``int8``, ``float16``.
        file: its name.
        edge: whether it takes one whole photo a call and resizes inside.
        bytes: its size.
        load_ms: milliseconds to read it, from the disk's cache, and make it ready, with one thread: the median.
        peak_memory_mb: most memory (10⁶ bytes) of a bare process that loads it and labels photos one by one.
        baseline_memory_mb: how much of that the process held before: Python, NumPy and ONNX Runtime.
        speeds: for one thread, then for all.
    """

    variant: str
    file: str
    edge: bool
    bytes: int = Field(ge=1)
    load_ms: Figure
    peak_memory_mb: Figure
    baseline_memory_mb: Figure
    speeds: Annotated[tuple[Speed, ...], Field(min_length=1, strict=False)]


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        rounds: turns of each file.
        calls: timed calls with one photo in a turn, at most.
        batches: timed calls with a batch in a turn, at most.
        seconds: that either kind of call has in a turn, for each number of threads.
    """

    rounds: int
    calls: int
    batches: int
    seconds: float


BRIEF: Final = Effort(rounds=3, calls=60, batches=3, seconds=0.2)
"""For an export: some seconds."""
THOROUGH: Final = Effort(rounds=9, calls=200, batches=8, seconds=0.5)
"""For a person who asks."""


def take_turn(turn: Turn) -> TurnFigures:
    """Measure one file in a fresh process.

    Raises:
        BundleError: the process died: the file is no model, or there is not memory enough.
    """
    done = subprocess.run(
        python_command("models.benchmark.child"),
        input=json.dumps(asdict(turn)),
        env=python_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        why = f"status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        why += f": {lines[-1]}" if lines else ""
        msg = (
            f"Expected to measure {turn.file}, the process that did ended with {why}; "
            "check it with hangtag verify, or export it again."
        )
        raise BundleError(msg)
    figures = json.loads(done.stdout)
    times = tuple(ThreadTimes(t["threads"], tuple(t["one_ms"]), tuple(t["batch_ms"])) for t in figures.pop("times"))
    return TurnFigures(**figures, times=times)


def measure(
    files: Mapping[str, Path],
    size: int,
    edges: Mapping[str, Path] = {},
    effort: Effort = BRIEF,
    threads: Sequence[int] | None = None,
    on_turn: Callable[[int, int], None] = lambda done, total: None,
    take: Callable[[Turn], TurnFigures] = take_turn,
) -> tuple[Measured, ...]:
    """Measure ONNX files on pixels that look like a photo's.

    Args:
        files: variant → ONNX file that takes ``uint8 [batch, S, S, 3]``.
        size: side S in pixels.
        edges: variant → edge graph.
        effort: how much is measured.
        threads: numbers of threads to measure with; one, then as many as this process may have cores.
        on_turn: told after each turn (done, of all).
        take: what takes a turn.

    Returns:
        A record a file, in the order given, edge graphs last. Each round gives its median and its 95th percentile; a
        figure is the median of the rounds'.

    Raises:
        BundleError: a file is no model.
    """
    graphs = [*((variant, path, False) for variant, path in files.items())]
    graphs += [(variant, path, True) for variant, path in edges.items()]
    counts = tuple(threads or sorted({1, usable_cores()}))
    figures: dict[tuple[str, Path, bool], list[TurnFigures]] = {graph: [] for graph in graphs}
    # Each graph once a round, every second round backwards: what slows a machine bit by bit slows all alike.
    order = [graph for number in range(effort.rounds) for graph in (reversed(graphs) if number % 2 else graphs)]
    for done, graph in enumerate(order, start=1):
        _, path, edge = graph
        shape = EDGE_PHOTO if edge else (size, size)
        figures[graph].append(take(Turn(str(path), shape, edge, counts, effort.calls, effort.batches, effort.seconds)))
        on_turn(done, len(order))
    return tuple(_measured(*graph, turns) for graph, turns in figures.items())


def _measured(variant: str, path: Path, edge: bool, turns: list[TurnFigures]) -> Measured:
    return Measured(
        variant=variant,
        file=path.name,
        edge=edge,
        bytes=path.stat().st_size,
        load_ms=median(turn.load_ms for turn in turns),
        peak_memory_mb=median(turn.peak_memory_mb for turn in turns),
        baseline_memory_mb=median(turn.baseline_memory_mb for turn in turns),
        speeds=tuple(map(_speed, zip(*(turn.times for turn in turns), strict=True))),
    )


def _speed(rounds: Sequence[ThreadTimes]) -> Speed:
    batches = [median(times.batch_ms) for times in rounds if times.batch_ms]
    return Speed(
        threads=rounds[0].threads,
        p50_ms=median(median(times.one_ms) for times in rounds),
        p95_ms=median(float(np.percentile(times.one_ms, 95, method="higher")) for times in rounds),
        images_per_s=BATCH * 1000 / median(batches) if batches else None,
    )
