"""The proof of an edge graph, on photo files: against Python preprocessing, in full and as the model's spec says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from exporter.cost import Drop, drop
from models.classifier import Classifier, Scores
from models.edge import EdgeAnswer, EdgeModel
from models.errors import ImageError
from models.fit import Decode
from models.preprocess import PreprocessSpec, opened, preprocess, whole_rgb

__all__ = ["NEAR_TIE", "EdgeParity", "Flip", "prove_edge"]


NEAR_TIE: Final = 0.02
"""Two classes whose probabilities are this close may change places."""
_FEW: Final = 500
"""Of fewer photos one label may differ, in a near-tie: it would be more than a fifth of a percent."""
_MEAN: Final = 0.005
"""Another fit moves probabilities by 0.02 in the mean; what whole_rgb does in another order (colour profile, CMYK and
transparency after the resize) by 0.0001."""
_LABELS: Final = 0.998
_SURE: Final = 0.995


@dataclass(frozen=True)
class Flip:
    """A photo that the edge graph labels differently.

    Attributes:
        index: of the photo, among those given.
        expected: the label that Python preprocessing leads to.
        got: the edge graph's.
        margin: between the two likeliest classes, with Python preprocessing.
    """

    index: int
    expected: str
    got: str
    margin: float


@dataclass(frozen=True)
class EdgeParity:
    """How far an edge graph agrees with the same model behind Python preprocessing.

    Attributes:
        photos: how many were compared.
        passed_over: photos that cannot be decoded.
        largest, mean: absolute difference of a probability, against ``decode=full``; not finite where something is no
            number.
        near_ties: photos whose two likeliest classes are within ``NEAR_TIE`` with ``decode=full``.
        flips: against ``decode=full``.
        own_flips: against the model's own spec, which usually scales JPEGs while it decodes them.
        sure: photos that need no review, with the model's own spec or by the edge graph's scores.
        sure_flips: those of ``own_flips`` that are among them.
        crossed: photos whose unknown score is on the other side of the limit than with ``decode=full``.
        cost: what that costs against the model with its own spec; none where no labels are given.
        max_drop: so many points of accuracy may the edge graph have less than the model with its own spec.
    """

    photos: int
    passed_over: tuple[int, ...]
    largest: float
    mean: float
    near_ties: tuple[int, ...]
    flips: tuple[Flip, ...]
    own_flips: tuple[Flip, ...]
    sure: int
    sure_flips: tuple[Flip, ...]
    crossed: tuple[int, ...]
    cost: Drop | None
    max_drop: float

    @property
    def agreement(self) -> float:
        """Share of photos with the label of ``decode=full``."""
        return _share(self.photos, self.flips)

    @property
    def own_agreement(self) -> float:
        """Share of photos with the label of the model's own spec."""
        return _share(self.photos, self.own_flips)

    @property
    def sure_agreement(self) -> float:
        """Share with the label of the model's own spec, of the photos that need no review."""
        return _share(self.sure, self.sure_flips)

    @property
    def passed(self) -> bool:
        """Whether the edge graph may ship."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks against shipping it."""
        found = {
            "no photo could be decoded": not self.photos,
            "a probability is no number": self.photos > 0 and not np.isfinite(self.largest),
            f"probabilities differ by {self.mean:.2g} in the mean": self.photos > 0 and self.mean > _MEAN,
            f"{len(self.flips)} of {self.photos} labels differ from decode=full": not self._full_passed,
            f"{len(self.crossed)} of {self.photos} unknown scores cross the limit": not self._unknown_passed,
            f"{len(self.sure_flips)} of {self.sure} labels differ that need no review": not self._sure_passed,
            self._too_much: not self._accuracy_passed,
        }
        return tuple(reason for reason, so in found.items() if so)

    @property
    def _too_much(self) -> str:
        points, low = (0.0, 0.0) if self.cost is None else (self.cost.points, self.cost.points_95[0])
        return (
            f"{points:.1f} points of accuracy are lost against the model's own decoding, {low:.1f} at least (allow "
            "more with --max-drop, or train with --decode full)"
        )

    @property
    def _full_passed(self) -> bool:
        one_tie = self.photos < _FEW and len(self.flips) == 1 and self.flips[0].margin <= NEAR_TIE
        return self.agreement >= _LABELS or one_tie

    @property
    def _unknown_passed(self) -> bool:
        return len(self.crossed) <= max(1.0, (1.0 - _LABELS) * self.photos)

    @property
    def _sure_passed(self) -> bool:
        return self.sure_agreement >= _SURE or len(self.sure_flips) <= 1

    @property
    def _accuracy_passed(self) -> bool:
        """A few hundred photos cannot tell half a point from chance: what chance may do is let through, and shown."""
        return self.cost is None or self.cost.points_95[0] <= self.max_drop


def _share(photos: int, flips: tuple[Flip, ...]) -> float:
    return 1.0 - len(flips) / photos if photos else 1.0


def prove_edge(
    edge: EdgeModel,
    classifier: Classifier,
    photos: Iterable[bytes],
    labels: Sequence[int] | None,
    max_drop: float = 0.5,
) -> EdgeParity:
    """Compare an edge graph with its model behind Python preprocessing.

    Args:
        edge: the graph.
        classifier: the same model; its spec and its rules count.
        photos: bytes of image files, one at a time; those that cannot be decoded are passed over.
        labels: the right label of each photo, if they are known.
        max_drop: so many points of accuracy may the edge graph have less than the model with its own spec.
    """
    tried = [_answers(edge, classifier, data) for data in photos]
    said = {index: answers for index, answers in enumerate(tried) if answers is not None}
    if not said:
        return EdgeParity(0, tuple(range(len(tried))), np.inf, np.inf, (), (), (), 0, (), (), None, max_drop)
    return _compared(said, classifier, len(tried), labels, max_drop)


@dataclass(frozen=True)
class _Answers:
    """What is said of one photo, each a batch of one."""

    edge: Scores
    full: Scores
    own: Scores


def _answers(edge: EdgeModel, classifier: Classifier, data: bytes) -> _Answers | None:
    spec = classifier.metadata.preprocess
    try:
        with opened(data) as image:
            whole = np.asarray(whole_rgb(image))
        full = _scores(classifier, data, spec.model_copy(update={"decode": Decode.FULL}))
        own = full if spec.decode is Decode.FULL else _scores(classifier, data, spec)
    except ImageError:
        return None
    return _Answers(_batch_of_one(edge.run(whole)), full, own)


def _scores(classifier: Classifier, data: bytes, spec: PreprocessSpec) -> Scores:
    return classifier.score(preprocess(data, spec)[np.newaxis])


def _batch_of_one(answer: EdgeAnswer) -> Scores:
    unknown = None if answer.unknown is None else np.array([answer.unknown], np.float32)
    return Scores(answer.probabilities[np.newaxis], unknown)


def _compared(
    said: Mapping[int, _Answers], classifier: Classifier, given: int, labels: Sequence[int] | None, max_drop: float
) -> EdgeParity:
    indices, answers = list(said), list(said.values())
    edge, full, own = (_joined([getattr(answer, which) for answer in answers]) for which in ("edge", "full", "own"))
    difference = np.abs(edge.probabilities - full.probabilities).astype(np.float64)
    own_flips = _flips(indices, own, edge, classifier.labels)
    sure = _sure(indices, classifier, own) | _sure(indices, classifier, edge)
    return EdgeParity(
        photos=len(indices),
        passed_over=tuple(sorted(set(range(given)) - set(indices))),
        largest=float(difference.max()),
        mean=float(difference.mean()),
        near_ties=tuple(index for index, margin in zip(indices, _margins(full), strict=True) if margin <= NEAR_TIE),
        flips=_flips(indices, full, edge, classifier.labels),
        own_flips=own_flips,
        sure=len(sure),
        sure_flips=tuple(flip for flip in own_flips if flip.index in sure),
        crossed=_crossed(indices, full, edge, classifier),
        cost=None
        if labels is None
        else drop(own.probabilities, edge.probabilities, np.array([labels[i] for i in indices])),
        max_drop=max_drop,
    )


def _cost(own: Scores, edge: Scores, labels: npt.NDArray[np.int_]) -> Drop:
    return drop(own.probabilities, edge.probabilities, labels)


def _joined(scores: list[Scores]) -> Scores:
    unknown = [score.unknown for score in scores if score.unknown is not None]
    return Scores(
        np.concatenate([score.probabilities for score in scores]), np.concatenate(unknown) if unknown else None
    )


def _flips(indices: list[int], expected: Scores, got: Scores, labels: tuple[str, ...]) -> tuple[Flip, ...]:
    tops = expected.probabilities.argmax(axis=1), got.probabilities.argmax(axis=1)
    rows = zip(indices, *tops, _margins(expected), strict=True)
    return tuple(Flip(index, labels[a], labels[b], float(margin)) for index, a, b, margin in rows if a != b)


def _margins(scores: Scores) -> npt.NDArray[np.float32]:
    ranked = np.sort(scores.probabilities, axis=1)
    return ranked[:, -1] - ranked[:, -2]


def _sure(indices: list[int], classifier: Classifier, scores: Scores) -> set[int]:
    return {
        index
        for index, prediction in zip(indices, classifier.decide(scores, top_k=1), strict=True)
        if not prediction.review
    }


def _crossed(indices: list[int], expected: Scores, got: Scores, classifier: Classifier) -> tuple[int, ...]:
    limit = classifier.metadata.unknown
    if limit is None or expected.unknown is None or got.unknown is None:
        return ()
    crossed = (expected.unknown <= limit.limit) != (got.unknown <= limit.limit)
    return tuple(index for index, other_side in zip(indices, crossed, strict=True) if other_side)
