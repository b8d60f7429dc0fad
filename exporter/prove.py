"""The proof of an export: ONNX Runtime's scores against Keras's, in batches and one by one."""

from dataclasses import dataclass
from typing import Final

import keras
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from exporter.graph import network_ends
from exporter.options import TOLERANCE
from exporter.parity import SINGLES, Parity, class_probabilities, compare, compare_scores
from models.classifier import Probabilities, Scores
from models.errors import ParityError
from models.manifest import ModelMetadata
from models.photo import evenly
from models.preprocess import Pixels
from models.statistics.calibration import calibrated, class_logits
from models.statistics.out_of_distribution import DistanceHead

__all__ = ["MANY", "Said", "keras_says", "onnx_logits", "onnx_says", "prove"]


MANY: Final = 32
"""Photos in a call, when all of them are compared in batches."""


def onnx_says(model: bytes, pixels: Pixels, batch: int = MANY) -> Scores:
    """Run an ONNX model.

    Args:
        model: the ONNX file.
        pixels: ``uint8 (n, S, S, 3)``, at least one photo.
        batch: how many photos in one call.

    Returns:
        The probabilities, and the unknown scores where it gives some.
    """
    return _run(model, pixels, batch, "probabilities")


def onnx_logits(model: bytes, pixels: Pixels) -> Scores:
    """The same of a model that ends in ``logits``: what takes the place of the probabilities are these."""
    return _run(model, pixels, MANY, "logits")


def _run(model: bytes, pixels: Pixels, batch: int, wanted: str) -> Scores:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = {output.name for output in session.get_outputs()}
    names = [name for name in (wanted, "unknown") if name in given]
    parts = [session.run(names, {"image": pixels[start : start + batch]}) for start in range(0, len(pixels), batch)]
    columns: list[npt.NDArray[np.float32]] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    said: Probabilities = columns[0]
    return Scores(said, columns[1] if len(columns) > 1 else None)


_BATCH: Final = 64


@dataclass(frozen=True)
class Said:
    """What Keras says of some photos.

    Attributes:
        features: ``float32 (n, D)``.
        logits: of each class, ``float32 (n, classes)``.
        probabilities: of the network's last layer, ``float32 (n, units)``; not calibrated.
    """

    features: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    probabilities: Probabilities

    def scores(self, temperature: float, unknown: DistanceHead | None) -> Scores:
        """Calibrated probabilities, and the unknown score where there is one."""
        strange = None if unknown is None else unknown.score(self.features)
        return Scores(calibrated(self.logits, temperature), strange)


def keras_says(network: keras.Model, pixels: Pixels) -> Said:
    """Run a network.

    Args:
        network: see :func:`exporter.graph.network_ends`.
        pixels: ``uint8 (n, S, S, 3)``, at least one photo.
    """
    ends = network_ends(network)
    all_ends = keras.Model(ends.inputs[0], [*ends.outputs, network.outputs[0]])
    features, logits, probabilities = all_ends.predict(pixels, batch_size=_BATCH, verbose=0)
    return Said(features, class_logits(logits), probabilities)


def prove(
    network: keras.Model,
    model: bytes,
    pixels: Pixels,
    metadata: ModelMetadata,
    unknown: DistanceHead | None,
    atol: float = TOLERANCE,
) -> tuple[Parity, Parity]:
    """Compare an ONNX model with the Keras model that it came from.

    Args:
        network: Keras's.
        model: the ONNX file.
        pixels: ``uint8 (n, S, S, 3)``, at least one photo.
        metadata: of the model: its temperature, and the limit of its unknown score.
        unknown: what its unknown score is; none where it has none.
        atol: the largest difference of a probability that passes.

    Returns:
        How far they agree on all photos in batches, and on some of them one by one.

    Raises:
        ParityError: the network itself is not what it should be.
    """
    said = keras_says(network, pixels)
    _check_last_layer(said)
    expected = said.scores(metadata.temperature, unknown)
    limit = metadata.unknown.limit if metadata.unknown else None
    singles = evenly(len(pixels), SINGLES)
    many = compare_scores(expected, onnx_says(model, pixels), limit, atol)
    one = compare_scores(_some(expected, singles), onnx_says(model, pixels[singles], 1), limit, atol)
    return many, one


def _check_last_layer(said: Said) -> None:
    """The graph is built from the logits; that they become probabilities as in any other network must be seen."""
    own = compare(class_probabilities(said.probabilities), calibrated(said.logits, 1.0).astype(np.float32))
    if own.largest > own.tolerance and np.isfinite(said.logits).all():
        msg = (
            "The layer probabilities of the network is no softmax (of two classes: sigmoid) of its layer logits: they "
            f"differ by up to {own.largest:.2g}. Nothing was published; give it such a last layer, and train anew."
        )
        raise ParityError(msg)


def _some(scores: Scores, photos: list[int]) -> Scores:
    return Scores(scores.probabilities[photos], None if scores.unknown is None else scores.unknown[photos])
