"""The proof of an export: ONNX Runtime's scores against Keras's, in batches and one by one."""

import keras
import numpy as np

from exporter.confidence.calibrate import calibrated
from exporter.evenly import evenly
from exporter.expected import Said, keras_says
from exporter.parity import MANY, SINGLES, Parity, class_probabilities, compare, compare_scores, run_onnx
from exporter.unknown_kind import UnknownKind
from models.classifier import Scores
from models.errors import ParityError
from models.manifest import ModelMetadata
from models.preprocess import Pixels

__all__ = ["prove"]


def prove(
    network: keras.Model,
    model: bytes,
    pixels: Pixels,
    metadata: ModelMetadata,
    unknown: UnknownKind | None,
) -> tuple[Parity, Parity]:
    """Compare an ONNX model with the Keras model that it came from.

    Args:
        network: Keras's.
        model: the ONNX file.
        pixels: ``uint8 (n, S, S, 3)``, at least one photo.
        metadata: of the model: its temperature, and the limit of its unknown score.
        unknown: what its unknown score is; none where it has none.

    Returns:
        How far they agree on all photos in batches, and on some of them one by one.

    Raises:
        ParityError: they disagree.
    """
    said = keras_says(network, pixels)
    _check_last_layer(said)
    expected = said.scores(metadata.temperature, unknown)
    limit = metadata.unknown.limit if metadata.unknown else None
    singles = evenly(len(pixels), SINGLES)
    many = compare_scores(expected, run_onnx(model, pixels, MANY), limit)
    one = compare_scores(_some(expected, singles), run_onnx(model, pixels[singles], 1), limit)
    for parity, batches in ((many, "in batches"), (one, "one by one")):
        if not parity.passed:
            raise ParityError(_disagreement(parity, batches))
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


def _disagreement(parity: Parity, batches: str) -> str:
    if parity.unknown is None or not parity.probabilities_passed:
        what = (
            f"probabilities differ by up to {parity.largest:.2g} (at most {parity.tolerance:.0e} passes), and "
            f"{len(parity.flips)} of {parity.photos} photos change their label."
        )
    else:
        what = (
            f"unknown scores differ by up to {parity.unknown.largest:.2g} of their size (at most "
            f"{parity.unknown.tolerance:.0e} passes), and {len(parity.unknown.crossed)} of {parity.photos} photos "
            "change sides of the limit."
        )
    return (
        f"ONNX Runtime and Keras disagree {batches}: {what} Nothing was published; please report the architecture "
        "and the versions in args.json."
    )
