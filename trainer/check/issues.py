"""Issues of single photos, with cleanvision's names, scores and limits where it has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

SMALLEST_SIDE: Final = 64
"""Pixels of the longer side; a smaller photo shows too little for a network of 128 pixels."""

MOST_OF_A_CLASS: Final = 0.5
LEAST_OF_A_CLASS: Final = 8
"""In a class of at least this many photos, an issue that more than half of them have is a property of the class."""

BLURRY: Final = 0.29
SHARP_STEP: Final = 36
BLURRED_STEP: Final = 20
"""Steps between pixels: a photo that has steeper ones than the former is sharp, however few edges it has; one that has
none of the latter is blurred, by three pixels at 500 or more."""

_SAME_FORMAT: Final = {"MPO": "JPEG", "DIB": "BMP"}
_BLUR_SCALE: Final = 0.01
_SPREAD_LIMIT: Final = 0.18
_ENTROPY_SCALE: Final = 0.1
_IQR_FACTOR: Final = 3.0


class Issue(StrEnum):
    """What may be wrong with a photo, the most serious first; the names are those of the columns of ``check.csv``."""

    def __new__(cls, value: str, meaning: str) -> Self:
        """Of a name, and what it means."""
        issue = str.__new__(cls, value)
        issue._value_, issue.meaning = value, meaning
        return issue

    meaning: str

    MISSING = "missing", "no file has this name"
    UNREADABLE = "unreadable", "it is not an image, is damaged, or cannot be read"
    TRUNCATED = "truncated", "the file ends too early"
    UNSUPPORTED = "unsupported", "a file in none of the formats that Hangtag reads"
    WRONG_EXTENSION = "wrong_extension", "its name says another format than its content"
    LEAK = "leak", "the same picture or product is in a split that is learned from"
    LABEL_CONFLICT = "label_conflict", "the same picture has two labels"
    PLACEHOLDER = "placeholder", "one picture under many rows: an 'image not available'"
    EXACT_DUPLICATE = "exact_duplicate", "the same pixels as another photo"
    NEAR_DUPLICATE = "near_duplicate", "another photo saved again, resized or cropped a little"
    TOO_SMALL = "too_small", "less than 64 pixels at its longer side"
    ODD_SIZE = "odd_size", "far larger or smaller than most"
    ODD_ASPECT_RATIO = "odd_aspect_ratio", "very wide or very high"
    DARK = "dark", "hardly any bright pixel"
    LIGHT = "light", "hardly any dark pixel"
    BLURRY = "blurry", "hardly any sharp edge"
    LOW_INFORMATION = "low_information", "nearly one colour"
    ANIMATED = "animated", "several pictures in one file; the first is used"
    TRANSPARENT = "transparent", "some pixels are transparent; white is put behind them"
    EXIF_ROTATED = "exif_rotated", "stored turned or mirrored; it is turned upright"
    CMYK = "cmyk", "printing colours; they are converted"
    GREY = "grey", "no colour"


UNUSABLE: Final = (Issue.MISSING, Issue.UNREADABLE, Issue.TRUNCATED, Issue.UNSUPPORTED)
"""Issues of files that have no picture to show."""
GRAVE: Final = (*UNUSABLE, Issue.WRONG_EXTENSION, Issue.LEAK, Issue.LABEL_CONFLICT, Issue.PLACEHOLDER)
"""Issues that spoil what is learned, or what is measured."""

LIMITS: Final[Mapping[Issue, float]] = {
    Issue.ODD_SIZE: 0.5,
    Issue.ODD_ASPECT_RATIO: 0.35,
    Issue.DARK: 0.32,
    Issue.LIGHT: 0.05,
    Issue.BLURRY: BLURRY,
    Issue.LOW_INFORMATION: 0.3,
    Issue.TOO_SMALL: 1.0,
}
"""A score below its limit is an issue; the scores of other issues are 0 or 1."""

Scores = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PhotoIssues:
    """The issues of some photos by themselves; every array has a value a photo, scores go from 0, the worst, to 1.

    Properties are class → issue → share of the class, if more than half: such an issue is flagged for none of it.
    """

    scores: Mapping[Issue, Scores]
    flags: Mapping[Issue, Flags]
    properties: Mapping[str, Mapping[Issue, float]]


def judge(statistics: pa.Table, paths: Sequence[Path], labels: Sequence[str]) -> PhotoIssues:
    """Judge each photo by itself, by a row of statistics, its path and its class."""
    seen = {name: statistics[name].to_numpy(zero_copy_only=False) for name in statistics.column_names}
    scores = {**_graded(seen), **{issue: 1.0 - found for issue, found in _plain(seen, paths).items()}}
    found = {issue: score < LIMITS.get(issue, 1.0) for issue, score in scores.items()}
    properties: dict[str, dict[Issue, float]] = {}
    named = np.array(labels, object)
    for label in sorted(set(labels)):
        members = named == label
        for issue, flags in found.items():
            share = float(flags[members].mean())
            if share > MOST_OF_A_CLASS and members.sum() >= LEAST_OF_A_CLASS:
                properties.setdefault(label, {})[issue] = round(share, 4)
                flags[members] = False
    return PhotoIssues(scores, found, properties)


def _graded(seen: Mapping[str, npt.NDArray[Any]]) -> dict[Issue, Scores]:
    width, height = (seen[name].astype(np.float64) for name in ("width", "height"))
    sharp, blurred = (seen["steepest"] / step * BLURRY for step in (SHARP_STEP, BLURRED_STEP))
    # cleanvision's score of blur, which sees no edge between two colours as light as each other
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
    """1 in the middle of the usual sizes, one half where these end: three times the quartiles' distance beyond them."""
    if not len(sizes):
        return sizes
    low, high = np.percentile(sizes, [25, 75])
    middle = (low + high) / 2
    breadth = max((high - low) * (1 + 2 * _IQR_FACTOR), middle)  # where nearly all are of one size, half of it at least
    usualness: Scores = 1 - np.minimum(1.0, np.abs(sizes - middle) / breadth)
    return usualness


def _plain(seen: Mapping[str, npt.NDArray[Any]], paths: Sequence[Path]) -> dict[Issue, Flags]:
    differs = []
    for path, stored in zip(paths, seen["format"], strict=True):  # a name without a suffix says nothing
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
