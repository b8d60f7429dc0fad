"""Seconds of an epoch, with photos from Hangtag's store or Keras's ``image_dataset_from_directory``.

    python benchmarks/feeding.py photos/train --epochs 4

Both feeds give the same photos to the same network, in the same number of steps. The feeds alternate, so that other
load slows both feeds. The first epoch of each feed, which decodes and traces, is not counted. ``--augment same`` uses
Hangtag's augmentation in both feeds. ``layers`` uses Keras's own layers for the same changes in Keras's dataset, as in
Keras's guides. Hangtag's schedule also has epochs of smaller photos, which are measured separately.

With Keras, an epoch ends only when TensorFlow's thread for tuning a dataset wakes, up to 20 s after the start of the
epoch. Keras's dataset is measured twice: with a new iterator each epoch, like ``fit``, and with one endless iterator.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.options import load_tensorflow

if TYPE_CHECKING:
    from trainer.learning.recipe import Augmentation
    from trainer.learning.training_step import Learner


Change = Callable[[Any, Any, Any], Any]
"""A function of pixels, targets and the batch's index; returns pixels and targets."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?", help="class folders. Default: rendered photos")
    parser.add_argument("--arch", default="cnn")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=4, help="epochs of each feed, including the first")
    parser.add_argument("--augment", choices=("same", "layers", "none"), default="same")
    asked = parser.parse_args()
    load_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        photos = asked.photos or _drawn(Path(folder) / "drawn")
        _compare(photos, asked, Path(folder))


def _drawn(folder: Path) -> Path:
    from trainer.sample.catalogue import draw_catalogue

    draw_catalogue(folder, 1000, seed=3)
    for broken in (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".jpg"):
        broken.unlink()  # Keras stops at a broken file
    return folder


def _compare(photos: Path, asked: argparse.Namespace, folder: Path) -> None:
    import keras
    import numpy as np

    from models.preprocess import PreprocessSpec
    from trainer.data.dataset import read_dataset
    from trainer.data.photo_cache import PixelStore
    from trainer.learning.batches import Batches
    from trainer.learning.recipe import recipe_for
    from trainer.learning.training import depth_groups
    from trainer.learning.training_step import Learner
    from trainer.networks.build import build_network
    from trainer.request import Arch, NamedWeights
    from trainer.splits.prepare import decode_all

    arch = Arch(asked.arch)
    recipe = recipe_for(arch, pretrained=False)
    store = PixelStore(folder / "pixels", PreprocessSpec(size=asked.size))
    began = time.monotonic()
    readable, _ = decode_all(read_dataset(photos).photos, store)
    decoded = time.monotonic() - began
    classes = sorted({photo.label for photo, _ in readable})
    labels = np.array([classes.index(photo.label) for photo, _ in readable], np.intp)
    keras.utils.set_random_seed(0)
    network = build_network(arch, asked.size, len(classes), weights=NamedWeights.NONE, alpha=None)
    learner = Learner(network, recipe, depth_groups(network, 1))
    augmentation = None if asked.augment == "none" else recipe.augmentation
    changed = _by_layers if asked.augment == "layers" else _by_hangtag
    batches = Batches(
        store,
        [sha256 for _, sha256 in readable],
        labels,
        classes=len(classes),
        batch=recipe.batch,
        seed=0,
        augmentation=augmentation,
    )
    smaller = sorted({max(16, round(stage.scale * asked.size / 16) * 16) for stage in recipe.stages})
    keras_photos = _from_directory(photos, asked.size, recipe.batch, changed(asked.size, augmentation))
    endless = iter(keras_photos.repeat())
    feeds: dict[str, Callable[[int], Any]] = {
        "Keras image_dataset_from_directory": lambda epoch: keras_photos,
        "Keras, one endless iterator": lambda epoch: endless,
        "Hangtag": lambda epoch: batches.epoch(epoch, asked.size),
        **{f"Hangtag, epochs of {size} px": lambda epoch, size=size: batches.epoch(epoch, size) for size in smaller},
    }
    _print(_timed(feeds, learner, batches.steps, asked.epochs), len(readable), decoded)


def _timed(
    feeds: dict[str, Callable[[int], Any]], learner: "Learner", steps: int, epochs: int
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in feeds}
    for epoch in range(epochs):
        for name, feed in feeds.items():
            began = time.monotonic()
            waited = sum(_steps(learner, feed(epoch), steps))
            seconds[name].append(time.monotonic() - began)
            print(f"epoch {epoch + 1}: {name} {seconds[name][-1]:.2f} s, waited {waited:.2f} s", file=sys.stderr)
    return seconds


def _from_directory(photos: Path, size: int, batch: int, change: Change) -> Any:  # noqa: ANN401 - tf.data has no types
    import keras
    import tensorflow as tf

    mode = "binary" if sum(folder.is_dir() for folder in photos.iterdir()) == 2 else "categorical"
    dataset = keras.utils.image_dataset_from_directory(
        photos, label_mode=mode, batch_size=batch, image_size=(size, size), seed=0, verbose=False
    )
    numbered = tf.data.Dataset.zip(dataset, tf.data.Dataset.counter())
    changed = numbered.map(lambda pair, step: change(*pair, step), num_parallel_calls=tf.data.AUTOTUNE)
    return changed.prefetch(tf.data.AUTOTUNE)


def _by_hangtag(size: int, wish: "Augmentation | None") -> Change:
    import tensorflow as tf

    from trainer.learning.batches import augmented

    if wish is None:
        return lambda pixels, targets, step: (pixels, targets)
    return lambda pixels, targets, step: (augmented(pixels, tf.stack([step, step]), size, wish), targets)


def _by_layers(size: int, wish: "Augmentation | None") -> Change:
    """Hangtag's augmentation in Keras's layers, without white balance, stretching and erasing."""
    import keras

    if wish is None:
        return _by_hangtag(size, wish)
    layers = keras.layers
    nearer, farther = wish.zoom
    change = keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomTranslation(wish.shift, wish.shift, fill_mode="nearest"),
            layers.RandomZoom((nearer - 1.0, farther - 1.0), fill_mode="nearest"),
            layers.RandomRotation(wish.rotation_rad / (2 * math.pi), fill_mode="nearest"),
            layers.RandomBrightness(wish.colour),
            layers.RandomContrast(wish.colour),
        ]
    )
    return lambda pixels, targets, step: (change(pixels, training=True), targets)


def _steps(learner: "Learner", batches: Any, steps: int) -> Iterator[float]:  # noqa: ANN401 - tf.data has no types
    feed = iter(batches)
    for _ in range(steps):
        asked = time.monotonic()
        pixels, targets = next(feed)
        yield time.monotonic() - asked
        learner.step(pixels, targets, 1e-4, 1e-4)


def _print(seconds: dict[str, list[float]], photos: int, decoded: float) -> None:
    medians = {name: statistics.median(found[1:]) for name, found in seconds.items()}
    slowest = next(iter(medians.values()))
    print(f"{photos:,} photos; decoding them once took {decoded:.1f} s")
    for name, median in medians.items():
        spread = f"{min(seconds[name][1:]):.2f} to {max(seconds[name][1:]):.2f}"
        print(f"{name:<36} {median:6.2f} s an epoch ({spread}), {slowest / median:.2f} times as fast as Keras's")


if __name__ == "__main__":
    main()
