"""Near duplicates: the same picture saved again, resized, or with a little cut off its sides.

Candidates are proved in two steps: one picture is laid over the other, shifted and stretched until they fit best, and
compared in colour; first as small as an icon, which leaves few, and then at full size.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.preprocess import Pixels
from trainer.check.alignment import PairFit, fit_pairs, shrunk
from trainer.check.candidates import (
    BOXES,
    NEIGHBOURS,
    Candidates,
    Places,
    Take,
    best_of_each,
    chunks,
    find_candidates,
    rank_within,
)

LEAST_LIKENESS: Final = 0.96
LARGEST_DIFFERENCE: Final = 8.0
WORST_IN_PLACE: Final = 14.0
WORST_OF_SHIFT: Final = 220.0
LARGEST_WORST: Final = 32.0
"""In a picture saved again no cell differs by much, or something else is printed there; in one that was cut a cell
differs the more, the more was cut off."""

LARGEST_TINT: Final = 0.1
_SAME_DIFFERENCE: Final = 1.0
_SAME_WORST: Final = 3.0
_ICON_SHRINKING, _ICONS_AT_A_TIME = 4, 1024
_HALF_SHRINKING, _HALVES_AT_A_TIME = 2, 256
_HOPEFUL_DIFFERENCE: Final = 20.0
_HOPEFUL_WORST: Final = 45.0
"""The largest difference of a pair of shrunk photos, once aligned, that is worth a comparison at full size."""
_MOST_PROOFS: Final = 6
"""The most candidates of one photo that are proved."""

_CHUNK: Final = 1024
_COPIES_AT_A_TIME: Final = 64


@dataclass(frozen=True)
class NearPair:
    """The places of two photos that show the same picture, the smaller first.

    ``likeness`` is the correlation of their details once they fit, up to 1.
    """

    first: int
    second: int
    likeness: float


def find_near(
    count: int, take: Callable[[Sequence[int]], Pixels], on_photo: Callable[[int], None], chunk: int = _CHUNK
) -> list[NearPair]:
    """Find near duplicates among ``count`` photos, of which ``chunk`` are held at a time.

    ``take`` gives the small copies ``uint8 (n, 64, 64, 3)`` of the photos at some places. ``on_photo`` is told how many
    photos are done; half of the work is the search, half the proof.

    Returns:
        The pairs that were proved, in order. Of a cluster of alike photos not every pair is found, but enough to hold
        it together.
    """
    pairs = new = _found_among(np.arange(count), take, on_photo, chunk)
    while new:  # the members of a large group may have seen no one but each other
        groups = joined(count, [(pair.first, pair.second) for pair in pairs])
        _, firsts, sizes = np.unique(groups, return_index=True, return_counts=True)
        new = _found_among(firsts[sizes >= NEIGHBOURS], take, lambda _: None, chunk)
        pairs = pairs + new
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _found_among(
    places: Places, take: Callable[[Sequence[int]], Pixels], on_photo: Callable[[int], None], chunk: int
) -> list[NearPair]:
    """The pairs among the photos at some places, which are in order."""
    if len(places) < 2:  # noqa: PLR2004 - a pair
        return []

    def copies(rows: Places) -> Pixels:
        return take(places[rows].tolist())

    candidates = find_candidates(len(places), copies, lambda done: on_photo(done // 2), chunk)
    icons = np.concatenate([_smaller(copies(rows), _ICON_SHRINKING) for rows in chunks(len(places), chunk)])
    hopeful = []
    for some in _pieces(candidates, _ICONS_AT_A_TIME):
        hopeful.append(_sifted(some, lambda rows: icons[rows]))
        on_photo((len(places) + int(some["first"].max(initial=0))) // 2)
    proved = _proved_in_turn(np.concatenate(hopeful), copies, len(places))
    on_photo(len(places))
    return [NearPair(int(places[one]), int(places[other]), likeness) for (one, other), likeness in proved.items()]


def _proved_in_turn(hopeful: Candidates, copies: Take, count: int) -> dict[tuple[int, int], float]:
    """Prove each photo's best candidate, then its second best, and so on, unless the two are in one group already."""
    hopeful = hopeful[best_of_each(hopeful["first"], hopeful["merit"], _MOST_PROOFS)]
    turns = rank_within(hopeful["first"])
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
    """The candidates that nearly fit, with the boxes that align them."""
    fitted = _fitted(candidates, take)
    candidates = candidates.copy()
    candidates["box"], candidates["merit"] = fitted.boxes, -fitted.difference
    return candidates[(fitted.difference <= _HOPEFUL_DIFFERENCE) & (fitted.worst <= _HOPEFUL_WORST)]


def _fitted(candidates: Candidates, take: Take) -> PairFit:
    firsts, seconds = (take(candidates[side]).astype(np.float32) for side in ("first", "second"))
    return fit_pairs(firsts, seconds, candidates["box"])


def _prove(candidates: Candidates, take: Take, proved: dict[tuple[int, int], float]) -> None:
    """Record the likeness of each pair that shows the same picture; the larger value of the two directions counts."""
    fitted = _fitted(candidates, take)
    for row in np.flatnonzero(_same_picture(fitted)):
        first, second = sorted((int(candidates["first"][row]), int(candidates["second"][row])))
        likeness = round(float(fitted.likeness[row]), 4)
        proved[first, second] = max(likeness, proved.get((first, second), likeness))


def _same_picture(fitted: PairFit) -> npt.NDArray[np.bool_]:
    shift = np.abs(fitted.boxes - BOXES[0]).max(1)
    alike: npt.NDArray[np.bool_] = (
        (fitted.likeness >= LEAST_LIKENESS)
        & (fitted.difference <= LARGEST_DIFFERENCE)
        & (fitted.worst <= np.minimum(WORST_IN_PLACE + WORST_OF_SHIFT * shift, LARGEST_WORST))
    )
    identical = (fitted.difference <= _SAME_DIFFERENCE) & (fitted.worst <= _SAME_WORST)
    return (alike | identical) & (fitted.tint <= LARGEST_TINT)


def joined(count: int, links: Sequence[tuple[int, int]] | npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The group number of each of ``count`` items, which links join; numbered in order of appearance."""
    ends = np.array(links, np.intp).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups, np.intp)


def links_of(keys: Iterable[Hashable]) -> list[tuple[int, int]]:
    """Pairs of places that hold together those of equal keys."""
    firsts: dict[Hashable, int] = {}
    places = ((firsts.setdefault(key, place), place) for place, key in enumerate(keys))
    return [(first, place) for first, place in places if first != place]
