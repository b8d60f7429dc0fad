"""The model of a job: chosen by path or name, pinned by digest, verified before anything is labelled, noted."""

from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from models.bundle import open_bundle
from models.classifier import Classifier, load
from models.errors import JobError
from models.golden import check_golden
from models.reference import ModelReference, resolve_model, version_of
from models.reference_answers import ReferenceAnswers, read_reference
from models.storage.storage import Storage
from worker.job import USUAL_OPTIONS, Job, JobOptions, ModelPin
from worker.receipt import ModelName

__all__ = [
    "check_promise",
    "choose_model",
    "load_pinned",
    "load_verified",
    "moved_words",
    "note_model",
    "read_note",
    "verified_pin",
]


def choose_model(model: str | Path, registry: str, unfinished: Job | None) -> tuple[ModelReference, str | None]:
    """Look a model up. A job that is not done keeps its version, though the alias has moved since.

    Args:
        model: a path, or a name of the registry.
        registry: where names are looked up.
        unfinished: the job that is continued; None for a new or a finished one.

    Returns:
        The model, and a sentence on why it was chosen; None if there is nothing to tell.

    Raises:
        RegistryError: the registry has no such model, version or alias.
    """
    found = resolve_model(model, registry)
    begun = version_of(found, unfinished.spec.model.digest) if unfinished and found.by_alias else None
    if begun is None or begun.said == found.said:
        return found, found.words
    words = (
        f"{found.asked} is {found.said} by now; this job was begun with {begun.said} and goes on with it (--restart "
        f"starts again with {found.said})."
    )
    return begun, words


def moved_words(job: Job, model: ModelReference) -> str:
    """A sentence if the job has another version than the one asked for now; empty if it has the same."""
    before = version_of(model, job.spec.model.digest)
    if before is None or before.said == model.said:
        return ""
    moved = f", and {model.asked} is {model.said} by now" if model.by_alias else f", and not of {model.said}"
    return f" It is of {before.said}{moved}."


def verified_pin(model: Path, variant: str | None, options: JobOptions = USUAL_OPTIONS) -> ModelPin:
    """Load a model, run its golden samples where it has some, and pin it by its digest.

    Args:
        model: a bundle, or a lone ``.onnx`` file.
        variant: which of the bundle's models. Default: the bundle's own default.
        options: the precision or the threshold that is asked for. Default: the model's own promise.

    Raises:
        InputError: there is no such variant, the model's table has no such precision, or the threshold is out of range.
        BundleError: it is damaged, or disagrees with itself on this machine.
    """
    classifier = load_verified(model, variant, options)
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

    Raises:
        BundleError: it is damaged, or disagrees with itself on this machine.
        JobError: another model is there, or an earlier Hangtag began the job without a promise.
    """
    check_promise(pin)
    classifier = load_verified(path, pin.variant, options)
    if classifier.digest != pin.digest:
        msg = f"The job is pinned to {pin.reference}, but {path} now holds {classifier.reference}; start it again."
        raise JobError(msg)
    return classifier


def load_verified(path: Path, variant: str | None = None, options: JobOptions = USUAL_OPTIONS) -> Classifier:
    """Load a model, and run its golden samples where it has some; the arguments are those of :func:`verified_pin`.

    Raises:
        InputError: there is no such variant, the model's table has no such precision, or the threshold is out of range.
        BundleError: it is damaged, or disagrees with itself on this machine.
    """
    classifier = load(path, variant, precision=options.precision, threshold=options.threshold)
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


class ModelNote(BaseModel, frozen=True):
    """What is known of a job's model.

    Attributes:
        named: its name in a registry; None if a path was given.
        reference: its answers on the photos that it was proved on; None for a lone file, or a bundle without them.
    """

    variant: str = ""
    named: ModelName | None = None
    reference: ReferenceAnswers | None = None


NO_NOTE = ModelNote()


def note_model(storage: Storage, pin: ModelPin, model: ModelReference) -> None:
    """Write what is known of a job's model into the job's folder, before the job itself.

    Raises:
        BundleError: its bundle is damaged.
    """
    named = ModelName(asked=model.asked, version=model.said) if model.asked else None
    reference = read_reference(open_bundle(model.path), pin.variant) if model.path.is_dir() else None
    data = ModelNote(variant=pin.variant, named=named, reference=reference).model_dump_json().encode()
    storage.replace(_key(pin), data)


def read_note(job: Job) -> ModelNote:
    """What is known of a job's model; nothing in jobs from before there were notes.

    A note that cannot be read is passed over: it holds nothing that a result rests on.
    """
    pin = job.spec.model
    with suppress(FileNotFoundError, ValidationError):
        note = ModelNote.model_validate_json(job.storage.read(_key(pin)))
        return note if note.variant == pin.variant else NO_NOTE
    return NO_NOTE


def _key(pin: ModelPin) -> str:
    return f"model/{pin.digest}.json"
