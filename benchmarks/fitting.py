"""Accuracy and speed of each way to fit photos into the square (``--fit``) and to decode them (``--decode``).

    python benchmarks/fitting.py photos/ --frozen mobilenet.weights.h5 --alpha 0.25 [--one-shape]
    python benchmarks/fitting.py photos/ --train --epochs 20

``--frozen`` fits a small classifier on a frozen network's features, in five folds, on all photos outside the test
folder. This mode is quick and uses many photos, so that small differences are significant. ``--one-shape`` leaves out
photos whose aspect ratio differs from the median by more than 10%. ``--train`` runs ``hangtag train`` for each way, and
measures on validation photos; other options go to ``hangtag train``. Test photos are not used.
"""

import argparse
import csv
import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from material import hangtag

from exporter.options import load_tensorflow
from models.fit import Decode, Fit

WAYS = [(fit, decode) for decode, fit in itertools.product(Decode, Fit)]


def main() -> None:
    """Measure each way and print a line with its difference from the first way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folders train, validation and test, with class folders")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--frozen", type=Path, metavar="WEIGHTS", help="weights of keras.applications.MobileNet without its top"
    )
    how.add_argument("--train", action="store_true")
    parser.add_argument("--one-shape", action="store_true")
    parser.add_argument("--alpha", type=float, default=1.0, help="width of the frozen network")
    parser.add_argument("--size", type=int, default=128)
    asked, options = parser.parse_known_args()
    first: npt.NDArray[np.bool_] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for fit, decode in WAYS:
            if asked.train:
                figures, right = _trained(asked.photos, fit, decode, Path(folder), options)
            else:
                figures, right = _frozen(asked, fit, decode, Path(folder))
            first = right if first is None else first
            print(json.dumps({"fit": fit, "decode": decode, **figures, **_against(right, first)}), flush=True)


def _against(right: npt.NDArray[np.bool_], first: npt.NDArray[np.bool_]) -> dict[str, float]:
    difference = right.astype(float) - first
    return {
        "accuracy": round(float(right.mean()), 4),
        "difference": round(float(difference.mean()), 4),
        "standard_error": round(float(difference.std() / np.sqrt(len(difference))), 4),
    }


def _frozen(
    asked: argparse.Namespace, fit: Fit, decode: Decode, folder: Path
) -> tuple[dict[str, Any], npt.NDArray[np.bool_]]:
    load_tensorflow()
    from models.preprocess import PreprocessSpec, whole_pixels
    from trainer.data.dataset import Split, read_dataset
    from trainer.data.photo_cache import PixelStore
    from trainer.judging.label_errors import out_of_fold
    from trainer.learning.training import Predictor
    from trainer.networks.build import build_network
    from trainer.request import Arch
    from trainer.splits.prepare import decode_all

    photos = [photo for photo in read_dataset(asked.photos).photos if photo.split is not Split.TEST]
    store = PixelStore(folder / "pixels", PreprocessSpec(size=asked.size, fit=fit, decode=decode))
    sizes = [whole_pixels(photo.path.read_bytes()).shape for photo in photos]  # also warms the disk cache
    shapes = np.array([width / height for height, width, _ in sizes])
    if asked.one_shape:
        alike = np.abs(shapes / np.median(shapes) - 1) <= 0.1
        photos = [photo for photo, one in zip(photos, alike, strict=True) if one]
    began = time.monotonic()
    readable, _ = decode_all(photos, store)
    seconds = time.monotonic() - began
    classes = sorted({photo.label for photo, _ in readable})
    labels = np.array([classes.index(photo.label) for photo, _ in readable], np.intp)
    network = build_network(Arch.MOBILENET, asked.size, len(classes), weights=asked.frozen, alpha=asked.alpha)
    sha256s = [sha256 for _, sha256 in readable]
    said = out_of_fold(Predictor(network, store).features(sha256s), labels, sha256s, len(classes), seed=0)
    log_loss = round(float(-np.log(said[np.arange(len(labels)), labels]).mean()), 4)
    figures = {"photos": len(readable), "decoded_per_s": round(len(readable) / seconds), "log_loss": log_loss}
    return figures, said.argmax(axis=1) == labels


def _trained(
    photos: Path, fit: Fit, decode: Decode, runs: Path, options: Sequence[str]
) -> tuple[dict[str, Any], npt.NDArray[np.bool_]]:
    name = f"{fit}-{decode}"
    how = ("--arch", "cnn", "--folds", "0", "--fit", fit, "--decode", decode, *options)
    began = time.monotonic()
    hangtag("train", photos, "--out", runs, "--name", name, *how)
    seconds = time.monotonic() - began
    with (runs / name / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = sorted((row for row in csv.DictReader(file) if row["split"] == "val"), key=lambda row: row["image"])
    right = np.array([row["predicted"] == row["label"] for row in rows])
    return {"photos": len(rows), "seconds": round(seconds)}, right


if __name__ == "__main__":
    main()
