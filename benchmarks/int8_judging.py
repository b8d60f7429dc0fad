"""How often int8 and worse variants of trained networks are published, by the number of validation photos.

    python benchmarks/int8_judging.py --run runs/train/shop [runs/train/other ...] --judge clothing/train
        [--allowed 0.5] [--draws 300]

Each run's network is quantized twice: with its first layer in floating point, and completely. The worse variants have
weights of 6, 5 and 4 bits, with one scale for each tensor. A variant's true loss is measured on the photos in the class
folders of ``--judge`` that the run has not seen. Each sample takes validation photos from these photos, and training
photos from the run. Three rules are compared: the points lost, the lower end of their 95% interval, and the estimate of
``hangtag export``.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from rich.console import Console
from rich.table import Table

from exporter.cost import Drop, Float32, drop
from exporter.int8 import QuantizeError, Quantizer
from exporter.options import load_tensorflow
from exporter.parity import onnx_scores
from exporter.training_run import TrainingRun, read_training_run
from models.decision import Scores
from models.preprocess import preprocess
from trainer.splits.assigned import read_splits

PHOTOS = ((30, 85), (300, 250))
"""Pairs: number of validation photos, number of training photos."""
_MOST = 1300


def main() -> None:
    """Sample, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, nargs="+", required=True)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--allowed", type=float, default=0.5)
    parser.add_argument("--draws", type=int, default=300)
    asked = parser.parse_args()
    load_tensorflow()
    headings = ("run", "variant", "truly lost (95%)", "labels changed", *(f"{n}+{m}" for n, m in PHOTOS))
    table = Table(*headings, title="Ships: points, interval, estimate")
    for path in asked.run:
        for row in _rows(path, asked):
            table.add_row(path.name, *row)
    Console(width=160).print(table)


def _rows(path: Path, asked: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    from exporter.export import _load_network
    from exporter.graph import to_logits

    run, chance = read_training_run(path), np.random.default_rng(0)
    model = to_logits(_load_network(run), run.preprocess.size, run.unknown_head)
    unseen, labels = _unseen(path, run, asked.judge)
    photos = np.concatenate([unseen, run.training_pixels()[1::2]])
    exact = onnx_scores(model.SerializeToString(), photos)
    float32 = Float32(model, photos, exact, run, "")
    for name, other in _variants(model, run):
        scores = onnx_scores(other.SerializeToString(), photos)
        true = drop(exact.probabilities[: len(labels)], scores.probabilities[: len(labels)], labels)
        cells = []
        for known, others in PHOTOS:
            costs = [_drawn(float32, scores, labels, known, others, chance) for _ in range(asked.draws)]
            rules = ([c.points for c in costs], [c.points_95[0] for c in costs], [c.estimate for c in costs])
            cells.append(" ".join(f"{(np.array(rule) <= asked.allowed).mean():.2f}" for rule in rules))
        points = f"{true.points:.2f} ({true.points_95[0]:.2f} to {true.points_95[1]:.2f})"
        yield name, points, f"{1 - true.agreement:.1%}", *cells


def _unseen(path: Path, run: TrainingRun, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    known = {photo.sha256 for photo in read_splits(path / "splits.csv")}
    files = [(number, file) for number, name in enumerate(run.classes) for file in sorted((folder / name).iterdir())]
    pixels, labels = [], []
    for place in np.random.default_rng(0).permutation(len(files)):
        number, file = files[place]
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() not in known and len(pixels) < _MOST:
            pixels.append(preprocess(data, run.preprocess))
            labels.append(number)
    return np.stack(pixels), np.array(labels)


def _variants(model: onnx.ModelProto, run: TrainingRun) -> Iterator[tuple[str, onnx.ModelProto]]:
    with tempfile.TemporaryDirectory() as scratch:
        quantizer = Quantizer(model, run.training_pixels()[::2], Path(scratch))
        for layers in (1, 0):
            try:
                yield f"int8, {layers} in float", quantizer.quantize(layers)
            except QuantizeError as error:
                print(run.name, error)
    for bits in (6, 5, 4):
        coarse = onnx.ModelProto()
        coarse.CopyFrom(model)
        for array in coarse.graph.initializer:
            weights = numpy_helper.to_array(array)
            if weights.ndim == len("NCHW"):
                step = np.abs(weights).max() / (2 ** (bits - 1) - 1)
                array.CopyFrom(numpy_helper.from_array((np.round(weights / step) * step).astype("f4"), array.name))
        yield f"{bits} bits", coarse


def _drawn(
    float32: Float32, scores: Scores, labels: np.ndarray, known: int, others: int, chance: np.random.Generator
) -> Drop:
    total = len(float32.photos)
    validation = chance.choice(len(labels), known)
    rows = np.concatenate([validation, chance.choice(np.arange(len(labels), total), others)])
    part = replace(
        float32,
        scores=Scores(float32.scores.probabilities[rows], None),
        run=replace(float32.run, labels=labels[validation]),
    )
    return part.drop(Scores(scores.probabilities[rows], None))


if __name__ == "__main__":
    main()
