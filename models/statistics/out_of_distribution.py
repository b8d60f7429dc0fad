"""The out-of-distribution score of a photo: the higher the score, the less the photo looks like the products.

The score is the distance of the features from the nearest class mean (Mahalanobis: Lee et al., 2018,
https://arxiv.org/abs/1807.03888), minus their distance from the mean of all photos (relative: Ren et al., 2021,
https://arxiv.org/abs/2106.09022). The mean includes known photos without a product (outliers). So a new photo that
looks like an outlier has a high score: it is far from all class means, and nearer to the mean of all photos. Learning
from outliers is called outlier exposure (Hendrycks et al., 2019, https://arxiv.org/abs/1812.04606). Hangtag uses
outliers only for the score, not to train the network.

The score is fitted on the training photos. The limit is set on product photos that the network was not trained on,
because such photos have higher scores than training photos.
"""

import math
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Self

import numpy as np
import numpy.typing as npt

from models.errors import InputError
from models.statistics.confidence import UnknownLimit

KEPT: Final = 0.95
"""Share of product photos that stay within the limit."""
_DIRECTIONS: Final = 512
"""Number of principal directions in which features are compared. This number limits the size of the stored arrays."""
_SHRINKAGE: Final = 0.2
_CELLS_AT_ONCE: Final = 4_000_000
SHORTEST: Final = 1e-12
"""Feature vectors are divided by their length, or by this value if they are shorter."""
_SMALLEST_SHARE: Final = 0.01
_SMALLEST: Final = 1e-6
"""The smallest variance along a direction, for features of length 1. Smaller variances are float32 rounding errors."""
_LEAST_SIZE: Final = 0.01
_OUTLIERS_WEIGH: Final = 0.2
"""The largest total weight of the outliers. With a larger weight, fewer outliers of unknown kinds are detected."""
_HALF_OF_THAT: Final = 20
"""With this number of outliers, their total weight is half of ``_OUTLIERS_WEIGH``."""
_ARRAYS: Final = ("mean", "within", "centres", "overall")

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class DistanceHead:
    """The distance of features to the nearest class.

    With ``u = f / max(|f|, 1e-12)`` and ``g = u - mean``, the score is the minimum of ``|g within - centres[c]|²`` over
    the classes c, minus ``|g overall|²``.

    Attributes:
        mean: mean of all features, outliers included, ``float32 (D,)``.
        within: whitens features relative to their class mean, ``float32 (D, K)``.
        centres: the whitened mean of each class that has photos, ``float32 (classes, K)``.
        overall: whitens all features together, ``float32 (D, K)``; ``(D, 0)`` if the distance is not relative.
    """

    mean: npt.NDArray[np.float32]
    within: npt.NDArray[np.float32]
    centres: npt.NDArray[np.float32]
    overall: npt.NDArray[np.float32]

    def score(self, features: Floats) -> npt.NDArray[np.float32]:
        """The out-of-distribution scores of features ``(n, D)``, ``float32 (n,)``."""
        step = max(1, _CELLS_AT_ONCE // max(self.centres.shape))
        parts = [self._score(features[start : start + step]) for start in range(0, len(features), step)]
        return np.concatenate([np.empty(0), *parts]).astype(np.float32)

    def _score(self, features: Floats) -> npt.NDArray[np.float64]:
        offsets = _unit(features) - self.mean
        points, centres = offsets @ self.within, self.centres.astype(np.float64)
        nearest = ((centres**2).sum(axis=1) - 2 * points @ centres.T).min(axis=1) + (points**2).sum(axis=1)
        background: npt.NDArray[np.float64] = ((offsets @ self.overall) ** 2).sum(axis=1)
        return np.asarray(nearest - background)

    def write(self, file: BinaryIO) -> None:
        """Write the arrays as npz."""
        np.savez(file, **{name: getattr(self, name) for name in _ARRAYS})

    @classmethod
    def read(cls, file: BinaryIO) -> Self:
        """Read a file of :meth:`write`. Raises InputError."""
        try:
            with np.load(file, allow_pickle=False) as arrays:
                head = cls(*(arrays[name] for name in _ARRAYS))
        except (OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            msg = f"Expected an out-of-distribution score, but unknown.npz is damaged ({error}); train again."
            raise InputError(msg) from error
        head._check()
        return head

    def _check(self) -> None:
        arrays = (self.mean, self.within, self.centres, self.overall)
        shapes = tuple(array.shape for array in arrays)
        match shapes:
            case ((size,), (inner, kept), (classes, across), (outer, _)):
                fits = size == inner == outer and kept == across and classes > 0
            case _:
                fits = False
        if not fits or any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays):
            msg = f"Expected finite float32 arrays that fit each other in unknown.npz, got {shapes}; train again."
            raise InputError(msg)


def fit_distance(
    features: Floats, labels: npt.NDArray[np.integer], outliers: Floats | None = None, *, relative: bool = True
) -> DistanceHead:
    """Fit the distance on the features of product photos and of outliers, if any.

    The covariances are shrunk towards a multiple of the identity. So the covariances can be inverted even with fewer
    rows than features.

    ``features (n, D)``: photos of known classes, at least one. ``labels (n,)``: class indices. ``outliers (m, D)``:
    photos without a product. ``relative``: whether the distance from the mean of all photos is subtracted.
    """
    unit = _unit(features if outliers is None else np.concatenate([features, outliers]))
    count, strange = len(features), len(unit) - len(features)
    share = _OUTLIERS_WEIGH * strange / (strange + _HALF_OF_THAT)
    weights = np.repeat([(1 - share) / count, share / max(1, strange)], [count, strange])
    mean = (weights @ unit).astype(np.float32)
    offsets = unit - mean
    overall = (offsets * weights[:, None]).T @ offsets
    directions = _main_directions(overall)
    points = offsets @ directions
    _, classes = np.unique(labels, return_inverse=True)
    centres = _class_means(points[:count], classes)
    residuals = points[:count] - centres[classes]
    spread = max(float(np.trace(overall)) / directions.shape[1], 1e-9)
    within = directions @ _whitening(residuals, count - len(centres), spread)
    scaled = points * np.sqrt(weights * len(unit))[:, None]
    background = directions @ _whitening(scaled, len(unit) - 1, spread) if relative else np.empty((len(mean), 0))
    return DistanceHead(
        mean=mean,
        within=within.astype(np.float32),
        centres=(centres @ directions.T @ within).astype(np.float32),
        overall=background.astype(np.float32),
    )


@dataclass(frozen=True)
class OutOfDistribution:
    """A fitted out-of-distribution score and its limit. A photo above the limit probably shows no known product."""

    head: DistanceHead
    limit: float

    @property
    def unknown(self) -> UnknownLimit:
        """The limit, as stored in the model."""
        return UnknownLimit(score="distance", limit=self.limit, kept=KEPT)


def fit_out_of_distribution(
    learned: npt.NDArray[np.float32],
    labels: npt.NDArray[np.intp],
    held: npt.NDArray[np.float32],
    outliers: npt.NDArray[np.float32] | None = None,
) -> OutOfDistribution:
    """Fit the score and its limit, on features ``float32 (n, D)``.

    The network was trained on the photos of ``learned``, whose class indices are ``labels``. ``outliers`` show no
    product. The limit is set on ``held``, product photos that the network was not trained on.
    """
    head = fit_distance(learned, labels, outliers)
    return OutOfDistribution(head, unknown_limit(head.score(held)))


def unknown_limit(scores: npt.NDArray[np.floating], kept: float = KEPT) -> float:
    """The score of a new product photo is within this limit with a probability of at least ``kept``.

    The limit is the ``ceil((n + 1) kept)``-th smallest of n scores, the quantile of conformal prediction (Vovk et al.,
    2005). With fewer than 19 scores (for 0.95), the limit is the largest score, without this guarantee. ``scores``: not
    empty, from product photos that were not used to train the network or the score.
    """
    return float(np.sort(scores)[_rank(len(scores), kept) - 1])


def expected_within(rows: int, kept: float = KEPT) -> float:
    """The expected share of new product photos within an :func:`unknown_limit` of ``rows`` scores."""
    return _rank(rows, kept) / (rows + 1)


def _rank(rows: int, kept: float) -> int:
    return min(rows, math.ceil((rows + 1) * kept - 1e-9))


def _unit(features: Floats) -> npt.NDArray[np.float64]:
    double = features.astype(np.float64)
    return np.asarray(double / np.maximum(np.linalg.norm(double, axis=1, keepdims=True), SHORTEST))


def _main_directions(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scipy.linalg import eigh

    size = len(covariance)
    _, vectors = eigh(covariance, subset_by_index=(max(0, size - _DIRECTIONS), size - 1))
    return np.asarray(vectors)


def _class_means(points: npt.NDArray[np.float64], classes: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    sums = np.zeros((classes.max() + 1, points.shape[1]))
    np.add.at(sums, classes, points)
    return np.asarray(sums / np.bincount(classes)[:, None])


def _whitening(points: npt.NDArray[np.float64], freedom: int, spread: float) -> npt.NDArray[np.float64]:
    """A square root ``(K, K)`` of the inverse covariance of points ``(n, K)``, whose mean is taken as 0.

    ``freedom`` is the number of degrees of freedom. ``spread``, above 0, sets the smallest variance.
    """
    from scipy.linalg import eigh

    size = points.shape[1]
    covariance = points.T @ points / max(1, freedom)
    share = max(_SHRINKAGE, size / (size + max(0, freedom)))
    ball = max(float(np.trace(covariance)) / size, _SMALLEST_SHARE * spread, _SMALLEST)
    values, vectors = eigh((1 - share) * covariance + share * ball * np.eye(size))
    return np.asarray(vectors / np.sqrt(values))


def relative_difference(
    expected: npt.NDArray[np.floating[Any]], got: npt.NDArray[np.floating[Any]], limit: float
) -> npt.NDArray[np.float64]:
    """Relative differences of out-of-distribution scores ``(n,)``; infinity for NaN.

    A difference is divided by ``max(|expected|, |limit|, median(|expected|), 0.01)``, because some scores are near 0.
    """
    if not len(expected):
        return np.zeros(0)
    size = np.abs(expected.astype(np.float64))
    size = np.maximum(size, max(abs(limit), float(np.median(size)), _LEAST_SIZE))
    with np.errstate(invalid="ignore"):  # infinity - infinity is NaN
        difference = np.abs(expected.astype(np.float64) - got) / size
    return np.where(np.isfinite(difference), difference, np.inf)
