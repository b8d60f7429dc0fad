"""Pairs of photos that may show the same picture: found among descriptors, so that their number grows with the photos.

Each photo, and what is left of it with a little cut off, looks for the whole photos that are most like it.
"""

from collections.abc import Callable
from typing import Final

import faiss
import numpy as np
import numpy.typing as npt
from scipy.fft import dct

from models.preprocess import Pixels
from trainer.check.alignment import Floats
from trainer.data.image_statistics import COPY_SIDE

Places = npt.NDArray[np.intp]
Take = Callable[[Places], Pixels]
NEIGHBOURS: Final = 5
CANDIDATE_LIKENESS: Final = 0.85
MOST_CANDIDATES: Final = 16
"""For one photo: products on white are alike from afar by the hundred."""
_EXACT_SEARCH: Final = 4096
_VISITED_CELLS: Final = 12
_TRAINED_ON: Final = 64
_ROUNDS: Final = 10
_LARGEST_CUT: Final = 0.1
"""What is cut off a side, as a share of it, in the boxes."""
_GRID: Final = 16
_LIGHT_FREQUENCIES: Final = 8
_COLOUR_FREQUENCIES: Final = 4
_COLOUR_WEIGHT: Final = np.float32(2)
_LEAST_CONTRAST: Final = 8.0
_GREY: Final = np.array([0.299, 0.587, 0.114], np.float32)
_SIZE: Final = _LIGHT_FREQUENCIES**2 - 1 + 2 * (_COLOUR_FREQUENCIES**2 - 1)
"""How many numbers describe a picture."""
_WAVES: Final[Floats] = dct(np.eye(_GRID, dtype=np.float32), axis=0, norm="ortho")[:_LIGHT_FREQUENCIES]


CANDIDATE: Final = np.dtype([("first", np.intp), ("second", np.intp), ("box", np.float32, 4), ("merit", np.float32)])
"""A pair worth a proof: the places of two photos; the part of the first that looks like the whole second, in widths and
heights; and a figure that is the larger, the more the pair promises."""
Candidates = npt.NDArray[np.void]


def find_candidates(count: int, take: Take, on_photo: Callable[[int], None], chunk: int) -> Candidates:
    """Find pairs worth a proof: each photo looks for others, so that a pair may come both ways round.

    Both are of use, since a whole photo can be cut to fit a part of it, but not the other way round. The arguments are
    those of :func:`trainer.check.near.find_near`; there is one photo at least.
    """
    index = _index(count, take, chunk)
    parts = []
    for places in chunks(count, chunk):
        parts.append(_candidates(index, places, take(places)))
        on_photo(int(places[-1]) + 1)
    return np.concatenate(parts)


def _index(count: int, take: Take, chunk: int) -> faiss.Index:
    """An index of whole photos' descriptors; a large one is divided into cells, and a search visits the nearest."""
    index: faiss.Index = faiss.IndexFlatIP(_SIZE)
    wholes = np.concatenate([_described(take(places), BOXES[:1])[0] for places in chunks(count, chunk)])
    if count > _EXACT_SEARCH:
        index = faiss.IndexIVFFlat(index, _SIZE, int(4 * count**0.5), faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.cp.niter, index.nprobe = 0, _ROUNDS, _VISITED_CELLS
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _TRAINED_ON
        index.train(wholes)
    index.add(wholes)
    return index


def _candidates(index: faiss.Index, places: Places, copies: Pixels) -> Candidates:
    """For each photo the photos most like it, each with the box in which they are."""
    queries = _described(copies, BOXES).reshape(-1, _SIZE)
    likeness, found = (part.reshape(len(BOXES), len(places), -1) for part in index.search(queries, NEIGHBOURS))
    box, row, column = np.nonzero((likeness >= CANDIDATE_LIKENESS) & (found != places[:, None]))
    every = np.empty(len(row), CANDIDATE)
    every["first"], every["second"] = places[row], found[box, row, column]
    every["box"], every["merit"] = BOXES[box], likeness[box, row, column]
    once = every[best_of_each(every["first"] * index.ntotal + every["second"], every["merit"], 1)]
    return once[best_of_each(once["first"], once["merit"], MOST_CANDIDATES)]


def best_of_each(keys: Places, values: Floats, most: int) -> Places:
    """The rows of the ``most`` largest values of each key; in order of the keys, the largest first."""
    order = np.lexsort((-values, keys))
    rows: Places = order[rank_within(keys[order]) < most]
    return rows


def rank_within(keys: Places) -> Places:
    """The place of each row among those of its key, where keys are in order."""
    _, starts, counts = np.unique(keys, return_index=True, return_counts=True)
    ranks: Places = np.arange(len(keys)) - np.repeat(starts, counts)
    return ranks


def chunks(count: int, size: int) -> list[Places]:
    """The places from 0 to ``count``, in chunks of ``size``; one empty chunk if there are none."""
    return np.split(np.arange(count), range(size, count, size))


_SIDES: Final = ((0.0, 1 - _LARGEST_CUT), (_LARGEST_CUT, 1.0), (_LARGEST_CUT / 2, 1 - _LARGEST_CUT / 2))
BOXES: Final = np.array(
    [(0, 0, 1, 1), *((left, top, right, bottom) for left, right in _SIDES for top, bottom in _SIDES)], np.float32
)
"""``float32 (10, 4)``: left, top, right and bottom of what is left of a photo: all of it, and nine ways of cutting."""


def _described(copies: Pixels, boxes: Floats) -> Floats:
    """Describe how what some boxes ``(b, 4)`` hold of some small copies ``uint8 (n, 64, 64, 3)`` looks from afar.

    A cosine transform of light and of colours, without the means, ``float32 (b, n, _SIZE)``, of length 1 unless there
    is little contrast. Pictures of one thing in two colours have the same light; without the colours, a shop that shows
    a shirt in twelve of them would hide each true twin behind eleven false ones.
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
