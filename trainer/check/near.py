"""Near duplicates: the same picture saved again, resized, or slightly cropped.

A nearest-neighbour search over photos and their crops finds candidate pairs, so the work grows linearly. The first
picture of each pair is shifted and stretched to fit the second. Pairs that match at icon size are compared at full
size.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import faiss
import numpy as np
import numpy.typing as npt
from scipy.fft import dct
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.preprocess import Pixels
from trainer.check.alignment import Floats, PairFit, fit_pairs, shrunk
from trainer.data.photo_files import COPY_SIDE

Places = npt.NDArray[np.intp]
Take = Callable[[Places], Pixels]
_NEIGHBOURS: Final = 5
_CANDIDATE_LIKENESS: Final = 0.85
_MOST_CANDIDATES: Final = 16
"""The largest number of candidates for one photo: hundreds of small photos of products on white may look alike."""
_EXACT_SEARCH: Final = 4096
_VISITED_CELLS: Final = 12
_TRAINED_ON: Final = 64
_ROUNDS: Final = 10
_LARGEST_CUT: Final = 0.1
"""A crop removes at most this fraction of the width or height."""
_GRID: Final = 16
_LIGHT_FREQUENCIES: Final = 8
_COLOUR_FREQUENCIES: Final = 4
_COLOUR_WEIGHT: Final = np.float32(2)
_LEAST_CONTRAST: Final = 8.0
_GREY: Final = np.array([0.299, 0.587, 0.114], np.float32)
_SIZE: Final = _LIGHT_FREQUENCIES**2 - 1 + 2 * (_COLOUR_FREQUENCIES**2 - 1)
_WAVES: Final[Floats] = dct(np.eye(_GRID, dtype=np.float32), axis=0, norm="ortho")[:_LIGHT_FREQUENCIES]
_CANDIDATE: Final = np.dtype([("first", np.intp), ("second", np.intp), ("box", np.float32, 4), ("merit", np.float32)])
"""Positions of two photos. ``box`` is the part of the first photo that resembles the second, in fractions of its width
and height. ``merit`` is higher for better matches."""
Candidates = npt.NDArray[np.void]
_SIDES: Final = ((0.0, 1 - _LARGEST_CUT), (_LARGEST_CUT, 1.0), (_LARGEST_CUT / 2, 1 - _LARGEST_CUT / 2))
_BOXES: Final = np.array(
    [(0, 0, 1, 1), *((left, top, right, bottom) for left, right in _SIDES for top, bottom in _SIDES)], np.float32
)
"""The boxes of the whole photo and nine crops, ``float32 (10, 4)``: left, top, right, bottom."""

_LEAST_LIKENESS: Final = 0.96
_LARGEST_DIFFERENCE: Final = 8.0
_WORST_IN_PLACE: Final = 14.0
_WORST_OF_SHIFT: Final = 220.0
_LARGEST_WORST: Final = 32.0
"""Limits of ``PairFit.worst``: pictures that differ only in text are no duplicates."""

_LARGEST_TINT: Final = 0.1
_SAME_DIFFERENCE: Final = 1.0
_SAME_WORST: Final = 3.0
_ICON_SHRINKING, _ICONS_AT_A_TIME = 4, 1024
_HALF_SHRINKING, _HALVES_AT_A_TIME = 2, 256
_HOPEFUL_DIFFERENCE: Final = 20.0
_HOPEFUL_WORST: Final = 45.0
"""Pairs that differ more than this at 16 or 32 pixels are not compared at full size."""
_MOST_PROOFS: Final = 6
"""The largest number of candidates that are tested for one photo."""

_CHUNK: Final = 1024
_COPIES_AT_A_TIME: Final = 64


@dataclass(frozen=True)
class NearPair:
    """The positions of two photos with the same picture, smaller position first.

    ``likeness``: correlation of fine details after alignment, at most 1.
    """

    first: int
    second: int
    likeness: float


def find_near(
    count: int, take: Callable[[Sequence[int]], Pixels], on_photo: Callable[[int], None], chunk: int = _CHUNK
) -> list[NearPair]:
    """Find near duplicates among ``count`` photos. At most ``chunk`` photos are in memory at a time.

    ``take`` returns the small copies ``uint8 (n, 64, 64, 3)`` of the photos at the given positions. ``on_photo`` gets
    the number of finished photos. The result links all photos of a cluster, but may not list every pair.
    """
    pairs = new = _found_among(np.arange(count), take, on_photo, chunk)
    while new:  # known duplicates may crowd out other candidates
        groups = joined(count, [(pair.first, pair.second) for pair in pairs])
        _, firsts, sizes = np.unique(groups, return_index=True, return_counts=True)
        new = _found_among(firsts[sizes >= _NEIGHBOURS], take, lambda _: None, chunk)
        pairs = pairs + new
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _found_among(
    places: Places, take: Callable[[Sequence[int]], Pixels], on_photo: Callable[[int], None], chunk: int
) -> list[NearPair]:
    if len(places) < 2:  # noqa: PLR2004 - a pair
        return []

    def copies(rows: Places) -> Pixels:
        return take(places[rows].tolist())

    candidates = _find_candidates(len(places), copies, lambda done: on_photo(done // 2), chunk)
    icons = np.concatenate([_smaller(copies(rows), _ICON_SHRINKING) for rows in _chunks(len(places), chunk)])
    hopeful = []
    for some in _pieces(candidates, _ICONS_AT_A_TIME):
        hopeful.append(_sifted(some, lambda rows: icons[rows]))
        on_photo((len(places) + int(some["first"].max(initial=0))) // 2)
    proved = _proved_in_turn(np.concatenate(hopeful), copies, len(places))
    on_photo(len(places))
    return [NearPair(int(places[one]), int(places[other]), likeness) for (one, other), likeness in proved.items()]


def _find_candidates(count: int, take: Take, on_photo: Callable[[int], None], chunk: int) -> Candidates:
    """Find candidate pairs, some in both orders, because either photo may be the crop."""
    index = _index(count, take, chunk)
    parts = []
    for places in _chunks(count, chunk):
        parts.append(_candidates(index, places, take(places)))
        on_photo(int(places[-1]) + 1)
    return np.concatenate(parts)


def _index(count: int, take: Take, chunk: int) -> faiss.Index:
    index: faiss.Index = faiss.IndexFlatIP(_SIZE)
    wholes = np.concatenate([_described(take(places), _BOXES[:1])[0] for places in _chunks(count, chunk)])
    if count > _EXACT_SEARCH:
        index = faiss.IndexIVFFlat(index, _SIZE, int(4 * count**0.5), faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.cp.niter, index.nprobe = 0, _ROUNDS, _VISITED_CELLS
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _TRAINED_ON
        index.train(wholes)
    index.add(wholes)
    return index


def _candidates(index: faiss.Index, places: Places, copies: Pixels) -> Candidates:
    queries = _described(copies, _BOXES).reshape(-1, _SIZE)
    likeness, neighbours = (part.reshape(len(_BOXES), len(places), -1) for part in index.search(queries, _NEIGHBOURS))
    box, row, column = np.nonzero((likeness >= _CANDIDATE_LIKENESS) & (neighbours != places[:, None]))
    every = np.empty(len(row), _CANDIDATE)
    every["first"], every["second"] = places[row], neighbours[box, row, column]
    every["box"], every["merit"] = _BOXES[box], likeness[box, row, column]
    once = every[_best_of_each(every["first"] * index.ntotal + every["second"], every["merit"], 1)]
    return once[_best_of_each(once["first"], once["merit"], _MOST_CANDIDATES)]


def _best_of_each(keys: Places, values: Floats, most: int) -> Places:
    order = np.lexsort((-values, keys))
    rows: Places = order[_rank_within(keys[order]) < most]
    return rows


def _rank_within(keys: Places) -> Places:
    _, starts, counts = np.unique(keys, return_index=True, return_counts=True)
    ranks: Places = np.arange(len(keys)) - np.repeat(starts, counts)
    return ranks


def _chunks(count: int, size: int) -> list[Places]:
    return np.split(np.arange(count), range(size, count, size))


def _described(copies: Pixels, boxes: Floats) -> Floats:
    """Compute a descriptor of each box ``(b, 4)`` in each small copy ``uint8 (n, 64, 64, 3)``.

    A descriptor is a cosine transform of brightness and colours that ignores their means. Its norm is 1, or less at low
    contrast. Colours distinguish a red shirt from the same shirt in blue. Returns ``float32 (b, n, _SIZE)``.
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
    edges = np.linspace(start, stop, _GRID + 1) * COPY_SIDE
    pixels = np.arange(COPY_SIDE)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    averages: Floats = (overlap.clip(0) / np.diff(edges)[:, None]).astype(np.float32)
    return averages


def _proved_in_turn(hopeful: Candidates, copies: Take, count: int) -> dict[tuple[int, int], float]:
    hopeful = hopeful[_best_of_each(hopeful["first"], hopeful["merit"], _MOST_PROOFS)]
    turns = _rank_within(hopeful["first"])
    groups = np.arange(count)
    proved: dict[tuple[int, int], float] = {}
    for turn in range(_MOST_PROOFS):
        apart = groups[hopeful["first"]] != groups[hopeful["second"]]
        halves = _pieces(hopeful[(turns == turn) & apart], _HALVES_AT_A_TIME)
        sifted = [_sifted(some, lambda rows: _smaller(copies(rows), _HALF_SHRINKING)) for some in halves]
        for some in _pieces(np.concatenate(sifted), _COPIES_AT_A_TIME):
            _prove(some, copies, proved)
        groups = joined(count, list(proved))
    return proved


def _pieces(candidates: Candidates, size: int) -> list[Candidates]:
    return np.split(candidates, range(size, len(candidates), size))


def _smaller(copies: Pixels, factor: int) -> Pixels:
    return shrunk(copies.astype(np.float32), factor).round().astype(np.uint8)


def _sifted(candidates: Candidates, take: Take) -> Candidates:
    fitted = _fitted(candidates, take)
    candidates = candidates.copy()
    candidates["box"], candidates["merit"] = fitted.boxes, -fitted.difference
    return candidates[(fitted.difference <= _HOPEFUL_DIFFERENCE) & (fitted.worst <= _HOPEFUL_WORST)]


def _fitted(candidates: Candidates, take: Take) -> PairFit:
    firsts, seconds = (take(candidates[side]).astype(np.float32) for side in ("first", "second"))
    return fit_pairs(firsts, seconds, candidates["box"])


def _prove(candidates: Candidates, take: Take, proved: dict[tuple[int, int], float]) -> None:
    fitted = _fitted(candidates, take)
    for row in np.flatnonzero(_same_picture(fitted)):
        first, second = sorted((int(candidates["first"][row]), int(candidates["second"][row])))
        likeness = round(float(fitted.likeness[row]), 4)
        proved[first, second] = max(likeness, proved.get((first, second), likeness))


def _same_picture(fitted: PairFit) -> npt.NDArray[np.bool_]:
    shift = np.abs(fitted.boxes - _BOXES[0]).max(1)
    alike: npt.NDArray[np.bool_] = (
        (fitted.likeness >= _LEAST_LIKENESS)
        & (fitted.difference <= _LARGEST_DIFFERENCE)
        & (fitted.worst <= np.minimum(_WORST_IN_PLACE + _WORST_OF_SHIFT * shift, _LARGEST_WORST))
    )
    identical = (fitted.difference <= _SAME_DIFFERENCE) & (fitted.worst <= _SAME_WORST)
    return (alike | identical) & (fitted.tint <= _LARGEST_TINT)


def joined(count: int, links: Sequence[tuple[int, int]] | npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Group ``count`` linked items. Returns the index of each item's group; the first item is in group 0."""
    ends = np.array(links, np.intp).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups, np.intp)


def links_of(keys: Iterable[Hashable]) -> list[tuple[int, int]]:
    """For each repeated key, pair its first position with each later position."""
    firsts: dict[Hashable, int] = {}
    places = ((firsts.setdefault(key, place), place) for place, key in enumerate(keys))
    return [(first, place) for first, place in places if first != place]
