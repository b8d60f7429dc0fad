"""What ONNX Runtime says of photos, on all cores: for proofs, not for labelling."""

from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from models.classifier import Probabilities, Scores
from models.preprocess import Pixels

__all__ = ["MANY", "onnx_logits", "onnx_says"]

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
