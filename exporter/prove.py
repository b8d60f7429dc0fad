"""The proof of an export: ONNX Runtime's scores against Keras's, in batches and one by one."""

from dataclasses import dataclass
from typing import Final

import keras
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from exporter.graph import network_ends
from exporter.options import TOLERANCE
from exporter.parity import Parity, class_probabilities, compare, compare_scores
from models.decision import Probabilities, Scores
from models.errors import ParityError
from models.manifest import ModelMetadata
from models.photo import evenly
from models.preprocess import Pixels
from models.statistics.calibration import calibrated, class_logits
from models.statistics.out_of_distribution import DistanceHead

__all__ = ["KerasOutputs", "keras_outputs", "onnx_logits", "onnx_scores", "prove"]

_BATCH: Final = 32
"""Photos in a call of ONNX Runtime, when all of them are compared in batches."""
_SINGLES: Final = 64
"""How many photos, evenly spread, are also compared one at a time."""
_KERAS_BATCH: Final = 64


@dataclass(frozen=True)
class KerasOutputs:
    """A Keras network's outputs for some photos.

    Attributes:
        features: ``float32 (n, D)``.
        logits: of each class, ``float32 (n, classes)``.
        probabilities: of the network's last layer, ``float32 (n, units)``; not calibrated.
    """

    features: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    probabilities: Probabilities

    def scores(self, temperature: float, unknown: DistanceHead | None) -> Scores:
        """Calibrated probabilities, and the out-of-distribution score where there is one."""
        found = None if unknown is None else unknown.score(self.features)
        return Scores(calibrated(self.logits, temperature), found)


def keras_outputs(network: keras.Model, pixels: Pixels) -> KerasOutputs:
    """Run a network as :func:`exporter.graph.network_ends` takes it, on ``uint8 (n, S, S, 3)``, at least one photo."""
    ends = network_ends(network)
    all_ends = keras.Model(ends.inputs[0], [*ends.outputs, network.outputs[0]])
    features, logits, probabilities = all_ends.predict(pixels, batch_size=_KERAS_BATCH, verbose=0)
    return KerasOutputs(features, class_logits(logits), probabilities)


def onnx_scores(model: bytes, pixels: Pixels, batch: int = _BATCH) -> Scores:
    """Run an ONNX file on all cores, on ``uint8 (n, S, S, 3)``, at least one photo: for proofs, not for labelling."""
    return _run(model, pixels, batch, "probabilities")


def onnx_logits(model: bytes, pixels: Pixels) -> Scores:
    """:func:`onnx_scores` for a model that ends in ``logits``, which take the place of the probabilities."""
    return _run(model, pixels, _BATCH, "logits")


def _run(model: bytes, pixels: Pixels, batch: int, wanted: str) -> Scores:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = {output.name for output in session.get_outputs()}
    names = [name for name in (wanted, "unknown") if name in given]
    parts = [session.run(names, {"image": pixels[start : start + batch]}) for start in range(0, len(pixels), batch)]
    columns: list[npt.NDArray[np.float32]] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Scores(columns[0], columns[1] if len(columns) > 1 else None)


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
        metadata: of the model: its temperature, and the limit of its out-of-distribution score.
        unknown: what that score is; none where it has none.
        atol: the largest difference of a probability that passes.

    Returns:
        How far they agree on all photos in batches, and on some of them one by one.

    Raises:
        ParityError: the network itself is not what it should be.
    """
    outputs = keras_outputs(network, pixels)
    _check_last_layer(outputs)
    expected = outputs.scores(metadata.temperature, unknown)
    limit = metadata.unknown.limit if metadata.unknown else None
    singles = evenly(len(pixels), _SINGLES)
    some = Scores(expected.probabilities[singles], None if expected.unknown is None else expected.unknown[singles])
    many = compare_scores(expected, onnx_scores(model, pixels), limit, atol)
    return many, compare_scores(some, onnx_scores(model, pixels[singles], 1), limit, atol)


def _check_last_layer(outputs: KerasOutputs) -> None:
    """The graph is built from the logits; that they become probabilities as in any other network must be seen."""
    own = compare(class_probabilities(outputs.probabilities), calibrated(outputs.logits, 1.0).astype(np.float32))
    if own.largest > own.tolerance and np.isfinite(outputs.logits).all():
        msg = (
            "The layer probabilities of the network is no softmax (of two classes: sigmoid) of its layer logits: they "
            f"differ by up to {own.largest:.2g}. Nothing was published; give it such a last layer, and train anew."
        )
        raise ParityError(msg)
