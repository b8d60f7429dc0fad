"""A heat map over the photo that it is of."""

from typing import Final

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from models.preprocess import Pixels

__all__ = ["overlay"]

_LUMA: Final = np.array((0.299, 0.587, 0.114), np.float32)
_COLOURED: Final = 0.75
_COLOURS: Final = "plasma"
"""In steps that look alike, for the colour-blind, too: blue, red, yellow."""


def overlay(photo: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """The photo in grey, the more coloured, the hotter.

    Args:
        photo: ``uint8 (S, S, 3)``.
        heat: ``(S, S)`` in 0..1.

    Returns:
        ``uint8 (S, S, 3)``.
    """
    grey = (photo @ _LUMA)[..., None]
    colours = colormaps[_COLOURS](heat)[..., :3] * 255.0
    part = _COLOURED * np.sqrt(heat)[..., None]
    return np.asarray(np.rint((1 - part) * grey + part * colours), np.uint8)
