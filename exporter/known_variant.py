"""How sure a variant may be, learned anew from what it says itself."""

import numpy as np

from exporter.training_run import TrainingRun
from models.classifier import Scores
from models.statistics.confidence import Confidence
from models.statistics.out_of_distribution import unknown_limit
from models.statistics.thresholds import HeldOut, fit_confidence

__all__ = ["know_variant"]


def know_variant(said: Scores, run: TrainingRun) -> Confidence:
    """Learn a variant's temperature, thresholds and limit from what it says of the run's validation photos.

    Args:
        said: its logits, in the place of probabilities, and its unknown scores.
        run: that it was made of. What its folds said counts for the thresholds here as well.

    Returns:
        How sure it may be.
    """
    limit = run.confidence.unknown
    known = np.ones(len(run.labels), np.bool_)
    if limit is not None and said.unknown is not None:
        limit = limit.model_copy(update={"limit": unknown_limit(said.unknown)})
        known = said.unknown <= limit.limit
    return fit_confidence(HeldOut(said.probabilities, run.labels, known), limit, list(run.folds))
