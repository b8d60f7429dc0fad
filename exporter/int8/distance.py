"""How far a quantized model is from the one it was made of, without asking who is right."""

import numpy as np
import onnx
from scipy.special import log_softmax

from exporter.onnx_says import onnx_logits
from models.preprocess import Pixels

__all__ = ["Yardstick"]


class Yardstick:
    """Measures models against one that computes in floating point.

    Args:
        model: that one; ends in ``logits``.
        pixels: photos that no range was found on, ``uint8 (n, S, S, 3)``, at least one.
    """

    def __init__(self, model: onnx.ModelProto, pixels: Pixels) -> None:
        self._pixels = pixels
        self._expected = self._log_probabilities(model)

    def distance(self, model: onnx.ModelProto) -> float:
        """Mean Kullback-Leibler divergence of a model's probabilities, in nats; infinity for what is no number."""
        got = self._log_probabilities(model)
        divergence = (np.exp(self._expected) * (self._expected - got)).sum(axis=1).mean()
        return float(divergence) if np.isfinite(divergence) else float("inf")

    def _log_probabilities(self, model: onnx.ModelProto) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
        logits = onnx_logits(model.SerializeToString(), self._pixels).probabilities
        return np.asarray(log_softmax(logits.astype(np.float64), axis=1))
