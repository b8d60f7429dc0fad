"""Makes ``tests/data/bundle`` anew: ``python -m tests.data.make_bundle``, from the repository's root.

A network of 4,000 weights learns the drawn catalogue at 32 px and is exported with int8 and edge graphs. What it
promises is made up: tests look at where rows go, not whether they should.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from exporter.options import load_tensorflow
from models.errors import ImageError
from models.preprocess import PreprocessSpec, preprocess
from models.statistics.confidence import Confidence, PrecisionTarget, UnknownLimit
from models.statistics.out_of_distribution import fit_distance
from trainer.sample.catalogue import draw_catalogue

PLACE = Path(__file__).with_name("bundle")
SPEC = PreprocessSpec(size=32)
TEMPERATURE = 2.0


def main() -> None:
    load_tensorflow()
    with tempfile.TemporaryDirectory() as scratch:
        photos, run = Path(scratch, "photos"), Path(scratch, "run")
        draw_catalogue(photos, 1200, seed=4, table=Path(scratch, "products.csv"))
        write_run(run, sorted(photos.glob("*/*")))
        shutil.rmtree(PLACE, ignore_errors=True)
        export(run)


def write_run(run: Path, files: list[Path]) -> None:
    """Leave what ``hangtag train`` would leave of such a training, as far as an export reads it."""
    classes = sorted({file.parent.name for file in files})
    read = [(file, pixels) for file in files if (pixels := decoded(file)) is not None]
    labels = np.array([classes.index(file.parent.name) for file, _ in read])
    pixels = np.stack([one for _, one in read])
    held = np.arange(len(read)) % 4 == 0
    network = learned(pixels[~held], labels[~held], len(classes))
    for folder in ("weights", "export/originals"):
        (run / folder).mkdir(parents=True)
    network.save(run / "weights" / "best.keras")
    for number, file in enumerate([file for (file, _), here in zip(read, held, strict=True) if here][::60]):
        with Image.open(file) as image:  # small ones: the bundle carries them
            small = image.convert("RGB")
            small.thumbnail((64, 64))
            small.save(run / "export" / "originals" / f"{number:03}.jpg")
    np.savez(run / "export" / "val.npz", pixels=pixels[held], labels=labels[held], groups=np.arange(held.sum()))
    np.savez(run / "export" / "train_sample.npz", pixels=pixels[~held])
    write_confidence(run, network, pixels, labels, held)
    args = {"schema_version": 1, "name": "cnn", "arch": "cnn", "classes": classes}
    (run / "args.json").write_text(
        json.dumps({**args, "image_size": SPEC.size, "fit": SPEC.fit, "decode": SPEC.decode})
    )


def decoded(file: Path) -> np.ndarray | None:
    try:
        return preprocess(file.read_bytes(), SPEC)
    except (ImageError, OSError):
        return None


def learned(pixels: np.ndarray, labels: np.ndarray, classes: int) -> Any:
    import keras

    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3), name="image")
    value = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
    for filters in (8, 16, 16):
        value = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(value)
        value = keras.layers.ReLU()(keras.layers.BatchNormalization()(value))
    features = keras.layers.GlobalAveragePooling2D(name="features")(value)
    logits = keras.layers.Dense(classes, name="logits")(features)
    network = keras.Model(image, keras.layers.Softmax(name="probabilities")(logits), name="cnn")
    network.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy")
    network.fit(pixels, labels, batch_size=32, epochs=60, verbose=0)
    return network


def write_confidence(run: Path, network: Any, pixels: np.ndarray, labels: np.ndarray, held: np.ndarray) -> None:
    """A made-up promise: 0.90, its own, leaves some rows to people, 0.98 more and all of the first class, 0.99 all."""
    from exporter.parity import keras_outputs

    outputs = keras_outputs(network, pixels)
    head = fit_distance(outputs.features[~held], labels[~held])
    with (run / "export" / "unknown.npz").open("wb") as file:
        head.write(file)
    scores = outputs.scores(TEMPERATURE, head)
    probabilities, unknown = scores.probabilities[held], scores.unknown[held]
    some, more = (float(one) for one in np.quantile(probabilities.max(axis=1), [0.3, 0.6]))
    count = probabilities.shape[1]
    tables = {0.90: (some,) * count, 0.98: (None, *(more,) * (count - 1)), 0.99: (None,) * count}
    targets = tuple(
        PrecisionTarget(
            precision=precision, thresholds=table, coverage=0.5, class_coverage=(0.5,) * count, rows=(9,) * count
        )
        for precision, table in tables.items()
    )
    limit = UnknownLimit(score="distance", limit=float(np.quantile(unknown, 0.8)), kept=0.8)
    confidence = Confidence(temperature=TEMPERATURE, precision=0.90, targets=targets, unknown=limit, rows=len(unknown))
    (run / "confidence.json").write_text(confidence.model_dump_json())
    accuracy = float((probabilities.argmax(axis=1) == labels[held]).mean())
    (run / "evaluation.json").write_text(json.dumps({"val": {"accuracy": accuracy, "n": len(unknown)}}))
    print(f"{accuracy:.1%} right on {len(unknown)} photos")


def export(run: Path) -> None:
    """Export int8 as well, however slow it is, and however far its out-of-distribution scores are from float32's."""
    from exporter.export import export_run
    from exporter.options import ExportOptions

    options = ExportOptions(int8=True, edge=True, max_drop=100.0, default_variant="float32")
    with patch("exporter.int8.speed_gain", lambda *_: 1.5), patch("exporter.variant._CROSSED", 1.0):
        print(export_run(run, PLACE, options).sizes)


if __name__ == "__main__":
    main()
