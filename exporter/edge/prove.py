"""The proof of an edge graph, on photo files: against Python preprocessing, in full and as the model's spec says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exporter.edge.parity import NEAR_TIE, EdgeParity, Flip
from models.classifier import Classifier, Scores
from models.edge import EdgeAnswer, EdgeModel
from models.errors import ImageError
from models.fit import Decode
from models.preprocess import PreprocessSpec, opened, preprocess, whole_rgb

__all__ = ["prove_edge"]


def prove_edge(
    edge: EdgeModel, classifier: Classifier, photos: Sequence[bytes], labels: Sequence[int] | None
) -> EdgeParity:
    """Compare an edge graph with its model behind Python preprocessing.

    Args:
        edge: the graph.
        classifier: the same model; its spec and its rules count.
        photos: bytes of image files; those that cannot be decoded are passed over.
        labels: the right label of each photo, if they are known.
    """
    said = {index: answers for index, data in enumerate(photos) if (answers := _answers(edge, classifier, data))}
    if not said:
        return EdgeParity(0, tuple(range(len(photos))), np.inf, np.inf, (), (), (), 0, (), (), None, None, None)
    return _compared(list(said), list(said.values()), classifier, len(photos), labels)


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
    indices: list[int],
    answers: list[_Answers],
    classifier: Classifier,
    given: int,
    labels: Sequence[int] | None,
) -> EdgeParity:
    edge, full, own = (_joined([getattr(answer, which) for answer in answers]) for which in ("edge", "full", "own"))
    difference = np.abs(edge.probabilities - full.probabilities).astype(np.float64)
    own_flips = _flips(indices, own, edge, classifier.labels)
    sure = _sure(indices, classifier, own) | _sure(indices, classifier, edge)
    truths = None if labels is None else np.array([labels[index] for index in indices])
    right, lost, won = _accuracy(edge, own, truths)
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
        right=right,
        lost=lost,
        won=won,
    )


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


def _accuracy(
    edge: Scores, own: Scores, labels: npt.NDArray[np.int_] | None
) -> tuple[int | None, int | None, int | None]:
    """Photos that the edge graph labels right; that only the model's own spec does; that only the edge graph does."""
    if labels is None:
        return None, None, None
    here, there = (scores.probabilities.argmax(axis=1) == labels for scores in (edge, own))
    return int(here.sum()), int((there & ~here).sum()), int((here & ~there).sum())
