"""Shortcuts: accidental features, such as size or background, that predict the class.

A network would learn these features instead of the product. A small model is cross-validated on each feature alone,
then on all features.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import binom
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from models.text import brief

TOGETHER: Final = "the combination of size, shape, format and border"
MOST_PHOTOS: Final = 20_000
FOLDS: Final = 5
LEAST_PHOTOS: Final = 50
LEAST_GAIN: Final = 0.1
LEAST_SHARE: Final = 0.25
LEAST_SHARE_OF_PAIR: Final = 0.5
"""The baseline always guesses the most frequent class. A shortcut gains at least ``LEAST_GAIN`` in accuracy. It also
corrects at least the share ``LEAST_SHARE`` of the baseline's errors (for a pair of classes, ``LEAST_SHARE_OF_PAIR``).
The gain must be statistically significant.
"""

_ERRORS: Final = 3.0
"""Chance does not explain a gain of more than this many standard errors."""
_CHANCE_OF_PAIR: Final = 0.001
"""A pair of classes is named only if its p-value (Bonferroni) is below this limit."""
_NEVER_THE_PRODUCT: Final = frozenset({"file format", "file extension", "pixel format", "EXIF", "width", "height"})
"""A pair of classes is named only for these features, which do not depend on the product. Among many pairs, the
products' colours or shapes always distinguish some."""

_SEED: Final = 0
_MOST_CLASSES: Final = 100
_TREES: Final = 40
_LEAVES: Final = 512

Matrix = npt.NDArray[Any]


@dataclass(frozen=True)
class Guess:
    """The cross-validated accuracy of guessing the class from one accidental feature.

    ``majority`` is the accuracy of always guessing the most frequent class. ``pair``: the two classes that the
    feature distinguishes best. ``pair_stands_out``: whether ``pair_accuracy`` is due to neither chance nor the product.
    """

    feature: str
    accuracy: float
    majority: float
    is_shortcut: bool
    pair: tuple[str, str]
    pair_accuracy: float
    pair_majority: float
    classes: int
    pair_stands_out: bool = False

    def sentence(self) -> str:
        """The result in words."""
        one, other = map(brief, self.pair)
        pair = f"distinguishes {one} from {other} in {self.pair_accuracy:.0%} (by chance: {self.pair_majority:.0%})"
        every = f"guesses the class of {self.accuracy:.0%} of the photos (by chance: {self.majority:.0%})"
        if self.classes == len(self.pair):
            every = pair
        elif self.pair_stands_out:
            every = f"{every}, and {pair}" if self.accuracy - self.majority >= LEAST_GAIN else pair
        alone = "" if self.feature == TOGETHER else " alone"
        return f"{self.feature}{alone} {every}: the network may learn this instead of the product"


def guess_from_accidents(
    statistics: pa.Table,
    paths: Sequence[Path],
    labels: Sequence[str],
    groups: Matrix,
    on_feature: Callable[[int, int], None] = lambda done, total: None,
) -> list[Guess]:
    """Guess the classes from each feature alone, and from all features together.

    ``groups``: copies of one image have the same number. The order of the photos does not affect the result. Returns
    the best guess first. Returns no guess if there are too few photos, groups or classes.
    """
    if not paths:
        return []
    places = sorted(range(len(paths)), key=lambda place: str(paths[place]))
    statistics, paths, labels = statistics.take(places), [paths[p] for p in places], [labels[p] for p in places]
    _, first, groups = np.unique(groups[places], return_index=True, return_inverse=True)
    groups = first[groups]
    chosen = np.sort(np.random.default_rng(_SEED).permutation(len(labels))[:MOST_PHOTOS])
    named = np.array(labels, object)[chosen]
    counts = Counter(named.tolist())
    common = {label for label, count in counts.most_common(_MOST_CLASSES) if count >= FOLDS}
    kept = np.array([label in common for label in named], bool)
    chosen, named = chosen[kept], named[kept]
    if len(named) < LEAST_PHOTOS or len(common) < 2 or len(set(groups[chosen].tolist())) < FOLDS:  # noqa: PLR2004
        return []
    features = {name: matrix[chosen] for name, matrix in _features(statistics, paths).items()}
    varied = {name: matrix for name, matrix in features.items() if (matrix != matrix[0]).any()}
    if len(varied) > 1:
        varied[TOGETHER] = np.concatenate(list(varied.values()), axis=1)
    with warnings.catch_warnings(action="ignore"):  # scikit-learn warns of classes with fewer groups than folds
        splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=_SEED)
        folds = list(splitter.split(named, named, groups[chosen]))
    guesses = []
    for done, (name, matrix) in enumerate(varied.items(), start=1):
        guesses.append(_guess(name, matrix, named, groups[chosen], folds))
        on_feature(done, len(varied))
    return sorted(guesses, key=lambda guess: -guess.accuracy)


def _features(statistics: pa.Table, paths: Sequence[Path]) -> dict[str, Matrix]:
    seen = {name: statistics[name].to_numpy(zero_copy_only=False) for name in statistics.column_names}
    pixels = seen["width"] * seen["height"]
    border = np.stack([seen[f"border_{colour}"] for colour in ("red", "green", "blue")], axis=1)
    return {
        "file format": _numbered(seen["format"]),
        "file extension": _numbered(np.array([path.suffix.lower() for path in paths], object)),
        "pixel format": _numbered(seen["mode"]),
        "width": seen["width"][:, None],
        "height": seen["height"][:, None],
        "aspect ratio": (seen["width"] / seen["height"])[:, None],
        "file size": seen["bytes"][:, None],
        "bytes per pixel": (seen["bytes"] / pixels)[:, None],
        "EXIF": np.stack([seen["exif"], seen["orientation"]], axis=1).astype(float),
        "border colour": border,
    }


def _numbered(values: Matrix) -> Matrix:
    """One-hot encode the values, so that a tree can split on any of them."""
    columns: Matrix = (values[:, None] == np.unique(values.astype(str))[None, :]).astype(float)
    return columns


def _guess(name: str, features: Matrix, labels: Matrix, groups: Matrix, folds: list[tuple[Matrix, Matrix]]) -> Guess:
    if name == TOGETHER:
        model = ExtraTreesClassifier(_TREES, min_samples_leaf=3, max_leaf_nodes=_LEAVES, random_state=_SEED, n_jobs=-1)
    else:
        model = DecisionTreeClassifier(min_samples_leaf=max(5, len(labels) // 200), random_state=_SEED)
    classes = np.unique(labels)
    with warnings.catch_warnings(action="ignore"):  # scikit-learn warns of classes without training photos in a fold
        shares = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")
    accuracy = float((classes[shares.argmax(1)] == labels).mean())
    majority = float(max(Counter(labels.tolist()).values()) / len(labels))
    pair, pair_accuracy, pair_majority, pictures = _best_pair(shares, labels, groups, classes)
    pairs = len(classes) * (len(classes) - 1) // 2
    stands_out = name in _NEVER_THE_PRODUCT and _is_more(pair_accuracy, pair_majority, pictures, pairs)
    gain, error = accuracy - majority, (majority * (1 - majority) / len(labels)) ** 0.5
    is_shortcut = stands_out or gain >= max(LEAST_GAIN, LEAST_SHARE * (1 - majority), _ERRORS * error)
    figures, of_pair = (round(accuracy, 4), round(majority, 4)), (round(pair_accuracy, 4), round(pair_majority, 4))
    return Guess(name, *figures, is_shortcut, pair, *of_pair, len(classes), stands_out)


def _is_more(accuracy: float, majority: float, pictures: int, pairs: int) -> bool:
    by_chance = pairs * float(binom.sf(int(accuracy * pictures) - 1, pictures, majority))
    gain = accuracy - majority
    return by_chance < _CHANCE_OF_PAIR and gain >= LEAST_GAIN and gain >= LEAST_SHARE_OF_PAIR * (1 - majority)


def _best_pair(
    shares: Matrix, labels: Matrix, groups: Matrix, classes: Matrix
) -> tuple[tuple[str, str], float, float, int]:
    members = [np.flatnonzero(labels == name) for name in classes]
    pairs = []
    for one, other in combinations(range(len(classes)), 2):
        first, second = members[one], members[other]
        right = (shares[first, one] >= shares[first, other]).sum() + (shares[second, one] < shares[second, other]).sum()
        count = len(first) + len(second)
        accuracy, majority = float(right) / count, max(len(first), len(second)) / count
        pairs.append((accuracy - majority, one, other, accuracy, majority))
    _, one, other, accuracy, majority = max(pairs)
    pictures = len({*groups[members[one]].tolist(), *groups[members[other]].tolist()})
    return (str(classes[one]), str(classes[other])), accuracy, majority, pictures
