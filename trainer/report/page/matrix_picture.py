"""A large matrix as a small PNG that suits light and dark pages alike: colour says right or wrong, opacity how much."""

import base64
import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pages.text import visible

__all__ = ["blocks_of", "matrix_picture"]

_MOST: Final = 250
_RIGHT: Final = (74, 124, 224)
_WRONG: Final = (224, 108, 20)
_FAINTEST: Final = 70


def blocks_of(classes: int) -> int:
    """How many classes a dot stands for, across and down."""
    return -(-classes // _MOST)


def matrix_picture(places: NDArray[np.intp], shades: NDArray[np.float64], classes: int, title: str) -> str:
    """An element with the picture.

    Args:
        places: ``(n, 2)``: row and column of what is not empty.
        shades: ``(n,)`` in 0..1. A block of several classes is drawn as its deepest.
        classes: side of the matrix.
        title: what it shows; plain text.
    """
    buffer = io.BytesIO()
    Image.fromarray(_drawn(places, shades, classes)).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class="dots" alt="{visible(title)}" src="data:image/png;base64,{data}">'


def _drawn(places: NDArray[np.intp], shades: NDArray[np.float64], classes: int) -> NDArray[np.uint8]:
    side = -(-classes // blocks_of(classes))
    right = places[:, 0] == places[:, 1]
    hits = _pooled(places[right], shades[right], classes, side)
    wrong = _pooled(places[~right], shades[~right], classes, side)
    deepest = np.sqrt(np.maximum(wrong, hits))
    dots = np.zeros((side, side, 4), np.uint8)
    dots[..., :3] = np.where((wrong > hits)[..., None], _WRONG, _RIGHT)
    dots[..., 3] = np.where(deepest > 0, _FAINTEST + (255 - _FAINTEST) * deepest, 0)
    return dots


def _pooled(places: NDArray[np.intp], shades: NDArray[np.float64], classes: int, side: int) -> NDArray[np.float64]:
    pooled = np.zeros((side, side))
    rows, columns = (places // blocks_of(classes)).T
    np.maximum.at(pooled, (rows, columns), shades)
    return pooled
