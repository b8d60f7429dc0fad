"""The proof of an export: ONNX Runtime's scores against Keras's, in batches and one by one."""

import keras
import numpy as np

from exporter.evenly import evenly
from exporter.expected import Said, keras_says
from exporter.onnx_says import onnx_says
from exporter.parity import SINGLES, TOLERANCE, Parity, class_probabilities, compare, compare_scores
from exporter.unknown_kind import UnknownKind
from models.classifier import Scores
from models.errors import ParityError
from models.manifest import ModelMetadata
from models.preprocess import Pixels
from models.statistics.calibration import calibrated

__all__ = ["prove"]


def prove(
    network: keras.Model,
    model: bytes,
    pixels: Pixels,
    metadata: ModelMetadata,
    unknown: UnknownKind | None,
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
