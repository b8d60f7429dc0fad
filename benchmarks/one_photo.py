"""One photo at a time, as on a till or a phone: Hangtag's files in ONNX Runtime compared with LiteRT.

Each turn is a new process with one thread: for a single photo (the cold start), and for 300 photos. ``python
benchmarks/bench.py --only one_photo`` runs this module.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bulk import PEERS
from material import Material, peer_python
from measuring import run, spread, turns

from models.classifier import load
from models.preprocess import preprocess

PHOTOS = 300
CALIBRATION = 100
CONVERT = """
import sys, keras, numpy as np, tensorflow as tf
model, photos, as_it_is, quantized = sys.argv[1:]
converter = tf.lite.TFLiteConverter.from_keras_model(keras.saving.load_model(model, compile=False))
open(as_it_is, "wb").write(converter.convert())
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([photo[None].astype("float32")] for photo in np.load(photos))
open(quantized, "wb").write(converter.convert())
"""
"""Follows LiteRT's page "Post-training integer quantization", with float inputs and outputs and photos of the shop."""


@dataclass(frozen=True)
class QuestionModel:
    """One turn: seconds of a whole process for one photo, and figures of another process for all photos."""

    cold_s: float
    milliseconds: list[float]
    labels: list[int]
    memory_mb: float


def measure(material: Material, count: int, show: Callable[[str], None]) -> dict[str, Any]:
    """Measure each file of the bundle, and each LiteRT file."""
    pythons = {name: peer_python(name, show) for name in ("onnxruntime", "litert")}
    with tempfile.TemporaryDirectory() as scratch:
        one, all_of_them, seen = (Path(scratch) / name for name in ("one.npy", "all.npy", "seen.npy"))
        lite, lite_int8 = (Path(scratch) / name for name in ("model.tflite", "model.int8.tflite"))
        spec = load(material.bundle, "float32").metadata.preprocess
        names = material.names[: PHOTOS + CALIBRATION]
        pixels = np.stack([preprocess(Path(name).read_bytes(), spec) for name in names])
        np.save(one, pixels[:1])
        np.save(all_of_them, pixels[:PHOTOS])
        np.save(seen, pixels[-CALIBRATION:])
        run([sys.executable, "-c", CONVERT, material.keras, seen, lite, lite_int8])
        files = {f"ONNX Runtime, {variant}": ("onnxruntime", file) for variant, file in material.onnx.items()} | {
            "LiteRT, float32": ("litert", lite),
            "LiteRT, int8": ("litert", lite_int8),
        }

        def ask(runtime: str, file: Path) -> QuestionModel:
            command = [pythons[runtime], "-P", PEERS / "one_photo.py", runtime, file]
            cold = run([*command, one, material.network.size], {"PYTHONPATH": ""})
            ran = run([*command, all_of_them, material.network.size], {"PYTHONPATH": ""})
            return QuestionModel(cold.seconds, **json.loads(ran.said.splitlines()[-1]), memory_mb=ran.largest_mb)

        found = turns({name: partial(ask, *what) for name, what in files.items()}, count, show)
        expected = found["ONNX Runtime, float32"][0].labels
        return {
            "photos": material.said(),
            "turns": count,
            "contestants": {
                name: {
                    "size_mb": round(files[name][1].stat().st_size / 1e6, 2),
                    "cold_ms": spread([1000 * one.cold_s for one in asked]),
                    "p50_ms": spread([float(np.percentile(one.milliseconds, 50)) for one in asked]),
                    "p99_ms": spread([float(np.percentile(one.milliseconds, 99)) for one in asked]),
                    "memory_mb": spread([one.memory_mb for one in asked]),
                    "same_labels": float(np.mean(np.equal(asked[0].labels, expected))),
                }
                for name, asked in found.items()
            },
        }
