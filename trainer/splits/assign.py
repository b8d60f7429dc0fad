"""Every photo gets its split, and keeps it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from trainer.data.dataset import Exclusion, Split
from trainer.splits.assigned import Applicant, AssignedPhoto, Assignment
from trainer.splits.groups import SET_ASIDE, group_name, group_photos
from trainer.splits.set_aside import drop_training_twins, keep_trained

__all__ = ["FreeGroup", "Standing", "assign_splits", "stratify"]

HELD_OUT: Final = 10
"""One in so many photos of a class goes to validation, and to test."""


@dataclass(frozen=True)
class FreeGroup:
    """A group that may go to any open split: the class of most of its photos, and how many it has."""

    label: str
    size: int


@dataclass(frozen=True)
class Standing:
    """What of a class has its place already: photos a split, and groups."""

    photos: Mapping[Split, int]
    groups: int


def assign_splits(
    applicants: Sequence[Applicant], links: Sequence[tuple[int, int]], seed: int, *, fix_leaks: bool = False
) -> Assignment:
    """Give every photo a split.

    A split that the person or an earlier training has decided on stays. A new photo goes where its group is, and is
    set aside where that would be two splits. The groups that are left are shared out 80/10/10, stratified by class. A
    person who gave no validation or no test split gets one cut from training, unless an earlier training has done so;
    photos that are left open are for training then, or for such a split.

    Args:
        applicants: photos, and those that only an earlier training knew.
        links: places of two applicants that show the same picture; those of one product, of one content and of one
            earlier group belong together anyway.
        seed: same seed, same splits.
        fix_leaks: whether to drop the training twins of validation and test photos.

    Raises:
        DataError: only some photos of a CSV have a split, fewer than two classes can be trained on, or no validation
            photo is left.
    """
    without = [applicant.path for applicant in applicants if applicant.split is None and not applicant.open]
    if without and not _is_extended(applicants) and any(applicant.split for applicant in applicants):
        msg = (
            f"Expected a split for every photo or for none, got none for {without[0]}; where Hangtag is to choose it, "
            "say open."
        )
        raise DataError(msg)
    grouping = group_photos(applicants, links)
    photos = _assigned(applicants, grouping.groups, seed)
    bridging = []
    for place, bridged in grouping.bridges.items():
        ends = " and with ".join(f"{applicants[end].path} in {applicants[end].split}" for end in bridged)
        bridging.append(Exclusion(applicants[place].path, "bridges_splits", f"It belongs with {ends}"))
    earlier_groups = {photo.group for photo, applicant in photos if applicant.fixed}
    kept = [photo for photo, _ in photos]
    dropped: list[Exclusion] = []
    if fix_leaks:
        kept, dropped = drop_training_twins(kept, earlier_groups)
    covered = keep_trained(kept, earlier_groups)
    return replace(covered, set_aside=[*bridging, *dropped, *covered.set_aside])


def _is_extended(applicants: Sequence[Applicant]) -> bool:
    return any(applicant.fixed for applicant in applicants)


def _assigned(
    applicants: Sequence[Applicant], groups: npt.NDArray[np.intp], seed: int
) -> list[tuple[AssignedPhoto, Applicant]]:
    members: defaultdict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(groups.tolist()):
        if group != SET_ASIDE:
            members[group].append(place)
    names = {group: _name([applicants[place] for place in places]) for group, places in members.items()}
    splits = _splits(applicants, members, names, seed)
    assigned = []
    for place, group in enumerate(groups.tolist()):
        if group != SET_ASIDE:
            a = applicants[place]
            photo = AssignedPhoto(a.path, a.label, splits[place], a.sha256, names[group], a.product, a.present)
            assigned.append((photo, a))
    return assigned


def _name(members: Sequence[Applicant]) -> str:
    earlier = [applicant.group for applicant in members if applicant.group is not None]
    return min(earlier) if earlier else group_name(min(applicant.sha256 for applicant in members))


def _splits(
    applicants: Sequence[Applicant], members: Mapping[int, Sequence[int]], names: Mapping[int, str], seed: int
) -> dict[int, Split]:
    """The split of each place: its own, its group's, or a new one."""
    given = {applicant.split for applicant in applicants} - {None}
    cuts = bool(given) and not _is_extended(applicants)
    open_splits = [split for split in Split if split is Split.TRAIN or not (cuts and split in given)]
    splits: dict[int, Split] = {}
    free = []
    for group, places in members.items():
        decided = {applicants[place].split for place in places}
        if decided <= ({Split.TRAIN, None} if cuts else {None}):
            free.append(group)
            continue
        joins = next(split for split in decided if split is not None)
        splits.update((place, applicants[place].split or joins) for place in places)
    free.sort(key=names.__getitem__)
    shuffled = [free[i] for i in np.random.default_rng(seed).permutation(len(free))]
    wanted = []
    for group in shuffled:
        counts = Counter(applicants[place].label for place in members[group])
        commonest = min(counts, key=lambda label: (-counts[label], label))
        wanted.append(FreeGroup(commonest, counts.total()))
    chosen = stratify(wanted, _standing(applicants, members, splits), open_splits)
    for group, split in zip(shuffled, chosen, strict=True):
        splits.update(dict.fromkeys(members[group], split))
    return splits


def _standing(
    applicants: Sequence[Applicant], members: Mapping[int, Sequence[int]], splits: Mapping[int, Split]
) -> dict[str, Standing]:
    """What is in place already; photos that are not present count for nothing."""
    photos: defaultdict[str, Counter[Split]] = defaultdict(Counter)
    groups: Counter[str] = Counter()
    for places in members.values():
        standing = [place for place in places if place in splits and applicants[place].present]
        for place in standing:
            photos[applicants[place].label][splits[place]] += 1
        groups.update({applicants[place].label for place in standing})
    return {label: Standing(counts, groups[label]) for label, counts in photos.items()}


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
