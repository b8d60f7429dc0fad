"""Measures ONNX files against each other: a fresh process a turn, turn by turn, so that noise is fair to all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from models.benchmark.bare_process import take_turn
from models.benchmark.machine import usable_cores
from models.benchmark.measured import Measured, Speed
from models.benchmark.turn import BATCH, EDGE_PHOTO, Turn, TurnFigures

__all__ = ["BRIEF", "THOROUGH", "Advance", "Effort", "Measured", "Speed", "measure"]

Advance = Callable[[int, int], None]
"""Told (done, of all)."""


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


@dataclass(frozen=True)
class _Graph:
    variant: str
    path: Path
    edge: bool


def measure(
    files: Mapping[str, Path],
    size: int,
    edges: Mapping[str, Path] = {},
    effort: Effort = BRIEF,
    threads: Sequence[int] | None = None,
    on_turn: Advance = lambda done, total: None,
    take: Callable[[Turn], TurnFigures] = take_turn,
) -> tuple[Measured, ...]:
    """Measure ONNX files on pixels that look like a photo's.

    Args:
        files: variant → ONNX file that takes ``uint8 [batch, S, S, 3]``.
        size: side S in pixels.
        edges: variant → edge graph.
        effort: how much is measured.
        threads: numbers of threads to measure with; one, then as many as this process may have cores.
        on_turn: told after each turn.
        take: what takes a turn.

    Returns:
        A record a file, in the order given, edge graphs last. Each round gives its median and its 95th percentile; a
        figure is the median of the rounds'.

    Raises:
        BundleError: a file is no model.
    """
    graphs = [_Graph(variant, path, edge=False) for variant, path in files.items()]
    graphs += [_Graph(variant, path, edge=True) for variant, path in edges.items()]
    counts = tuple(threads or sorted({1, usable_cores()}))
    figures: dict[_Graph, list[TurnFigures]] = {graph: [] for graph in graphs}
    order = _order(graphs, effort.rounds)
    for done, graph in enumerate(order, start=1):
        figures[graph].append(take(_turn(graph, size, effort, counts)))
        on_turn(done, len(order))
    return tuple(_measured(graph, turns) for graph, turns in figures.items())


def _order(graphs: list[_Graph], rounds: int) -> list[_Graph]:
    """Each graph once a round, every second round backwards: what slows a machine bit by bit slows all alike."""
    return [graph for number in range(rounds) for graph in (reversed(graphs) if number % 2 else graphs)]


def _turn(graph: _Graph, size: int, effort: Effort, threads: tuple[int, ...]) -> Turn:
    return Turn(
        file=str(graph.path),
        size=EDGE_PHOTO if graph.edge else (size, size),
        edge=graph.edge,
        threads=threads,
        calls=effort.calls,
        batches=effort.batches,
        seconds=effort.seconds,
    )


def _measured(graph: _Graph, turns: list[TurnFigures]) -> Measured:
    return Measured(
        variant=graph.variant,
        file=graph.path.name,
        edge=graph.edge,
        bytes=graph.path.stat().st_size,
        load_ms=median(turn.load_ms for turn in turns),
        peak_memory_mb=median(turn.peak_memory_mb for turn in turns),
        baseline_memory_mb=median(turn.baseline_memory_mb for turn in turns),
        speeds=tuple(_speed(turns, position) for position in range(len(turns[0].times))),
    )


def _speed(turns: list[TurnFigures], position: int) -> Speed:
    rounds = [turn.times[position] for turn in turns]
    batches = [median(times.batch_ms) for times in rounds if times.batch_ms]
    return Speed(
        threads=rounds[0].threads,
        p50_ms=median(median(times.one_ms) for times in rounds),
        p95_ms=median(float(np.percentile(times.one_ms, 95, method="higher")) for times in rounds),
        images_per_s=BATCH * 1000 / median(batches) if batches else None,
    )
