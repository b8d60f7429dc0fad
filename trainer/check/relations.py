"""Relations between photos: the same picture or product, with several labels or in several splits."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.check.near import NearPair, find_near, joined, links_of
from trainer.data.dataset import LabeledPhoto, Split
from trainer.data.photo_cache import StatisticsStore

PLACEHOLDER_ROWS: Final = 10
PLACEHOLDER_ROWS_OF_ONE_LABEL: Final = 20
"""A picture in at least this many rows is a placeholder. With several labels, ``PLACEHOLDER_ROWS`` are enough."""


class LeakKind(StrEnum):
    """How a photo and its twin are related."""

    EXACT = "exact"
    NEAR = "near"
    PRODUCT = "product"


@dataclass(frozen=True)
class Leak:
    """The positions of a photo and of its twin in an earlier split (order: train, val, test)."""

    photo: int
    twin: int
    kind: LeakKind


@dataclass(frozen=True)
class Relations:
    """The results of :func:`relate`. Groups contain positions in the argument ``photos``.

    Attributes:
        exact: groups of photos with the same pixels.
        pictures: for each photo, an index that all its copies share.
        families: for each photo, the index of its group of photos with the same picture or product.
        placeholders: groups of copies of a placeholder image. The copies do not count as duplicates. Training excludes
            placeholders with several labels, so they are not conflicts or leaks.
        conflicts: groups of photos that are copies of one picture, but have several labels.
    """

    exact: tuple[tuple[int, ...], ...]
    near: tuple[NearPair, ...]
    pictures: npt.NDArray[np.intp]
    families: npt.NDArray[np.intp]
    placeholders: tuple[tuple[int, ...], ...]
    conflicts: tuple[tuple[int, ...], ...]
    leaks: tuple[Leak, ...]


def relate(
    photos: Sequence[LabeledPhoto],
    sha256s: Sequence[str],
    store: StatisticsStore,
    on_photo: Callable[[int, int], None],
) -> Relations:
    """Find photos of the same picture. ``on_photo`` is called with the numbers (done, total)."""
    digests = store.statistics(sha256s)["pixels"].to_pylist()
    same = _places(digests)
    firsts = [places[0] for places in same.values()]
    pairs = find_near(
        len(firsts),
        lambda places: store.copies([sha256s[firsts[place]] for place in places]),
        lambda done: on_photo(done, len(firsts)),
    )
    near = [NearPair(firsts[pair.first], firsts[pair.second], pair.likeness) for pair in pairs]
    pictures = joined(len(photos), [*links_of(digests), *((pair.first, pair.second) for pair in near)])
    groups = [tuple(places) for places in _places(pictures.tolist()).values() if len(places) > 1]
    placeholders = [group for group in groups if is_placeholder(len(group), label_count(photos, group))]
    missing = {place for group in placeholders for place in group}
    apart = {place for group in placeholders if label_count(photos, group) > 1 for place in group}
    groups = [group for group in groups if group[0] not in apart]
    shown = ((place,) if place in apart else picture for place, picture in enumerate(pictures.tolist()))
    products = (photo.product or place for place, photo in enumerate(photos))
    families = joined(len(photos), [*links_of(shown), *links_of(products)])
    return Relations(
        exact=tuple(tuple(places) for places in same.values() if len(places) > 1 and places[0] not in missing),
        near=tuple(pair for pair in near if pair.first not in missing),
        pictures=pictures,
        families=families,
        placeholders=tuple(placeholders),
        conflicts=tuple(group for group in groups if label_count(photos, group) > 1),
        leaks=tuple(_leaks([photo.split for photo in photos], (digests, pictures.tolist(), families.tolist()), apart)),
    )


def _places(keys: Iterable[object]) -> dict[object, list[int]]:
    places: defaultdict[object, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return places


def is_placeholder(rows: int, labels: int) -> bool:
    """Whether a picture in ``rows`` rows with ``labels`` different labels is a placeholder."""
    return rows >= (PLACEHOLDER_ROWS if labels > 1 else PLACEHOLDER_ROWS_OF_ONE_LABEL)


def label_count(photos: Sequence[LabeledPhoto], group: Sequence[int]) -> int:
    """Number of different labels in a group."""
    return len({photos[place].label for place in group})


def _leaks(splits: Sequence[Split | None], keys: Sequence[Sequence[object]], apart: set[int]) -> list[Leak]:
    """Find each photo's closest twin in an earlier split. ``keys`` are in the order of ``LeakKind``."""
    firsts: dict[tuple[LeakKind, Split, object], int] = {}
    for kind, values in zip(LeakKind, keys, strict=True):
        for place, (split, value) in enumerate(zip(splits, values, strict=True)):
            if split is not None and place not in apart:
                firsts.setdefault((kind, split, value), place)
    leaks = []
    for place, split in enumerate(splits):
        earlier_keys = (
            (kind, earlier, values[place])
            for kind, values in zip(LeakKind, keys, strict=True)
            for earlier in list(Split)[: split.rank if split else 0]
        )
        leak_key = next((key for key in earlier_keys if key in firsts), None)
        if leak_key and place not in apart:
            leaks.append(Leak(place, firsts[leak_key], leak_key[0]))
    return leaks
