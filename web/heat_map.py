"""Heat maps: which parts of a photo its label rests on.

Each part is covered with the photo's mean colour in turn, and the fall of the label's probability is noted (occlusion:
Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901). The pool of processes labels the covered photos, a batch at a
time, so that photos of other requests come in between.
"""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageStat

from models.classifier import BATCH
from models.preprocess import opened, whole_rgb
from web.classify import ClassifierPool
from web.problems import Problem

GRID: Final = 8
"""Patches a side."""
PATCH: Final = 1.5
"""The side of a patch, in cells of the grid: neighbours overlap, which makes the map smoother."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class HeatMap:
    """What covering parts of a photo does.

    Attributes:
        label: the likeliest class.
        confidence: its probability where nothing is covered.
        drops: by how much the probability falls where a patch is covered, row by row from the top left; negative where
            it rises.
    """

    label: str
    confidence: float
    drops: tuple[tuple[float, ...], ...]


class HeatMaps:
    """Makes heat maps, one at a time.

    Args:
        pool: labels the covered photos.
    """

    def __init__(self, pool: ClassifierPool) -> None:
        self._pool = pool
        self._busy = False

    async def make(self, photo: bytes) -> HeatMap:
        """The heat map of a photo's likeliest class.

        Raises:
            Problem: 422 for a photo that cannot be read, 429 while another map is made or the pool is full, 503 without
                a model.
        """
        if self._busy:
            raise Problem(429, "Another heat map is being made; try again in 1 second.", {"retry-after": "1"})
        self._busy = True
        try:
            return await self._made(photo)
        finally:
            self._busy = False

    async def _made(self, photo: bytes) -> HeatMap:
        (answer,) = await self._pool.classify([photo], 1)  # a photo that ends its process never gets further
        if answer.prediction is None:
            raise Problem(422, answer.message or "Expected a photo that can be read.")
        label = answer.prediction.top_k[0][0]
        assert self._pool.model  # noqa: S101 - it has just answered
        small = await asyncio.to_thread(_reduced, photo, 2 * self._pool.model.size)
        (whole,) = await self._probabilities(label, small, [(0, 0, 0, 0)])
        boxes = patches(*small.size)
        falls: list[float] = []
        for start in range(0, len(boxes), BATCH):
            covered = await self._probabilities(label, small, boxes[start : start + BATCH])
            falls += [whole - probability for probability in covered]
        rows = tuple(tuple(falls[start : start + GRID]) for start in range(0, len(falls), GRID))
        return HeatMap(label, whole, rows)

    async def _probabilities(self, label: str, photo: Image.Image, boxes: Sequence[Box]) -> list[float]:
        """The probability of a class, once for each box that is covered."""
        assert self._pool.model  # noqa: S101 - it has answered before
        covered = await asyncio.to_thread(_covered, photo, boxes)
        answers = await self._pool.classify(covered, len(self._pool.model.labels))
        tables = [dict(answer.prediction.top_k) if answer.prediction else {} for answer in answers]
        if not all(label in table for table in tables):
            raise Problem(503, "The model was replaced meanwhile; try again.", {"retry-after": "1"})
        return [table[label] for table in tables]


def patches(width: int, height: int) -> list[Box]:
    """Where a photo is covered, in pixels: left, top, right, bottom; a box for each cell of the grid, row by row."""
    across, down = _spans(width), _spans(height)
    return [(left, top, right, bottom) for top, bottom in down for left, right in across]


def _spans(length: int) -> list[tuple[int, int]]:
    cell, half = length / GRID, PATCH / 2
    middles = [(place + 0.5) * cell for place in range(GRID)]
    return [(max(0, round(middle - half * cell)), min(length, round(middle + half * cell))) for middle in middles]


def _reduced(photo: bytes, side: int) -> Image.Image:
    """The whole photo inside a square of ``side`` pixels; the model fits it into its own."""
    with opened(photo) as image:
        image.draft("RGB", (side, side))
        whole = whole_rgb(image)
        whole.thumbnail((side, side), Image.Resampling.BILINEAR)
        return whole


def _covered(photo: Image.Image, boxes: Sequence[Box]) -> list[bytes]:
    """Copies of a photo as BMP files, each with one box in the photo's mean colour."""
    mean = tuple(round(channel) for channel in ImageStat.Stat(photo).mean)
    files = []
    for box in boxes:
        copy, file = photo.copy(), io.BytesIO()
        copy.paste(mean, box)
        copy.save(file, "BMP")
        files.append(file.getvalue())
    return files
