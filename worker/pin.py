"""The model that a job is pinned to, verified before anything is labelled."""

from pathlib import Path

from models.bundle import open_bundle
from models.classifier import Classifier, load
from models.errors import JobError
from models.golden import check_golden
from worker.job import USUAL_OPTIONS, JobOptions, ModelPin

__all__ = ["check_promise", "load_pinned", "verified_pin"]


def verified_pin(model: Path, variant: str | None, options: JobOptions = USUAL_OPTIONS) -> ModelPin:
    """Load a model, run its golden samples where it has some, and name it for ever.

    Args:
        model: a bundle, or a lone ``.onnx`` file.
        variant: which of the bundle's models; its default where none is named.
        options: the precision or the threshold that is asked for; the model's own promise where neither is.

    Raises:
        InputError: there is no such variant, the model's table has no such precision, or the threshold is none.
        BundleError: it is damaged, or disagrees with itself on this machine.
    """
    classifier = load(model, variant, precision=options.precision, threshold=options.threshold)
    if model.is_dir():
        check_golden(open_bundle(model), classifier)
    return ModelPin(
        path=str(model.resolve()),
        reference=classifier.reference,
        variant=classifier.metadata.variant,
        digest=classifier.digest,
        precision=classifier.precision,
        all_to_review=classifier.all_to_review,
        threshold=classifier.threshold,
    )


def load_pinned(path: Path, pin: ModelPin, options: JobOptions = USUAL_OPTIONS) -> Classifier:
    """Load the model that a job is pinned to, from where it is now, and run its golden samples.

    Args:
        path: a bundle, or a lone ``.onnx`` file.
        pin: the job's.
        options: the job's.

    Raises:
        BundleError: it is damaged, or disagrees with itself on this machine.
        JobError: another model is there, or an earlier Hangtag began the job without a promise.
    """
    check_promise(pin)
    classifier = load(path, pin.variant, precision=options.precision, threshold=options.threshold)
    if classifier.digest != pin.digest:
        msg = f"The job is pinned to {pin.reference}, but {path} now holds {classifier.reference}; begin anew."
        raise JobError(msg)
    if path.is_dir():
        check_golden(open_bundle(path), classifier)
    return classifier


def check_promise(pin: ModelPin) -> None:
    """Refuse to go on with a job whose rows were labeled without a promise, and without anybody asking for that.

    Raises:
        JobError: an earlier Hangtag began it.
    """
    if pin.unpromised:
        msg = (
            f"An earlier Hangtag began this job with {pin.reference}, which promises no precision, and labeled rows "
            "all the same. Start again with --restart, or under another name; all rows then go to review unless you "
            "pass --threshold."
        )
        raise JobError(msg)
