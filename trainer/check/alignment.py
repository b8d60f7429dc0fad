"""Image registration (Lucas and Kanade, 1981): finds the part of one picture that matches another picture."""

from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_STEPS: Final = 5
_LARGEST_STEP: Final = 0.05
_DAMPING: Final = 1.5
_COARSE: Final = 8
_CELL: Final = 4
_LEAST_COLOUR: Final = 20.0
_GREY: Final = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class PairFit:
    """The results of aligning pairs of pictures. Every array has one row per pair."""

    # the second picture's place in the first: left, top, right, bottom, as fractions of width and height
    boxes: Floats
    likeness: Floats  # correlation of the fine details
    difference: Floats  # the mean of each pixel's largest channel difference, 0 to 255
    worst: Floats  # largest mean difference of a cell (4 by 4 pixels), minus the picture's mean difference
    tint: Floats  # mean chroma difference, relative to the second picture's chroma


def fit_pairs(firsts: Floats, seconds: Floats, boxes: Floats) -> PairFit:
    """Align pairs of pictures.

    ``firsts``, ``seconds``: ``float32 (n, S, S, 3)``, 0 to 255. ``boxes``: initial guesses ``(n, 4)``.
    """
    first, second = _softened(_planes(firsts)), _softened(_planes(seconds))
    boxes = _registered(_grey(first), _grey(second), boxes)
    laid = _cut(first, boxes)
    return PairFit(boxes, _detail_likeness(laid, second), *_differences(laid, second), _tint(laid, second))


def shrunk(pictures: Floats, factor: int) -> Floats:
    """Replace each square of pixels by its mean: ``(n, S, S, c)`` to ``(n, S / factor, S / factor, c)``."""
    rows = reduce(np.add, [pictures[:, start::factor] for start in range(factor)])
    squares: Floats = reduce(np.add, [rows[:, :, start::factor] for start in range(factor)])
    return squares / np.float32(factor**2)


def _planes(pictures: Floats) -> Floats:
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))


def _grey(planes: Floats) -> Floats:
    grey: Floats = _GREY[0] * planes[:, 0] + _GREY[1] * planes[:, 1] + _GREY[2] * planes[:, 2]
    return grey[:, None]


def _softened(planes: Floats) -> Floats:
    """Blur with a 3 by 3 mean, because programs resize pictures differently."""
    padded = np.pad(planes, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    squares: Floats = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    return squares / np.float32(9)


def _registered(first: Floats, second: Floats, boxes: Floats) -> Floats:
    """Align grey pictures ``(n, 1, S, S)`` with Gauss-Newton steps, starting from ``boxes``."""
    side = first.shape[2]
    slopes = np.concatenate([first, np.gradient(first, axis=2) * side, np.gradient(first, axis=3) * side], 1)
    damping = _DAMPING * side**2 * np.eye(4, dtype=np.float32)
    boxes = boxes.astype(np.float32)
    for _ in range(_STEPS):
        laid = _cut(slopes, boxes)
        left = (second[:, 0] - laid[:, 0]).reshape(len(first), side**2, 1)
        effects = _effects(laid[:, 1], laid[:, 2])
        normal = effects @ effects.transpose(0, 2, 1) + damping
        step = np.linalg.solve(normal, effects @ left)[..., 0]
        boxes = boxes + step.clip(-_LARGEST_STEP, _LARGEST_STEP).astype(np.float32)
    return boxes


def _effects(down: Floats, right: Floats) -> Floats:
    """The derivative of each pixel with respect to each side of the box, ``(n, 4, S * S)``."""
    count, side, _ = down.shape
    along = _middles(side)
    effects = [right * (1 - along), down * (1 - along)[:, None], right * along, down * along[:, None]]
    return np.stack(effects, 1).reshape(count, 4, side**2)


def _middles(side: int) -> Floats:
    middles: Floats = ((np.arange(side) + 0.5) / side).astype(np.float32)
    return middles


def _cut(planes: Floats, boxes: Floats) -> Floats:
    side = planes.shape[2]
    rows, columns = _mixes(boxes[:, 1], boxes[:, 3], side), _mixes(boxes[:, 0], boxes[:, 2], side)
    cut: Floats = np.matmul(rows[:, None] @ planes, columns[:, None].transpose(0, 1, 3, 2), dtype=np.float32)
    return cut


def _mixes(starts: Floats, stops: Floats, side: int) -> Floats:
    places = (starts[:, None] + (stops - starts)[:, None] * _middles(side)) * side - np.float32(0.5)
    distances = np.abs(places.clip(0, side - 1)[:, :, None] - np.arange(side, dtype=np.float32))
    mixes: Floats = np.maximum(np.float32(1) - distances, np.float32(0))
    return mixes


def _detail_likeness(laid: Floats, second: Floats) -> Floats:
    one, other = _details(laid), _details(second)
    noise = one.shape[1]  # keeps noise in plain pictures from matching
    product, ones, others = (np.einsum("ni,ni->n", *pair) for pair in ((one, other), (one, one), (other, other)))
    likeness: Floats = product / np.sqrt((ones + noise) * (others + noise))
    return likeness


def _details(planes: Floats) -> Floats:
    count, colours, side, _ = planes.shape
    cells = (count, colours, side // _COARSE, _COARSE, side // _COARSE, _COARSE)
    squares = planes.reshape(cells)
    details: Floats = squares - _cell_means(planes, _COARSE)[:, :, :, None, :, None]
    return details.reshape(count, colours * side**2)


def _cell_means(planes: Floats, factor: int) -> Floats:
    return shrunk(planes.transpose(0, 2, 3, 1), factor).transpose(0, 3, 1, 2)


def _differences(laid: Floats, second: Floats) -> tuple[Floats, Floats]:
    difference = laid - second
    mean = np.abs(difference).max(1).mean((1, 2))
    uneven = difference - difference.mean((2, 3), keepdims=True)
    worst = np.abs(_cell_means(uneven, _CELL)).max((1, 2, 3))
    return mean, worst


def _tint(laid: Floats, second: Floats) -> Floats:
    one, other = _hues(laid), _hues(second)
    difference, colour = (np.abs(hues).max(1).mean((1, 2)) for hues in (one - other, other))
    tint: Floats = difference / (colour + np.float32(_LEAST_COLOUR))
    return tint


def _hues(planes: Floats) -> Floats:
    cells = _cell_means(planes, _CELL)
    return cells - _grey(cells)
