"""Label one chunk of a job like a labelling process, with a model that has no network."""

from collections.abc import Sequence
from contextlib import closing
from types import SimpleNamespace

import numpy as np

from models.classifier import Classifier
from models.decision import Prediction
from models.preprocess import Pixels, PreprocessSpec
from worker.job.job import Job, photos_of
from worker.labelling.chunk import Finished
from worker.labelling.earlier_results import NO_EARLIER_RESULTS, EarlierResults
from worker.labelling.labeller import Asked, Guard, Labeller, run_chunks


class OneChunk:
    def __init__(self, chunk: int) -> None:
        self._chunk: int | None = chunk

    def next(self, *, wait: bool) -> int | None:
        chunk, self._chunk = self._chunk, None
        return chunk


def run_chunk(
    job: Job,
    chunk: int,
    classifier: Classifier,
    guard: Guard | None = None,
    known: EarlierResults = NO_EARLIER_RESULTS,
) -> bool:
    finished: list[Finished] = []
    with (
        closing(photos_of(job)) as photos,
        Labeller(job, [Asked(classifier, known)], photos, finished.append, guard) as one,
    ):
        run_chunks(one, OneChunk(chunk))
    return finished[0].committed


class PaperModel:
    reference = "shop/1/float32@aaaaaaaaaaaa"
    metadata = SimpleNamespace(preprocess=PreprocessSpec(size=32))

    def score(self, pixels: Pixels) -> Pixels:
        return np.ones(len(pixels))

    def decide(self, scores: Pixels, top_k: int) -> Sequence[Prediction]:
        return [Prediction("shoe", 0.75, None, (("shoe", 0.75),))] * len(scores)
