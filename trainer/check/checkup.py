"""The complete check of labelled photos: each photo, relations between photos, and features that predict classes."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from models.errors import DataError
from models.photo import NONE
from models.process import usable_cores
from trainer.check.relations import Relations, relate
from trainer.check.shortcuts import Guess, guess_from_accidents
from trainer.data.dataset import Dataset, Exclusion, LabeledPhoto
from trainer.data.photo_cache import StatisticsStore
from trainer.data.photo_files import FaultKind, PhotoFault, hash_photos, stray_fault

SMALLEST_SIDE: Final = 64
"""Length of the longer side in pixels. A smaller photo has too little detail for a network of 128 pixels."""

MOST_OF_A_CLASS: Final = 0.5
LEAST_OF_A_CLASS: Final = 8
"""If more than the share ``MOST_OF_A_CLASS`` of a class has an issue, the report lists the class, not its photos.
Classes with fewer than ``LEAST_OF_A_CLASS`` photos are never listed."""

BLURRY: Final = 0.29
SHARP_STEP: Final = 36
BLURRED_STEP: Final = 20
"""Differences in grey level between neighbouring pixels. A photo with a steeper edge than ``SHARP_STEP`` is sharp. A
photo whose edges are all below ``BLURRED_STEP`` is blurred."""

_SAME_FORMAT: Final = {"MPO": "JPEG", "DIB": "BMP"}
_BLUR_SCALE: Final = 0.01
_SPREAD_LIMIT: Final = 0.18
_ENTROPY_SCALE: Final = 0.1
_IQR_FACTOR: Final = 3.0


class Issue(StrEnum):
    """Issues of photos, most serious first. The names are also columns of ``check.csv``."""

    def __new__(cls, value: str, meaning: str) -> Self:
        """``meaning``: the explanation for users."""
        issue = str.__new__(cls, value)
        issue._value_, issue.meaning = value, meaning
        return issue

    meaning: str

    MISSING = "missing", "the file does not exist"
    UNREADABLE = "unreadable", "the file is not an image, is damaged, or cannot be read"
    TRUNCATED = "truncated", "the file ends too early"
    UNSUPPORTED = "unsupported", "the file has a format that Hangtag does not read"
    WRONG_EXTENSION = "wrong_extension", "the file's extension does not match its content"
    LEAK = "leak", "the same picture or product is in an earlier split (order: train, val, test)"
    LABEL_CONFLICT = "label_conflict", "the same picture has two labels"
    PLACEHOLDER = "placeholder", "many rows show this picture, such as 'image not available'"
    EXACT_DUPLICATE = "exact_duplicate", "the same pixels as another photo"
    NEAR_DUPLICATE = "near_duplicate", "a re-saved, resized or slightly cropped copy of another photo"
    TOO_SMALL = "too_small", "less than 64 pixels on its longer side"
    ODD_SIZE = "odd_size", "far larger or smaller than most photos"
    ODD_ASPECT_RATIO = "odd_aspect_ratio", "very wide or very tall"
    DARK = "dark", "hardly any bright pixel"
    LIGHT = "light", "hardly any dark pixel"
    BLURRY = "blurry", "hardly any sharp edge"
    LOW_INFORMATION = "low_information", "nearly one colour"
    ANIMATED = "animated", "several pictures in one file; the first picture is used"
    TRANSPARENT = "transparent", "transparent pixels get a white background"
    EXIF_ROTATED = "exif_rotated", "stored rotated or mirrored; the photo is turned upright"
    CMYK = "cmyk", "printing colours (CMYK); they are converted"
    GREY = "grey", "no colour"


UNUSABLE: Final = (Issue.MISSING, Issue.UNREADABLE, Issue.TRUNCATED, Issue.UNSUPPORTED)
"""Issues of files without a readable picture."""
GRAVE: Final = (*UNUSABLE, Issue.WRONG_EXTENSION, Issue.LEAK, Issue.LABEL_CONFLICT, Issue.PLACEHOLDER)
"""Issues that harm training or its measurements."""

LIMITS: Final[Mapping[Issue, float]] = {
    Issue.ODD_SIZE: 0.5,
    Issue.ODD_ASPECT_RATIO: 0.35,
    Issue.DARK: 0.32,
    Issue.LIGHT: 0.05,
    Issue.BLURRY: BLURRY,
    Issue.LOW_INFORMATION: 0.3,
    Issue.TOO_SMALL: 1.0,
}
"""A photo has an issue if its score is below the limit. Scores of all other issues are 0 or 1."""

Scores = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PhotoIssues:
    """The issues of single photos. Every array has one value per photo. Scores go from 0 (worst) to 1.

    ``properties``: for each class, the issues that more than half of its photos have, and their shares. ``flags``
    omits these issues.
    """

    scores: Mapping[Issue, Scores]
    flags: Mapping[Issue, Flags]
    properties: Mapping[str, Mapping[Issue, float]]


def judge(statistics: pa.Table, paths: Sequence[Path], labels: Sequence[str]) -> PhotoIssues:
    """Find the issues of each photo from its statistics, path and class."""
    seen = {name: statistics[name].to_numpy(zero_copy_only=False) for name in statistics.column_names}
    scores = {**_graded(seen), **{issue: 1.0 - share for issue, share in _plain(seen, paths).items()}}
    all_flags = {issue: score < LIMITS.get(issue, 1.0) for issue, score in scores.items()}
    properties: dict[str, dict[Issue, float]] = {}
    named = np.array(labels, object)
    for label in sorted(set(labels)):
        members = named == label
        for issue, flags in all_flags.items():
            share = float(flags[members].mean())
            if share > MOST_OF_A_CLASS and members.sum() >= LEAST_OF_A_CLASS:
                properties.setdefault(label, {})[issue] = round(share, 4)
                flags[members] = False
    return PhotoIssues(scores, all_flags, properties)


def _graded(seen: Mapping[str, npt.NDArray[Any]]) -> dict[Issue, Scores]:
    width, height = (seen[name].astype(np.float64) for name in ("width", "height"))
    sharp, blurred = (seen["steepest"] / step * BLURRY for step in (SHARP_STEP, BLURRED_STEP))
    # cleanvision's blur score, which misses edges between colours of equal brightness
    edges, spread = (1 - np.exp(-_BLUR_SCALE * seen[name]) for name in ("edges", "histogram_spread"))
    edginess = edges + np.where(spread > _SPREAD_LIMIT, spread, 0.0)
    return {
        Issue.ODD_SIZE: _usualness(np.sqrt(width * height)),
        Issue.ODD_ASPECT_RATIO: np.minimum(width / height, height / width),
        Issue.DARK: seen["brightness_99"].astype(np.float64),
        Issue.LIGHT: 1 - seen["brightness_5"].astype(np.float64),
        Issue.BLURRY: np.minimum(1.0, np.minimum(blurred, np.maximum(sharp, edginess))),
        Issue.LOW_INFORMATION: np.minimum(1.0, _ENTROPY_SCALE * seen["entropy"].astype(np.float64)),
        Issue.TOO_SMALL: np.minimum(1.0, np.maximum(width, height) / SMALLEST_SIDE),
    }


def _usualness(sizes: Scores) -> Scores:
    """Score each size from 0 (unusual) to 1 (typical)."""
    if not len(sizes):
        return sizes
    low, high = np.percentile(sizes, [25, 75])
    middle = (low + high) / 2
    # high - low may be 0
    breadth = max((high - low) * (1 + 2 * _IQR_FACTOR), middle)
    usualness: Scores = 1 - np.minimum(1.0, np.abs(sizes - middle) / breadth)
    return usualness


def _plain(seen: Mapping[str, npt.NDArray[Any]], paths: Sequence[Path]) -> dict[Issue, Flags]:
    differs = []
    for path, stored in zip(paths, seen["format"], strict=True):  # a name without an extension is fine
        named = Image.registered_extensions().get(path.suffix.lower(), "")
        differs.append(bool(path.suffix) and _SAME_FORMAT.get(named, named) != _SAME_FORMAT.get(stored, stored))
    return {
        Issue.WRONG_EXTENSION: np.array(differs, bool),
        Issue.ANIMATED: seen["animated"].astype(bool),
        Issue.TRANSPARENT: seen["transparent"].astype(bool),
        Issue.EXIF_ROTATED: seen["orientation"] > 1,
        Issue.CMYK: np.isin(seen["mode"].astype(str), ["CMYK", "YCCK"]),
        Issue.GREY: seen["grey"].astype(bool),
    }


Advance = Callable[[str, int, int], None]
"""Progress callback: (step, done, total)."""


@dataclass(frozen=True)
class Faulty:
    """An unusable file, and the reason."""

    photo: LabeledPhoto
    fault: PhotoFault

    @property
    def issue(self) -> Issue:
        """The file's issue, by default ``unreadable``."""
        named = {FaultKind.MISSING, FaultKind.TRUNCATED, FaultKind.UNSUPPORTED, FaultKind.WRONG_EXTENSION}
        return Issue[self.fault.kind.name] if self.fault.kind in named else Issue.UNREADABLE


@dataclass(frozen=True)
class ScannedPhotos:
    """The usable photos, the SHA-256 of their files, and the faulty files."""

    photos: tuple[LabeledPhoto, ...]
    sha256s: tuple[str, ...]
    faulty: tuple[Faulty, ...]


@dataclass(frozen=True)
class Checkup:
    """The results of :func:`check_up`. Arrays have one value per photo in ``scanned.photos``; positions index it."""

    dataset: Dataset
    scanned: ScannedPhotos
    ignored: tuple[Exclusion, ...]
    statistics: pa.Table
    photo_issues: PhotoIssues
    relations: Relations
    guesses: tuple[Guess, ...]

    @cached_property
    def scores(self) -> Mapping[Issue, Scores]:
        """The scores of each issue, from 0 (worst) to 1."""
        relations = self.relations
        places_of = {
            Issue.PLACEHOLDER: itertools.chain(*relations.placeholders),
            Issue.EXACT_DUPLICATE: itertools.chain(*relations.exact),
            Issue.LABEL_CONFLICT: itertools.chain(*relations.conflicts),
            Issue.LEAK: (leak.photo for leak in relations.leaks),
        }
        related = {issue: self._all_but(places) for issue, places in places_of.items()}
        return {**related, Issue.NEAR_DUPLICATE: self._near_scores(), **self.photo_issues.scores}

    @cached_property
    def flags(self) -> Mapping[Issue, Flags]:
        """Whether each photo has the issue."""
        return {**{issue: scores < 1 for issue, scores in self.scores.items()}, **self.photo_issues.flags}

    @cached_property
    def faulty(self) -> Mapping[Issue, Sequence[Faulty]]:
        """The faulty files, by issue."""
        faulty: defaultdict[Issue, list[Faulty]] = defaultdict(list)
        for one in self.scanned.faulty:
            faulty[one.issue].append(one)
        return dict(faulty)

    def count(self, issue: Issue) -> int:
        """Number of photos and files with an issue."""
        return len(self.places(issue)) + len(self.faulty.get(issue, ()))

    def places(self, issue: Issue) -> list[int]:
        """The photos with an issue, worst first."""
        if issue not in self.flags:
            return []
        flagged = np.flatnonzero(self.flags[issue])
        order = np.argsort(self.scores[issue][flagged], kind="stable")
        return [int(place) for place in flagged[order]]

    @property
    def outliers(self) -> int:
        """Number of usable photos with the label ``_none``."""
        return sum(photo.label == NONE for photo in self.scanned.photos)

    @cached_property
    def twins(self) -> Mapping[int, int]:
        """Maps each duplicate or leaked photo to a photo of the same picture or product, by position."""
        photos, relations, twins = self.scanned.photos, self.relations, dict[int, int]()
        for pair in sorted(relations.near, key=lambda pair: pair.likeness):
            twins.update({pair.first: pair.second, pair.second: pair.first})
        for group in relations.exact:
            twins.update({place: group[0] if place != group[0] else group[1] for place in group})
        for group in relations.conflicts:
            for place in group:
                twins[place] = next(other for other in group if photos[other].label != photos[place].label)
        # a leak is more serious than a duplicate
        return {**twins, **{leak.photo: leak.twin for leak in relations.leaks}}

    def _all_but(self, places: Iterable[int]) -> Scores:
        scores = np.ones(len(self.scanned.photos))
        scores[list(places)] = 0
        return scores

    def _near_scores(self) -> Scores:
        scores = self._all_but(())
        for pair in self.relations.near:
            for place in (pair.first, pair.second):
                scores[place] = min(scores[place], max(0.0, 1 - pair.likeness), 0.9999)
        for group in self.relations.exact:
            scores[list(group)] = scores[list(group)].min()
        return scores


def check_up(dataset: Dataset, store: StatisticsStore, advance: Advance) -> Checkup:
    """Run the complete check on labelled photos."""
    scanned = scan_photos(dataset.photos, store, advance)
    if not scanned.photos:
        first, number = scanned.faulty[0].fault.message, len(scanned.faulty)
        msg = f"Expected usable photos in {dataset.source}, found none among {number:,}: {first}"
        raise DataError(msg)
    strays, ignored = _strays(dataset)
    scanned = replace(scanned, faulty=(*scanned.faulty, *strays))
    statistics = store.statistics(scanned.sha256s)
    paths, labels = [photo.path for photo in scanned.photos], [photo.label for photo in scanned.photos]
    relations = relate(scanned.photos, scanned.sha256s, store, partial(advance, "Comparing"))
    shown = [place for place, label in enumerate(labels) if label != NONE]
    guesses = guess_from_accidents(
        statistics.take(pa.array(shown, pa.int64())),  # a typed array, because the list may be empty
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
    """Measure the photos that are not in the cache, and separate usable photos from faulty files."""
    hashed, unread = hash_photos(photos, partial(advance, "Reading"))
    files = {sha256: photo.path for photo, sha256 in hashed}
    total, counter = sum(map(store.lacks, files)), itertools.count(1)
    if total:
        advance("Looking", 0, total)
    store.add(files, usable_cores(), lambda: advance("Looking", next(counter), total))
    usable = [(photo, sha256) for photo, sha256 in hashed if store.fault(sha256) is None]
    faults = [(photo, store.fault(sha256)) for photo, sha256 in hashed]
    faulty = [Faulty(photo, fault) for photo, fault in (*unread, *faults) if fault is not None]
    return ScannedPhotos(tuple(photo for photo, _ in usable), tuple(sha256 for _, sha256 in usable), tuple(faulty))
