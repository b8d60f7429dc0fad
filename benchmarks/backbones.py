"""Speed of backbones with random weights: in ONNX Runtime (float32 and int8) and in training.

    python benchmarks/backbones.py [--network mobilenet:0.25 efficientnet_v2_b0 ...] [--size 128 160 224]

Random weights do not change the speed. int8 quantizes all layers between the first layer and the features. The input is
noise. int8's agreement with float32 is only a hint, because the network is random. ONNX Runtime uses one thread, and
training uses all cores; batches have 32 photos. Compare only figures of one run of this program.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from exporter.options import load_tensorflow
from trainer.request import Arch

if TYPE_CHECKING:
    import keras
    import onnx

    from models.preprocess import Pixels

NETWORKS = ("cnn", "mobilenet:0.25", "mobilenet:1", "mobilenet_v2:1", "mobilenet_v3_small:1", "mobilenet_v3_large:1")
NETWORKS += ("efficientnet_v2_b0", "resnet50_v2", "efficientnet_lite0", "efficientnet_lite2")
BATCH = 32
ROUNDS = 5


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=NETWORKS, metavar="ARCH[:ALPHA]")
    parser.add_argument("--size", nargs="+", type=int, default=[160])
    asked = parser.parse_args()
    load_tensorflow()
    headings = ("network", "px", "float32 photos/s", "MB", "int8 photos/s", "times", "MB", "agrees", "trains photos/s")
    table = Table(*headings, title="Random weights")
    for size in asked.size:
        for name in asked.network:
            cells = _measured(name, size)
            table.add_row(name, str(size), *cells)
            print(name, size, *cells, flush=True)
    Console().print(table)


def _measured(name: str, size: int) -> tuple[str, ...]:
    import keras

    from exporter.graph import to_logits
    from trainer.networks.build import build_network
    from trainer.request import NamedWeights

    arch, _, alpha = name.partition(":")
    keras.utils.set_random_seed(0)
    network = build_network(Arch(arch), size, 10, weights=NamedWeights.NONE, alpha=float(alpha) if alpha else None)
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), np.uint8)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # statistics of these pixels alone; otherwise activations shrink too far for int8
    network(pixels, training=True)
    return (*_exported(to_logits(network, size), pixels), f"{_trained(network, pixels):.0f}")


def _exported(model: "onnx.ModelProto", pixels: "Pixels") -> tuple[str, ...]:
    from exporter.int8 import QuantizeError, Quantizer

    with tempfile.TemporaryDirectory() as scratch:
        try:
            quantizer = Quantizer(model, pixels, Path(scratch))
            both = [quantizer.folded, quantizer.quantize()]
        except QuantizeError as error:
            return "", "", str(error)[:40], "", "", ""
    files = [one.SerializeToString() for one in both]
    (exact, rounded), seconds = _timed(files, pixels)
    slow, quick = (len(pixels) / found for found in seconds)
    agrees = float((exact.argmax(axis=1) == rounded.argmax(axis=1)).mean())
    sizes = [f"{len(file) / 1e6:.1f}" for file in files]
    return f"{slow:.0f}", sizes[0], f"{quick:.0f}", f"{quick / slow:.2f}", sizes[1], f"{agrees:.0%}"


def _timed(files: list[bytes], pixels: "Pixels") -> tuple[list["np.ndarray[Any, Any]"], list[float]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [onnxruntime.InferenceSession(file, options) for file in files]
    answers = [session.run(["logits"], {"image": pixels})[0] for session in sessions]
    seconds: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for session, found in zip(sessions, seconds, strict=True):
            began = time.perf_counter()
            session.run(["logits"], {"image": pixels})
            found.append(time.perf_counter() - began)
    return answers, [min(found) for found in seconds]


def _trained(network: "keras.Model", pixels: "Pixels") -> float:
    import tensorflow as tf

    from trainer.learning.recipe import recipe_for
    from trainer.learning.training import prepare_layers
    from trainer.learning.training_step import Learner

    arch = Arch(network.name)
    recipe = recipe_for(arch, pretrained=arch.is_transfer)
    learner = Learner(network, recipe, prepare_layers(network, recipe))
    photos, targets = tf.cast(pixels, tf.float32), tf.one_hot(np.arange(len(pixels)) % 10, 10)
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        float(learner.step(photos, targets, 0.0, 0.0)[0])
        seconds.append(time.perf_counter() - began)
    return len(pixels) / min(seconds)


if __name__ == "__main__":
    main()
