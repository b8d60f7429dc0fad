"""What models cost: bytes, and images a second on one thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.benchmark.bare_process import take_turn
from models.benchmark.turn import BATCH, Turn, TurnFigures
from models.bundle import open_bundle
from trainer.retrain.records import Footprint

__all__ = ["ModelFile", "default_file", "measure_footprints"]

_ROUNDS: Final = 3
_BATCHES: Final = 8
_SECONDS: Final = 0.5


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


def measure_footprints(
    models: Sequence[ModelFile],
    on_turn: Callable[[int, int], None],
    take: Callable[[Turn], TurnFigures] = take_turn,
) -> list[Footprint]:
    """Measure models in turns, each turn in a bare process of its own, on one thread.

    Speed is that of each model's quickest batch: whatever else the machine does can only make a batch slower.

    Args:
        models: to measure; each at its own size of photos.
        on_turn: told (done, of all) after each turn.
        take: what takes a turn.

    Raises:
        BundleError: a file is no model.
    """
    batches: list[list[float]] = [[] for _ in models]
    order = [place for number in range(_ROUNDS) for place in _there_and_back(len(models), number)]
    for done, place in enumerate(order, start=1):
        found = take(_turn(models[place]))
        batches[place].extend(found.times[0].batch_ms)
        on_turn(done, len(order))
    return [
        Footprint(bytes=model.path.stat().st_size, images_per_s=BATCH * 1000 / min(times))
        for model, times in zip(models, batches, strict=True)
    ]


def _there_and_back(count: int, number: int) -> Sequence[int]:
    return range(count)[::-1] if number % 2 else range(count)


def _turn(model: ModelFile) -> Turn:
    size = (model.size, model.size)
    return Turn(str(model.path), size, edge=False, threads=(1,), calls=1, batches=_BATCHES, seconds=_SECONDS)
