"""Compares an edge graph with Python preprocessing on photo files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from exporter.cost import Drop, drop
from models.classifier import Classifier, EdgeModel
from models.decision import Scores
from models.errors import ImageError
from models.fit import Decode
from models.preprocess import preprocess, whole_pixels

_NEAR_TIE: Final = 0.02
"""The order of two classes may change if their probabilities differ by at most this value."""
_FEW: Final = 500
"""With fewer photos than this, one photo with a near-tie may change its label."""
_MEAN: Final = 0.005
"""The largest allowed mean change of a probability. A graph with the wrong ``fit`` changes probabilities by 0.02 on
average. ``whole_pixels`` converts colours before the resize, which changes probabilities by 0.0001."""
_LABELS: Final = 0.998
_SURE: Final = 0.995


@dataclass(frozen=True)
class Flip:
    """A photo that the edge graph labels differently.

    ``margin``: difference of the photo's two highest probabilities.
    """

    index: int
    expected: str
    got: str
    margin: float


@dataclass(frozen=True)
class EdgeParity:
    """The differences between an edge graph and the same model with Python preprocessing.

    For ``own_flips``, ``sure``, ``sure_flips`` and ``cost``, Python decodes photos as in training (usually
    with ``dct``). Otherwise, Python decodes photos in full.

    Attributes:
        passed_over: number of undecodable photos.
        largest, mean: absolute difference of the probabilities. Not a finite number if a probability is NaN.
        near_ties: number of photos whose two highest probabilities differ by at most 0.02.
        flips, own_flips: changed labels.
        sure: number of photos that the model or the edge graph labels without review.
        crossed: number of out-of-distribution scores that cross the limit.
        cost: loss of accuracy, or None without labels.
        max_drop: points of accuracy that may be lost.
    """

    photos: int
    passed_over: int
    largest: float
    mean: float
    near_ties: int
    flips: tuple[Flip, ...]
    own_flips: tuple[Flip, ...]
    sure: int
    sure_flips: tuple[Flip, ...]
    crossed: int
    cost: Drop | None
    max_drop: float

    @property
    def agreement(self) -> float:
        """Share of photos that are not in ``flips``."""
        return _share(self.photos, self.flips)

    @property
    def own_agreement(self) -> float:
        """Share of photos that are not in ``own_flips``."""
        return _share(self.photos, self.own_flips)

    @property
    def sure_agreement(self) -> float:
        """Share of ``sure`` photos that are not in ``sure_flips``."""
        return _share(self.sure, self.sure_flips)

    @property
    def passed(self) -> bool:
        """Whether the edge graph may be published."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons not to publish the edge graph. A loss counts if it exceeds ``max_drop`` with 95% confidence."""
        one_tie = self.photos < _FEW and len(self.flips) == 1 and self.flips[0].margin <= _NEAR_TIE
        points, low = (0.0, -np.inf) if self.cost is None else (self.cost.points, self.cost.points_95[0])
        too_much = (
            f"{points:.1f} points of accuracy are lost, at least {low:.1f} with 95% confidence "
            "(allow more with --max-drop, or train with --decode full)"
        )
        few_crossed = max(1.0, (1.0 - _LABELS) * self.photos)
        faults = {
            "no photo could be decoded": not self.photos,
            "a probability is NaN or infinite": self.photos > 0 and not np.isfinite(self.largest),
            f"probabilities differ by {self.mean:.2g} on average": self.photos > 0 and self.mean > _MEAN,
            f"{len(self.flips)} of {self.photos} labels differ from labels with decode=full": self.agreement < _LABELS
            and not one_tie,
            f"{self.crossed} of {self.photos} out-of-distribution scores cross the limit": self.crossed > few_crossed,
            f"{len(self.sure_flips)} of {self.sure} labels without review differ": self.sure_agreement < _SURE
            and len(self.sure_flips) > 1,
            too_much: low > self.max_drop,
        }
        return tuple(reason for reason, so in faults.items() if so)


def _share(photos: int, flips: tuple[Flip, ...]) -> float:
    return 1.0 - len(flips) / photos if photos else 1.0


def prove_edge(
    edge: EdgeModel,
    classifier: Classifier,
    photos: Iterable[bytes],
    labels: Sequence[int] | None,
    max_drop: float = 0.5,
) -> EdgeParity:
    """Compare an edge graph with its model after Python preprocessing, on photo files. Skips undecodable files.

    ``labels`` are the true class indices, if known. ``max_drop``: points of accuracy that may be lost.
    """
    tried = [_scores(edge, classifier, data) for data in photos]
    indices = [index for index, scores in enumerate(tried) if scores is not None]
    if not indices:
        return EdgeParity(0, len(tried), np.inf, np.inf, 0, (), (), 0, (), 0, None, max_drop)
    whole, full, own = (_joined(scores) for scores in zip(*filter(None, tried), strict=True))
    difference = np.abs(whole.probabilities - full.probabilities).astype(np.float64)
    own_flips = _flips(indices, own, whole, classifier.labels)
    decided = [classifier.decide(scores, top_k=1) for scores in (own, whole)]
    sure = {
        index
        for index, *both in zip(indices, *decided, strict=True)
        if not all(one.review or one.label_level for one in both)  # the edge graph never answers with a node
    }
    right = None if labels is None else np.array([labels[i] for i in indices])
    return EdgeParity(
        photos=len(indices),
        passed_over=len(tried) - len(indices),
        largest=float(difference.max()),
        mean=float(difference.mean()),
        near_ties=int((_margins(full) <= _NEAR_TIE).sum()),
        flips=_flips(indices, full, whole, classifier.labels),
        own_flips=own_flips,
        sure=len(sure),
        sure_flips=tuple(flip for flip in own_flips if flip.index in sure),
        crossed=_crossed(full, whole, classifier),
        cost=None if right is None else drop(own.probabilities, whole.probabilities, right),
        max_drop=max_drop,
    )


def _scores(edge: EdgeModel, classifier: Classifier, data: bytes) -> tuple[Scores, Scores, Scores] | None:
    spec = classifier.metadata.preprocess
    try:
        whole = whole_pixels(data)
        full = preprocess(data, spec.model_copy(update={"decode": Decode.FULL}))
        own = full if spec.decode is Decode.FULL else preprocess(data, spec)
    except ImageError:
        return None
    return edge.run(whole).as_scores(), classifier.score(full[np.newaxis]), classifier.score(own[np.newaxis])


def _joined(scores: Sequence[Scores]) -> Scores:
    unknown = [score.unknown for score in scores if score.unknown is not None]
    probabilities = np.concatenate([score.probabilities for score in scores])
    return Scores(probabilities, np.concatenate(unknown) if unknown else None)


def _flips(indices: list[int], expected: Scores, got: Scores, labels: tuple[str, ...]) -> tuple[Flip, ...]:
    tops = expected.probabilities.argmax(axis=1), got.probabilities.argmax(axis=1)
    rows = zip(indices, *tops, _margins(expected), strict=True)
    return tuple(Flip(index, labels[a], labels[b], float(margin)) for index, a, b, margin in rows if a != b)


def _margins(scores: Scores) -> npt.NDArray[np.float32]:
    ranked = np.sort(scores.probabilities, axis=1)
    return ranked[:, -1] - ranked[:, -2]


def _crossed(expected: Scores, got: Scores, classifier: Classifier) -> int:
    limit = classifier.metadata.unknown
    if limit is None or expected.unknown is None or got.unknown is None:
        return 0
    return int(((expected.unknown <= limit.limit) != (got.unknown <= limit.limit)).sum())
