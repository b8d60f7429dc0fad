"""The proof of an edge graph, on photo files: against Python preprocessing, in full and as the model's spec says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.drop import Drop, drop
from exporter.edge.parity import NEAR_TIE, EdgeParity, Flip
from models.classifier import Classifier, Scores
from models.edge import EdgeAnswer, EdgeModel
from models.errors import ImageError
from models.fit import Decode
from models.preprocess import PreprocessSpec, opened, preprocess, whole_rgb

__all__ = ["prove_edge"]


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
