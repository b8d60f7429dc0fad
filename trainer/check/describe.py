"""A few numbers that tell how a picture looks from afar: the low frequencies of its light and of its colours.

Pictures of one thing in two colours have the same light; without the colours, a shop that shows a shirt in twelve of
them would hide each true twin behind eleven false ones.
"""

from typing import Final

import numpy as np

from models.preprocess import Pixels
from trainer.check.align import Floats
from trainer.check.look import COPY_SIDE

__all__ = ["BOXES", "LARGEST_CUT", "SIZE", "described"]

LARGEST_CUT: Final = 0.1
"""What is cut off a side, as a share of it, in the boxes."""

_GRID: Final = 16
_LIGHT_FREQUENCIES: Final = 8
_COLOUR_FREQUENCIES: Final = 4
_COLOUR_WEIGHT: Final = np.float32(2)
_LEAST_CONTRAST: Final = 8.0
_GREY: Final = np.array([0.299, 0.587, 0.114], np.float32)

SIZE: Final = _LIGHT_FREQUENCIES**2 - 1 + 2 * (_COLOUR_FREQUENCIES**2 - 1)
"""How many numbers describe a picture."""


def _boxes() -> Floats:
    """Left, top, right and bottom of what is left of a photo: all of it, and nine ways of cutting."""
    sides = [(0.0, 1 - LARGEST_CUT), (LARGEST_CUT, 1.0), (LARGEST_CUT / 2, 1 - LARGEST_CUT / 2)]
    cuts = [(left, top, right, bottom) for left, right in sides for top, bottom in sides]
    return np.array([(0.0, 0.0, 1.0, 1.0), *cuts], np.float32)


BOXES: Final = _boxes()
"""``float32 (10, 4)``, in widths and heights of a photo; the first is the whole."""


def described(copies: Pixels, boxes: Floats) -> Floats:
    """Describe what some boxes hold of some photos.

    Args:
        copies: the small copies, ``uint8 (n, 64, 64, 3)``.
        boxes: ``(b, 4)``.

    Returns:
        ``float32 (b, n, SIZE)``: a cosine transform without the means, of length 1 unless there is little contrast.
    """
    colours = copies.astype(np.float32)
    light = colours @ _GREY
    planes = [light, *(_COLOUR_WEIGHT * (colours[..., band] - light) for band in (0, 2))]
    frequencies = np.stack([_frequencies(planes, box) for box in boxes])
    length = np.linalg.norm(frequencies, axis=2, keepdims=True)
    scaled: Floats = frequencies / np.maximum(length, np.float32(_LEAST_CONTRAST))
    return scaled


def _frequencies(planes: list[Floats], box: Floats) -> Floats:
    left, top, right, bottom = box
    rows, columns = _WAVES @ _averages(top, bottom), _WAVES @ _averages(left, right)
    counts = (_LIGHT_FREQUENCIES, _COLOUR_FREQUENCIES, _COLOUR_FREQUENCIES)
    transformed = [rows[:few] @ plane @ columns[:few].T for few, plane in zip(counts, planes, strict=True)]
    return np.concatenate([part.reshape(len(part), -1)[:, 1:] for part in transformed], axis=1)


def _averages(start: float, stop: float) -> Floats:
    """The matrix ``(16, 64)`` that averages a stretch of a side into 16 pixels."""
    edges = np.linspace(start, stop, _GRID + 1) * COPY_SIDE
    pixels = np.arange(COPY_SIDE)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    averages: Floats = (overlap.clip(0) / np.diff(edges)[:, None]).astype(np.float32)
    return averages


def _cosines() -> Floats:
    """The first rows of the orthonormal DCT-II matrix, ``(8, 16)``."""
    places = (np.arange(_GRID) + 0.5) * np.pi / _GRID
    waves = np.cos(np.outer(np.arange(_LIGHT_FREQUENCIES), places)) * np.sqrt(2 / _GRID)
    waves[0] /= np.sqrt(2)
    cosines: Floats = waves.astype(np.float32)
    return cosines


_WAVES: Final = _cosines()
