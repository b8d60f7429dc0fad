"""The whole check of labelled photos: each by itself, all together, and what gives their classes away."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pyarrow as pa

from models.errors import DataError
from models.photo import NONE
from models.process import usable_cores
from trainer.check.issues import Flags, Issue, PhotoIssues, Scores, judge
from trainer.check.relations import Relations, relate
from trainer.check.shortcuts import Guess, guess_from_accidents
from trainer.data.dataset import Dataset, Exclusion, LabeledPhoto
from trainer.data.photo_cache import StatisticsStore
from trainer.data.photo_files import FaultKind, PhotoFault, hash_photos, stray_fault

Advance = Callable[[str, int, int], None]
"""Called as a check goes on: the step, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Faulty:
    """A file that cannot be used, and why."""

    photo: LabeledPhoto
    fault: PhotoFault

    @property
    def issue(self) -> Issue:
        """Whatever keeps a file from being read makes it unreadable."""
        named = {FaultKind.MISSING, FaultKind.TRUNCATED, FaultKind.UNSUPPORTED, FaultKind.WRONG_EXTENSION}
        return Issue[self.fault.kind.name] if self.fault.kind in named else Issue.UNREADABLE


@dataclass(frozen=True)
class ScannedPhotos:
    """The photos that can be used, the SHA-256 of their files, and the files that cannot be used."""

    photos: tuple[LabeledPhoto, ...]
    sha256s: tuple[str, ...]
    faulty: tuple[Faulty, ...]


@dataclass(frozen=True)
class Checkup:
    """What a check found; every place is that of one of ``scanned.photos``, and every array has a value for each."""

    dataset: Dataset
    scanned: ScannedPhotos
    ignored: tuple[Exclusion, ...]
    statistics: pa.Table
    photo_issues: PhotoIssues
    relations: Relations
    guesses: tuple[Guess, ...]

    @cached_property
    def scores(self) -> Mapping[Issue, Scores]:
        """From 0, as bad as can be, to 1."""
        relations = self.relations
        found = {
            Issue.PLACEHOLDER: itertools.chain(*relations.placeholders),
            Issue.EXACT_DUPLICATE: itertools.chain(*relations.exact),
            Issue.LABEL_CONFLICT: itertools.chain(*relations.conflicts),
            Issue.LEAK: (leak.photo for leak in relations.leaks),
        }
        related = {issue: self._all_but(places) for issue, places in found.items()}
        return {**related, Issue.NEAR_DUPLICATE: self._near_scores(), **self.photo_issues.scores}

    @cached_property
    def flags(self) -> Mapping[Issue, Flags]:
        """Whether each photo has the issue."""
        return {**{issue: scores < 1 for issue, scores in self.scores.items()}, **self.photo_issues.flags}

    @cached_property
    def faulty(self) -> Mapping[Issue, Sequence[Faulty]]:
        """The files that cannot be used, by issue."""
        faulty: defaultdict[Issue, list[Faulty]] = defaultdict(list)
        for one in self.scanned.faulty:
            faulty[one.issue].append(one)
        return dict(faulty)

    def count(self, issue: Issue) -> int:
        """How many photos and files have an issue."""
        return len(self.places(issue)) + len(self.faulty.get(issue, ()))

    def places(self, issue: Issue) -> list[int]:
        """The photos with an issue, the worst first."""
        if issue not in self.flags:
            return []
        flagged = np.flatnonzero(self.flags[issue])
        order = np.argsort(self.scores[issue][flagged], kind="stable")
        return [int(place) for place in flagged[order]]

    @property
    def outliers(self) -> int:
        """How many usable photos show no product: they are of no class."""
        return sum(photo.label == NONE for photo in self.scanned.photos)

    @cached_property
    def twins(self) -> Mapping[int, int]:
        """Place → place of its twin: the photo that it repeats, or leaks from."""
        photos, relations, twins = self.scanned.photos, self.relations, dict[int, int]()
        for pair in sorted(relations.near, key=lambda pair: pair.likeness):
            twins.update({pair.first: pair.second, pair.second: pair.first})
        for group in relations.exact:
            twins.update({place: group[0] if place != group[0] else group[1] for place in group})
        for group in relations.conflicts:
            for place in group:
                twins[place] = next(other for other in group if photos[other].label != photos[place].label)
        return {**twins, **{leak.photo: leak.twin for leak in relations.leaks}}  # what matters most comes last

    def _all_but(self, places: Iterable[int]) -> Scores:
        scores = np.ones(len(self.scanned.photos))
        scores[list(places)] = 0
        return scores

    def _near_scores(self) -> Scores:
        scores = self._all_but(())
        for pair in self.relations.near:
            for place in (pair.first, pair.second):
                scores[place] = min(scores[place], max(0.0, 1 - pair.likeness), 0.9999)
        for group in self.relations.exact:  # of the same pixels only one photo is compared with others
            scores[list(group)] = scores[list(group)].min()
        return scores


def check_up(dataset: Dataset, store: StatisticsStore, advance: Advance) -> Checkup:
    """Run the whole check on labelled photos."""
    scanned = scan_photos(dataset.photos, store, advance)
    if not scanned.photos:
        first, number = scanned.faulty[0].fault.message, len(scanned.faulty)
        msg = f"Expected photos that can be used in {dataset.source}, found none among {number:,}: {first}"
        raise DataError(msg)
    strays, ignored = _strays(dataset)
    scanned = replace(scanned, faulty=(*scanned.faulty, *strays))
    statistics = store.statistics(scanned.sha256s)
    paths, labels = [photo.path for photo in scanned.photos], [photo.label for photo in scanned.photos]
    relations = relate(scanned.photos, scanned.sha256s, store, partial(advance, "Comparing"))
    shown = [place for place, label in enumerate(labels) if label != NONE]  # accidents of other photos tell no class
    guesses = guess_from_accidents(
        statistics.take(pa.array(shown, pa.int64())),  # there may be none
        [paths[place] for place in shown],
        [labels[place] for place in shown],
        relations.families[shown],
        partial(advance, "Guessing"),
    )
    photo_issues = judge(statistics, paths, labels)
    return Checkup(dataset, scanned, tuple(ignored), statistics, photo_issues, relations, tuple(guesses))


def _strays(dataset: Dataset) -> tuple[list[Faulty], list[Exclusion]]:
    faulty, ignored = [], []
    for stray in dataset.excluded:
        fault = stray_fault(stray.path) if stray.reason == "not_an_image" else None
        if fault is None:
            ignored.append(stray)
        else:
            faulty.append(Faulty(LabeledPhoto(stray.path, stray.label, stray.split), fault))
    return faulty, ignored


def scan_photos(photos: Sequence[LabeledPhoto], store: StatisticsStore, advance: Advance) -> ScannedPhotos:
    """Measure the photos that the cache lacks, and divide all into usable ones and others."""
    hashed, unread = hash_photos(photos, partial(advance, "Reading"))
    files = {sha256: photo.path for photo, sha256 in hashed}
    total, counter = sum(map(store.lacks, files)), itertools.count(1)
    if total:  # the time of the first photo counts as well
        advance("Looking", 0, total)
    store.add(files, usable_cores(), lambda: advance("Looking", next(counter), total))
    usable = [(photo, sha256) for photo, sha256 in hashed if store.fault(sha256) is None]
    faults = [(photo, store.fault(sha256)) for photo, sha256 in hashed]
    faulty = [Faulty(photo, fault) for photo, fault in (*unread, *faults) if fault is not None]
    return ScannedPhotos(tuple(photo for photo, _ in usable), tuple(sha256 for _, sha256 in usable), tuple(faulty))
