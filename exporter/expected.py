"""What a bundle's model must say, from Keras and NumPy alone: the other side of the proof."""

from dataclasses import dataclass
from typing import Final

import keras
import numpy as np
import numpy.typing as npt

from exporter.ends import network_ends
from exporter.unknown_kind import UnknownKind
from models.classifier import Probabilities, Scores
from models.preprocess import Pixels
from models.statistics.calibration import calibrated, class_logits
from models.statistics.out_of_distribution import DistanceHead, energy

__all__ = ["Said", "keras_says", "unknown_scores"]

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

    def scores(self, temperature: float, unknown: UnknownKind | None) -> Scores:
        """Calibrated probabilities, and the unknown score where there is one."""
        strange = None if unknown is None else unknown_scores(self, unknown)
        return Scores(calibrated(self.logits, temperature), strange)


def keras_says(network: keras.Model, pixels: Pixels) -> Said:
    """Run a network.

    Args:
        network: see :func:`exporter.ends.network_ends`.
        pixels: ``uint8 (n, S, S, 3)``, at least one photo.
    """
    ends = network_ends(network)
    all_ends = keras.Model(ends.inputs[0], [*ends.outputs, network.outputs[0]])
    features, logits, probabilities = all_ends.predict(pixels, batch_size=_BATCH, verbose=0)
    return Said(features, class_logits(logits), probabilities)


def unknown_scores(said: Said, unknown: UnknownKind) -> npt.NDArray[np.float32]:
    """Unknown scores ``(n,)``, the higher, the stranger."""
    return unknown.score(said.features) if isinstance(unknown, DistanceHead) else energy(said.logits)
