"""What models cost: bytes, and images a second on one thread."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.benchmark.child import photo_like
from models.bundle import open_bundle
from models.classifier import BATCH
from models.session import open_session
from trainer.retrain.records import Footprint

__all__ = ["ModelFile", "default_file", "measure_footprints", "quickest"]

_ROUNDS: Final = 60
_FEWEST: Final = 5
_SECONDS: Final = 10.0
"""Once these are over, and the fewest rounds with them, large models are done."""


@dataclass(frozen=True)
class ModelFile:
    """An ONNX file, and the side of the photos that it takes."""

    path: Path
    size: int


def default_file(bundle: Path) -> ModelFile:
    """The bundle's default model: the one that labels.

    Raises:
        BundleError: there is no bundle, or it is damaged.
    """
    manifest = open_bundle(bundle).manifest
    return ModelFile(bundle / manifest.variants[manifest.default_variant].file, manifest.preprocess.size)


def measure_footprints(models: Sequence[ModelFile], on_round: Callable[[int, int], None]) -> list[Footprint]:
    """Measure models on one thread, batch by batch in turns.

    Speed is that of each model's quickest batch in the thread's own CPU time, so that what else the machine does
    matters little.

    Args:
        models: to measure; each at its own size of photos, in batches as labelling has them.
        on_round: told (done, of all) after each round.

    Raises:
        BundleError: a file is no model.
    """
    times = quickest([_labelling(model) for model in models], _ROUNDS, on_round, time.thread_time)
    return [
        Footprint(bytes=model.path.stat().st_size, images_per_s=BATCH / seconds)
        for model, seconds in zip(models, times, strict=True)
    ]


def quickest(
    tasks: Sequence[Callable[[], object]],
    rounds: int,
    on_round: Callable[[int, int], None],
    clock: Callable[[], float],
) -> list[float]:
    """The shortest time of each task, in seconds of the clock, done in turns; a first round does not count.

    Args:
        tasks: to be timed.
        rounds: at most; there are fewer, but five at least, where ten seconds are over.
        on_round: told (done, of all) after each round.
        clock: tells seconds.
    """
    best = [float("inf")] * len(tasks)
    start = clock()
    for number in range(rounds + 1):
        for place, task in enumerate(tasks):
            began = clock()
            task()
            took = clock() - began
            if number:
                best[place] = min(best[place], took)
        over = number >= rounds or (number >= _FEWEST and clock() - start > _SECONDS)
        on_round(rounds if over else number, rounds)
        if over:
            break
    return best


def _labelling(model: ModelFile) -> Callable[[], object]:
    session = open_session(model.path.read_bytes(), str(model.path), threads=1)
    pixels = photo_like(BATCH, (model.size, model.size))
    return lambda: session.run(["probabilities"], {"image": pixels})
