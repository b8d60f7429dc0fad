"""New groups of photos shared out among splits, each class for itself."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trainer.data.dataset import Split

__all__ = ["FreeGroup", "Standing", "stratify"]

HELD_OUT: Final = 10
"""One in so many photos of a class goes to validation, and to test."""


@dataclass(frozen=True)
class FreeGroup:
    """A group that may go to any open split.

    Attributes:
        label: the class of most of its photos.
        size: its photos.
    """

    label: str
    size: int


@dataclass(frozen=True)
class Standing:
    """What of a class has its place already: photos a split, and groups."""

    photos: Mapping[Split, int]
    groups: int


def stratify(
    groups: Sequence[FreeGroup], standing: Mapping[str, Standing], open_splits: Sequence[Split]
) -> list[Split]:
    """Give each group a split: in the order given, the one that lacks most photos of its class.

    A group goes to validation or test only where that brings the class nearer to its tenth. A class of two groups has
    one held out, a class of three has one in each split.

    Args:
        groups: in random order.
        standing: of the classes that have photos in place.
        open_splits: training, and those that it may share with.
    """
    by_class: defaultdict[str, list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        by_class[group.label].append(number)
    chosen = [Split.TRAIN] * len(groups)
    for label, numbers in by_class.items():
        shares = _Shares([groups[n].size for n in numbers], standing.get(label, Standing({}, 0)), open_splits)
        for number, split in zip(numbers, shares.share_out(), strict=True):
            chosen[number] = split
    return chosen


class _Shares:
    """The photos of one class in each open split, as its groups find their places."""

    def __init__(self, sizes: Sequence[int], standing: Standing, open_splits: Sequence[Split]) -> None:
        self._sizes = sizes
        self._groups = standing.groups + len(sizes)
        self._photos = Counter({split: standing.photos.get(split, 0) for split in open_splits})
        self._held_out: list[Split] = [split for split in open_splits if split is not Split.TRAIN]
        self._total = sum(sizes) + self._photos.total()

    def share_out(self) -> list[Split]:
        """The split of each group."""
        chosen: dict[int, Split] = self._first_ones()
        for number, split in chosen.items():
            self._photos[split] += self._sizes[number]
        for number, size in enumerate(self._sizes):
            if number not in chosen:
                chosen[number] = self._neediest(size)
                self._photos[chosen[number]] += size
        return [chosen[number] for number in range(len(self._sizes))]

    def _first_ones(self) -> dict[int, Split]:
        """One group for each split that has none of the class, as long as one is left for training."""
        chosen: dict[int, Split] = {}
        spare = len(self._sizes) - (not self._photos[Split.TRAIN])
        for fewer, split in enumerate(self._held_out, start=1):
            if not self._photos[split] and self._groups > fewer and len(chosen) < spare:
                chosen[self._handiest(chosen)] = split
        return chosen

    def _handiest(self, taken: Mapping[int, Split]) -> int:
        """The first group that is no larger than a split should be, else the smallest."""
        left = [number for number in range(len(self._sizes)) if number not in taken]
        fitting = (number for number in left if HELD_OUT * self._sizes[number] <= self._total)
        return next(fitting, min(left, key=self._sizes.__getitem__))

    def _neediest(self, size: int) -> Split:
        if not self._held_out:
            return Split.TRAIN
        split = min(self._held_out, key=self._photos.__getitem__)
        lack = self._total - HELD_OUT * self._photos[split]
        share_of_training = self._total * (HELD_OUT - len(self._held_out))
        lack_of_training = share_of_training - HELD_OUT * self._photos[Split.TRAIN]
        fits = HELD_OUT * size <= min(self._total, 2 * lack)
        return split if fits and lack > lack_of_training else Split.TRAIN
