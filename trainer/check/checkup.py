"""The whole look at labelled photos: each by itself, all together, and what gives their classes away."""

import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from models.errors import DataError
from trainer.check.issues import Flags, Issue, Judgement, Scores, judge
from trainer.check.relations import Relations, relate
from trainer.check.shortcuts import Guess, guess_from_accidents
from trainer.data.dataset import Dataset, Exclusion, LabeledPhoto
from trainer.data.file_kinds import stray_fault
from trainer.data.photo_cache import StatisticsStore
from trainer.data.photo_files import FaultKind, PhotoFault, hash_photos

__all__ = [
    "GRAVE",
    "UNUSABLE",
    "CheckView",
    "Checkup",
    "Faulty",
    "Findings",
    "Looked",
    "check_up",
    "find",
    "issue_of",
    "look_at",
]

UNUSABLE: Final = (Issue.MISSING, Issue.UNREADABLE, Issue.TRUNCATED, Issue.UNSUPPORTED)
"""Issues of files that have no picture to show."""
GRAVE: Final = (*UNUSABLE, Issue.WRONG_EXTENSION, Issue.LEAK, Issue.LABEL_CONFLICT, Issue.PLACEHOLDER)
"""Issues that spoil what is learned, or what is measured."""


class CheckView(Protocol):
    """Who is told how the check goes."""

    def advance(self, what: str, done: int, total: int) -> None:
        """So much of one step is done."""


@dataclass(frozen=True)
class Faulty:
    """A file that cannot be used, and why."""

    photo: LabeledPhoto
    fault: PhotoFault


@dataclass(frozen=True)
class Looked:
    """Photos that were looked at.

    Attributes:
        photos: that can be used.
        sha256s: of their files.
        faulty: the others.
    """

    photos: tuple[LabeledPhoto, ...]
    sha256s: tuple[str, ...]
    faulty: tuple[Faulty, ...]


@dataclass(frozen=True)
class Checkup:
    """What was found; every place in it is that of one of ``looked.photos``.

    Attributes:
        dataset: what was found on disk.
        looked: its photos, and the files among them that are none.
        ignored: files that nobody would take for a photo.
        statistics: of the photos, a row each.
        judgement: each by itself.
        relations: which show the same picture.
        guesses: how well accidents give the classes away, the best first.
    """

    dataset: Dataset
    looked: Looked
    ignored: tuple[Exclusion, ...]
    statistics: pa.Table
    judgement: Judgement
    relations: Relations
    guesses: tuple[Guess, ...]


def check_up(dataset: Dataset, store: StatisticsStore, view: CheckView) -> Checkup:
    """Look at labelled photos in every way there is.

    Raises:
        DataError: not one of the files is there.
        InputError: the cache cannot be written to.
    """
    looked = look_at(dataset.photos, store, view)
    missing = [one.photo.path for one in looked.faulty if one.fault.kind is FaultKind.MISSING]
    if len(missing) == len(dataset.photos):
        msg = (
            f"Expected the photos that {dataset.source} names, found none of the {len(missing):,} files, such as "
            f"{missing[0]}; check the paths, which start at the folder of the CSV."
        )
        raise DataError(msg)
    faulty, ignored = list(looked.faulty), []
    for stray in dataset.excluded:  # files whose names say no image may be photos all the same, or be meant to be
        fault = stray_fault(stray.path) if stray.reason == "not_an_image" else None
        if fault is None:
            ignored.append(stray)
        else:
            faulty.append(Faulty(LabeledPhoto(stray.path, stray.label, stray.split), fault))
    looked = Looked(looked.photos, looked.sha256s, tuple(faulty))
    statistics = store.statistics(looked.sha256s)
    paths, labels = [photo.path for photo in looked.photos], [photo.label for photo in looked.photos]
    relations = relate(looked.photos, looked.sha256s, store, _step(view, "Comparing"))
    guesses = guess_from_accidents(statistics, paths, labels, relations.families, _step(view, "Guessing"))
    judgement = judge(statistics, paths, labels)
    return Checkup(dataset, looked, tuple(ignored), statistics, judgement, relations, tuple(guesses))


def look_at(photos: Sequence[LabeledPhoto], store: StatisticsStore, view: CheckView) -> Looked:
    """Look at the photos that the store lacks, and divide all into usable ones and others.

    Raises:
        InputError: the cache cannot be written to.
    """
    hashed, unread = hash_photos(photos, _step(view, "Reading"))
    files = {sha256: photo.path for photo, sha256 in hashed}
    total, counter = sum(map(store.lacks, files)), itertools.count(1)
    if total:  # the time of the first photo counts as well
        view.advance("Looking", 0, total)
    store.add(files, len(os.sched_getaffinity(0)), lambda: view.advance("Looking", next(counter), total))
    usable = [(photo, sha256) for photo, sha256 in hashed if store.fault(sha256) is None]
    faults = [(photo, store.fault(sha256)) for photo, sha256 in hashed]
    faulty = [Faulty(photo, fault) for photo, fault in (*unread, *faults) if fault is not None]
    return Looked(tuple(photo for photo, _ in usable), tuple(sha256 for _, sha256 in usable), tuple(faulty))


def _step(view: CheckView, what: str) -> Callable[[int, int], None]:
    return lambda done, total: view.advance(what, done, total)


@dataclass(frozen=True)
class Findings:
    """The issues of the usable photos, and of the files that are not; every array has a value a usable photo.

    Attributes:
        flags: whether the photo has the issue.
        scores: from 0, as bad as can be, to 1.
        twins: place → place of the photo that best explains it: the one it repeats, or leaks from.
        faulty: issue → files.
    """

    flags: Mapping[Issue, Flags]
    scores: Mapping[Issue, Scores]
    twins: Mapping[int, int]
    faulty: Mapping[Issue, Sequence[Faulty]]

    def count(self, issue: Issue) -> int:
        """How many photos and files have an issue."""
        flagged = int(self.flags[issue].sum()) if issue in self.flags else 0
        return flagged + len(self.faulty.get(issue, ()))

    def places(self, issue: Issue) -> list[int]:
        """The photos with an issue, the worst first."""
        if issue not in self.flags:
            return []
        flagged = np.flatnonzero(self.flags[issue])
        order = np.argsort(self.scores[issue][flagged], kind="stable")
        return [int(place) for place in flagged[order]]


def find(checkup: Checkup) -> Findings:
    """Gather what a check found."""
    relations, count = checkup.relations, len(checkup.looked.photos)
    related: dict[Issue, Scores] = {
        Issue.PLACEHOLDER: _all_but(count, itertools.chain(*relations.placeholders)),
        Issue.EXACT_DUPLICATE: _all_but(count, itertools.chain(*relations.exact)),
        Issue.NEAR_DUPLICATE: _near_scores(count, relations),
        Issue.LABEL_CONFLICT: _all_but(count, itertools.chain(*relations.conflicts)),
        Issue.LEAK: _all_but(count, (leak.photo for leak in relations.leaks)),
    }
    faulty: defaultdict[Issue, list[Faulty]] = defaultdict(list)
    for one in checkup.looked.faulty:
        faulty[issue_of(one)].append(one)
    return Findings(
        flags={**checkup.judgement.flags, **{issue: scores < 1 for issue, scores in related.items()}},
        scores={**checkup.judgement.scores, **related},
        twins=_twins(checkup),
        faulty=faulty,
    )


def issue_of(faulty: Faulty) -> Issue:
    """The issue of a file that cannot be used; whatever keeps it from being read makes it unreadable."""
    kind = faulty.fault.kind
    named = {FaultKind.MISSING, FaultKind.TRUNCATED, FaultKind.UNSUPPORTED, FaultKind.WRONG_EXTENSION}
    return Issue(kind) if kind in named else Issue.UNREADABLE


def _near_scores(count: int, relations: Relations) -> Scores:
    scores = np.ones(count)
    for pair in relations.near:
        for place in (pair.first, pair.second):
            scores[place] = min(scores[place], max(0.0, 1 - pair.likeness), 0.9999)
    for group in relations.exact:  # of the same pixels only one photo is compared with others
        scores[list(group)] = scores[list(group)].min()
    return scores


def _all_but(count: int, places: Iterable[int]) -> Scores:
    scores = np.ones(count)
    scores[list(places)] = 0
    return scores


def _twins(checkup: Checkup) -> dict[int, int]:
    """What matters most is written last: a photo has one twin only."""
    photos, relations, twins = checkup.looked.photos, checkup.relations, dict[int, int]()
    for pair in sorted(relations.near, key=lambda pair: pair.likeness):
        twins.update({pair.first: pair.second, pair.second: pair.first})
    for group in relations.exact:
        twins.update({place: group[0] if place != group[0] else group[1] for place in group})
    for group in relations.conflicts:
        for place in group:
            twins[place] = next(other for other in group if photos[other].label != photos[place].label)
    twins.update({leak.photo: leak.twin for leak in relations.leaks})
    return twins
