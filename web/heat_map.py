"""Heat maps show which patches of a photo decide its label.

A patch is important if the label's probability drops when the photo's mean colour covers the patch (occlusion: Zeiler
and Fergus, 2014, https://arxiv.org/abs/1311.2901).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageStat

from models.preprocess import Pixels, PreprocessSpec, opened, preprocess_image, small_rgb

GRID: Final = 8
"""Patches per side."""
PATCH: Final = 1.5
"""The side of a patch, in cells of the grid. Neighbouring patches overlap, which makes the map smoother."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class HeatMap:
    """How covering each patch of a photo changes the label's probability.

    Attributes:
        confidence: the probability of the label for the uncovered photo.
        drops: how much covering each patch lowers the probability, row by row. Negative if the probability rises.
    """

    label: str
    confidence: float
    drops: tuple[tuple[float, ...], ...]


def patches(width: int, height: int) -> list[Box]:
    """The patches of a photo in pixels (left, top, right, bottom), row by row: one patch per cell of the grid."""
    across, down = _spans(width), _spans(height)
    return [(left, top, right, bottom) for top, bottom in down for left, right in across]


def _spans(length: int) -> list[tuple[int, int]]:
    cell, half = length / GRID, PATCH / 2
    middles = [(place + 0.5) * cell for place in range(GRID)]
    return [(max(0, round(middle - half * cell)), min(length, round(middle + half * cell))) for middle in middles]


def covered_pixels(photo: bytes, cells: Sequence[int], spec: PreprocessSpec) -> Pixels:
    """Copies of a photo for the network, each with a different patch covered: ``uint8 (cells, S, S, 3)``.

    The photo is first reduced to twice the model's input size. For cell -1, no patch is covered. Raises ImageError.
    """
    with opened(photo) as image:
        whole = small_rgb(image, 2 * spec.size, Image.Resampling.BILINEAR)
    mean = tuple(round(channel) for channel in ImageStat.Stat(whole).mean)
    boxes = patches(*whole.size)
    copies = []
    for cell in cells:
        copy = whole.copy()
        if cell >= 0:
            copy.paste(mean, boxes[cell])
        copies.append(preprocess_image(copy, spec))
    return np.stack(copies)
