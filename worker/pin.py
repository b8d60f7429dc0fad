"""The model that a job is pinned to, verified before anything is labelled."""

from pathlib import Path

from models.bundle import open_bundle
from models.classifier import Classifier, load
from models.errors import JobError
from models.golden import check_golden
from worker.job import ModelPin

__all__ = ["load_pinned", "verified_pin"]


def verified_pin(model: Path, variant: str | None, precision: float | None = None) -> ModelPin:
    """Load a model, run its golden samples where it has some, and name it for ever.

    Args:
        model: a bundle, or a lone ``.onnx`` file.
        variant: which of the bundle's models; its default where none is named.
        precision: how often rows that need no review must be right; the model's own target where none is named.

    Raises:
        InputError: there is no such variant, or the model's table has no such precision.
        BundleError: it is damaged, or disagrees with itself on this machine.
    """
    classifier = load(model, variant, precision=precision)
    if model.is_dir():
        check_golden(open_bundle(model), classifier)
    return ModelPin(
        path=str(model.resolve()),
        reference=classifier.reference,
        variant=classifier.metadata.variant,
        digest=classifier.digest,
        precision=classifier.precision,
        all_to_review=classifier.all_to_review,
    )


def load_pinned(path: Path, pin: ModelPin, precision: float | None = None) -> Classifier:
    """Load the model that a job is pinned to, from where it is now, and run its golden samples.

    Args:
        path: a bundle, or a lone ``.onnx`` file.
        pin: the job's.
        precision: that the job asks for; the model's own target where it asks for none.

    Raises:
        BundleError: it is damaged, or disagrees with itself on this machine.
        JobError: another model is there.
    """
    classifier = load(path, pin.variant, precision=precision)
    if classifier.digest != pin.digest:
        msg = f"The job is pinned to {pin.reference}, but {path} now holds {classifier.reference}; begin anew."
        raise JobError(msg)
    if path.is_dir():
        check_golden(open_bundle(path), classifier)
    return classifier
