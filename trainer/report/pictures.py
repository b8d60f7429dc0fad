"""The pictures of a run: how it learned, what it saw while it learned, what it mixes up, and where it looked."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import keras
import matplotlib as mpl
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.preprocess import Pixels
from trainer.learning.training import Training
from trainer.run import EpochFigures

_NAMED_CELLS: Final = 20
_NAMED_CLASSES: Final = 100
_MOST: Final = 36
_COLUMNS: Final = 6
_TILE: Final = 160
_CAPTION: Final = 38
_GAP: Final = 8
_MARGIN: Final = 4
_LONGEST: Final = 60
_INK: Final = (33, 37, 41)
_PAPER: Final = (248, 249, 250)
_CARD: Final = (255, 255, 255)
_BATCH: Final = 16
_IMAGES: Final = 4
"""Dimensions of a batch of maps: photo, row, column, channel."""


def plot_history(history: Sequence[EpochFigures], best: EpochFigures, output: Path) -> None:
    """``results.png``: loss, accuracy and learning rate by epoch, the best epoch marked."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    epochs = [row.epoch for row in history]
    for split, label in (("train", "train"), ("val", "validation")):
        loss.plot(epochs, [getattr(row, f"{split}_loss") for row in history], label=label)
        accuracy.plot(epochs, [getattr(row, f"{split}_accuracy") for row in history], label=label)
    accuracy.plot(best.epoch, best.val_accuracy, "o", label=f"best: epoch {best.epoch}, {best.val_accuracy:.3f}")
    rate.plot(epochs, [row.lr for row in history])
    for axes, title in ((loss, "Loss"), (accuracy, "Accuracy"), (rate, "Learning rate")):
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    loss.legend()
    accuracy.legend()
    _save(figure, output)


def plot_confusion(matrix: NDArray[np.int64], classes: Sequence[str], title: str, output: Path) -> None:
    """``confusion_matrix.png``: rows are the truth; shade is the share of the row, numbers are photos."""
    names = [_plain(name) for name in classes]
    side = min(20.0, 3.0 + 0.55 * len(classes))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    axes.set_title(_plain(title))
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(classes) <= _NAMED_CLASSES:
        axes.set_xticks(range(len(classes)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), names)
    if len(classes) <= _NAMED_CELLS:
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"  # noqa: PLR2004 - half-way between
            axes.text(column, row, f"{count}" if count else "", ha="center", va="center", color=colour)
    _save(figure, output)


def _plain(text: str) -> str:
    """The text with its dollar signs escaped, which would otherwise begin a formula."""
    return text.replace("$", r"\$")


def _save(figure: Figure, output: Path) -> None:
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # letters that the font lacks become boxes
        figure.savefig(output, dpi=110)


def first_batch(training: Training) -> bytes:
    """``train_batch.jpg``: the first batch, augmented, with the classes that the network is told."""
    batches = training.batches()
    pixels, targets = (array.numpy() for array in next(iter(batches.epoch(0, batches.size))))
    labels = np.rint(targets[:, 0]) if targets.shape[1] == 1 else targets.argmax(axis=1)
    return train_batch_jpeg(pixels, [training.args.classes[int(label)] for label in labels])


def train_batch_jpeg(pixels: NDArray[np.float32] | NDArray[np.uint8], captions: Sequence[str]) -> bytes:
    """A mosaic of a batch ``(n, S, S, 3)`` in 0..255, with a caption under each photo; the first 36 are shown.

    Letters that the font lacks, Chinese ones say, are drawn as boxes. The JPEG is about 1000 pixels across.
    """
    font = ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 13)  # of most alphabets
    shown = np.clip(np.rint(pixels[:_MOST]), 0, 255).astype(np.uint8)
    columns, rows = min(_COLUMNS, len(shown)), -(-len(shown) // _COLUMNS)
    sheet = Image.new("RGB", (columns * (_TILE + _GAP) + _GAP, rows * (_TILE + _CAPTION + _GAP) + _GAP), _PAPER)
    for place, (photo, caption) in enumerate(zip(shown, captions, strict=False)):
        row, column = divmod(place, _COLUMNS)
        tile = Image.new("RGB", (_TILE, _TILE + _CAPTION), _CARD)
        tile.paste(Image.fromarray(photo).resize((_TILE, _TILE), Image.Resampling.LANCZOS))
        line = " ".join(caption[:_LONGEST].split())  # what is wider than its tile is cut off there
        ImageDraw.Draw(tile).text((_MARGIN, _TILE + 3), line, fill=_INK, font=font)
        sheet.paste(tile, (_GAP + column * (_TILE + _GAP), _GAP + row * (_TILE + _CAPTION + _GAP)))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=82, optimize=True)
    return buffer.getvalue()


def heat_maps(network: keras.Model, pixels: Pixels, classes: Sequence[int]) -> NDArray[np.float32]:
    """How much each place of a photo speaks for a class: Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391).

    The network's layer ``logits`` has a unit a class, or one for two classes: that speaks for the second of them.
    ``pixels`` are ``uint8 (n, S, S, 3)``; ``classes`` has the index that is asked about for each.

    Returns:
        ``float32 (n, S, S)`` in 0..1: 1 where a photo's hottest place is, all 0 where nothing speaks for the class.
    """
    size = pixels.shape[1:3]
    maps = network.get_layer(last_spatial_layer(network)).output
    probe = keras.Model(network.inputs, [maps, network.get_layer("logits").output])
    heats = [np.zeros((0, *size), np.float32)]
    for start in range(0, len(pixels), _BATCH):
        asked = np.asarray(classes[start : start + _BATCH], np.int64)
        heats.append(_heat(probe, tf.cast(pixels[start : start + _BATCH], tf.float32), asked, size))
    return np.concatenate(heats)


def last_spatial_layer(network: keras.Model) -> str:
    """The name of the last layer whose output still has places, ``(batch, rows, columns, channels)``, or ValueError."""
    for layer in reversed(network.layers):
        shape: tuple[int | None, ...] = getattr(getattr(layer, "output", None), "shape", ())
        if len(shape) == _IMAGES and shape[1] != 1:
            return str(layer.name)
    msg = f"Expected a layer with a 4-D output in {network.name}, found none."
    raise ValueError(msg)


def _heat(probe: keras.Model, images: Any, asked: NDArray[np.int64], size: tuple[int, ...]) -> NDArray[np.float32]:  # noqa: ANN401 - tensors have no types
    with tf.GradientTape() as tape:
        tape.watch(images)  # so that a network whose weights are all frozen is followed, too
        maps, logits = probe(images, training=False)
        if logits.shape[1] == 1:
            speaking = logits[:, 0] * tf.cast(np.where(asked == 1, 1.0, -1.0), logits.dtype)
        else:
            speaking = tf.gather(logits, asked, axis=1, batch_dims=1)
        score = tf.reduce_sum(speaking)
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(tf.cast(maps * weights, tf.float32), axis=3, keepdims=True))
    whole = tf.image.resize(heat, size)[..., 0].numpy()
    hottest = whole.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(whole, hottest, out=np.zeros_like(whole), where=hottest > 0), np.float32)
