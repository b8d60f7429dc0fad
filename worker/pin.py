"""The model that a job is pinned to, verified before anything is labelled."""

from pathlib import Path

from models.bundle import open_bundle
from models.classifier import load
from models.golden import check_golden
from worker.job import ModelPin

__all__ = ["verified_pin"]


def verified_pin(model: Path, variant: str | None) -> ModelPin:
    """Load a model, run its golden samples where it has some, and name it for ever.

    Args:
        model: a bundle, or a lone ``.onnx`` file.
        variant: which of the bundle's models; its default where none is named.

    Raises:
        BundleError: it is damaged, or disagrees with itself on this machine.
    """
    classifier = load(model, variant)
    if model.is_dir():
        check_golden(open_bundle(model), classifier)
    return ModelPin(
        path=str(model.resolve()),
        reference=classifier.reference,
        variant=classifier.metadata.variant,
        digest=classifier.digest,
    )
