"""Measures ONNX files in turns, each in a fresh process, so that noise affects all alike."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from models.benchmark.child import EDGE_PHOTO, Turn
from models.errors import BundleError
from models.process import python_command, python_environment, usable_cores

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


class Figures(Record):
    """What a file takes; of one turn, or the medians of several.

    Attributes:
        load_ms: milliseconds to read it, from the disk's cache, and make it ready, with one thread.
        peak_memory_mb: most memory (10⁶ bytes) of a bare process that loads it and labels photos one by one.
        baseline_memory_mb: how much of that the process held before: Python, NumPy and ONNX Runtime.
        speeds: for one thread, then for all.
    """

    load_ms: Figure
    peak_memory_mb: Figure
    baseline_memory_mb: Figure
    speeds: Annotated[tuple[Speed, ...], Field(min_length=1, strict=False)]


class Measured(Figures):
    """One ONNX file.

    Attributes:
        variant: ``float32``, ``int8``, ``float16``.
        file: its name.
        edge: whether it takes one whole photo a call and resizes inside.
        bytes: its size.
    """

    variant: str
    file: str
    edge: bool
    bytes: int = Field(ge=1)


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
"""Effort for an export: some seconds."""
THOROUGH: Final = Effort(rounds=9, calls=200, batches=8, seconds=0.5)
"""Effort for ``hangtag benchmark``."""


def take_turn(turn: Turn) -> Figures:
    """Measure one file in a fresh process.

    Raises:
        BundleError: the process died: the file is not a model, or memory does not suffice.
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
        why = f"status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        why = ": ".join([why, *done.stderr.strip().splitlines()[-1:]])
        msg = (
            f"Expected to measure {turn.file}, but the process for it ended with {why}; check it with hangtag verify, "
            "or export it again."
        )
        raise BundleError(msg)
    return Figures.model_validate_json(done.stdout)


def measure(
    files: Mapping[str, Path],
    size: int,
    edges: Mapping[str, Path] = {},
    effort: Effort = BRIEF,
    threads: Sequence[int] | None = None,
    on_turn: Callable[[int, int], None] = lambda done, total: None,
    take: Callable[[Turn], Figures] = take_turn,
) -> tuple[Measured, ...]:
    """Measure ONNX files on pixels that look like a photo's.

    Args:
        files: variant → ONNX file that takes ``uint8 [batch, S, S, 3]``.
        size: side S in pixels.
        edges: variant → edge graph.
        effort: how much is measured.
        threads: numbers of threads to measure with; one, then as many as this process may have cores.
        on_turn: called after each turn with (done, of all).
        take: measures one turn.

    Returns:
        A record a file, in the order given, edge graphs last. Each figure is the median of the rounds'.

    Raises:
        BundleError: a file is not a model.
    """
    graphs = [(variant, path, edge) for edge, of in ((False, files), (True, edges)) for variant, path in of.items()]
    counts = tuple(threads or sorted({1, usable_cores()}))
    turns: dict[tuple[str, Path, bool], list[Figures]] = {graph: [] for graph in graphs}
    # Each graph once a round, every second round backwards: what slows a machine bit by bit slows all alike.
    order = [graph for number in range(effort.rounds) for graph in (reversed(graphs) if number % 2 else graphs)]
    for done, graph in enumerate(order, start=1):
        _, path, edge = graph
        shape = EDGE_PHOTO if edge else (size, size)
        turns[graph].append(take(Turn(str(path), shape, edge, counts, effort.calls, effort.batches, effort.seconds)))
        on_turn(done, len(order))
    return tuple(
        Measured(variant=variant, file=path.name, edge=edge, bytes=path.stat().st_size, **_medians(taken))
        for (variant, path, edge), taken in turns.items()
    )


def _medians(records: Sequence[Figures] | Sequence[Speed]) -> dict[str, Any]:
    """The median of each field; a field without a number (an edge graph's photos a second) is the same in all."""
    found: dict[str, Any] = {}
    for name, first in records[0]:
        values = [getattr(record, name) for record in records]
        if name == "speeds":
            found[name] = tuple(Speed(**_medians(speeds)) for speeds in zip(*values, strict=True))
        else:
            found[name] = median(values) if isinstance(first, float) else first
    return found
