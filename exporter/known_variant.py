"""How sure a variant may be, learned anew from what it says itself."""

import onnx

from exporter.confidence.knowing import HeldOut, know
from exporter.confidence.unknown import unknown_limit
from exporter.onnx_says import onnx_logits
from exporter.training_run import TrainingRun
from models.confidence import Confidence

__all__ = ["know_variant"]


def know_variant(model: onnx.ModelProto, run: TrainingRun) -> Confidence:
    """Ask a variant about the run's validation photos, and learn its temperature, thresholds and limit from that.

    Args:
        model: of the variant; ends in ``logits``.
        run: that it was made of. What its folds said counts for the thresholds here as well.

    Returns:
        How sure it may be.
    """
    said = onnx_logits(model.SerializeToString(), run.pixels)
    limit = run.confidence.unknown
    known = run.labels >= 0
    if limit is not None and said.unknown is not None:
        limit = limit.model_copy(update={"limit": unknown_limit(said.unknown)})
        known = said.unknown <= limit.limit
    return know(HeldOut(said.probabilities, run.labels, known), limit, list(run.folds))
