"""A job's model: found by path or name, pinned by digest, and verified before labelling."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from models.bundle import Bundle, open_bundle, read_manifest
from models.classifier import Classifier, load
from models.decision import rules_of
from models.drift import VariantReference, read_reference
from models.errors import HangtagError, JobError
from models.golden import check_golden
from models.reference import ModelReference, resolve_model, version_of
from models.statistics.confidence import Thresholds
from models.storage.storage import Storage
from worker.job.job import Job, ModelPin, Question, question_storage
from worker.job.receipt import ModelName
from worker.request import USUAL_OPTIONS, JobOptions


@dataclass(frozen=True)
class JobModel:
    """A job's model for one question. ``rule``: a sentence that explains which rows are labeled."""

    question: Question
    source: ModelReference
    rule: str


def choose_model(model: str | Path, registry: str, unfinished: Job | None) -> tuple[ModelReference, str | None]:
    """Find a model, and explain the choice. If an alias moves, an ``unfinished`` job keeps its version."""
    found = resolve_model(model, registry)
    begun = version_of(found, unfinished.model.digest) if unfinished and found.by_alias else None
    if begun is None or begun.name == found.name:
        return found, found.words
    words = (
        f"{found.requested} is {found.name} now, but this job began with {begun.name} and continues with it "
        f"(--restart starts again with {found.name})."
    )
    return begun, words


def moved_words(job: Job, models: Iterable[JobModel]) -> str:
    """Describe models whose versions differ between the job and the request."""
    words = ""
    for question, model in ((job.question(one.question.name), one.source) for one in models):
        before = version_of(model, question.model.digest) if question else None
        if before and before.name != model.name:
            now = f"but {model.requested} is {model.name} now" if model.by_alias else f"not {model.name}"
            words += f" The job's model is {before.name}, {now}."
    return words


def verified_model(question: str, source: ModelReference, options: JobOptions) -> tuple[JobModel, Classifier]:
    """Load a question's model, check its golden samples, and record its digest."""
    classifier = load_verified(source.path, options)
    pin = pin_of(source.path, classifier)
    return JobModel(Question(name=question, model=pin), source, classifier.rule), classifier


def pin_of(model: Path, classifier: Classifier) -> ModelPin:
    """The :class:`ModelPin` of a loaded model."""
    return ModelPin(
        path=str(model.resolve()),
        reference=classifier.reference,
        variant=classifier.metadata.variant,
        digest=classifier.digest,
        precision=classifier.precision,
        all_to_review=classifier.all_to_review,
        threshold=classifier.threshold,
        taxonomy=classifier.metadata.taxonomy,
    )


def load_pinned(path: Path, pin: ModelPin, *, verified: bool = False) -> Classifier:
    """Load a job's model, and check its golden samples unless ``verified``. Raises JobError."""
    classifier = _load(path, pin) if verified else load_verified(path, pin)
    if classifier.digest != pin.digest:
        msg = f"The job's model is {pin.reference}, but {path} now holds {classifier.reference}; start the job again."
        raise JobError(msg)
    return classifier


def load_verified(path: Path, options: JobOptions | ModelPin = USUAL_OPTIONS) -> Classifier:
    """Load a model, and check the golden samples of a bundle. Raises BundleError."""
    classifier = _load(path, options)
    if path.is_dir():
        check_golden(open_bundle(path), classifier)
    return classifier


def _load(path: Path, options: JobOptions | ModelPin) -> Classifier:
    return load(path, options.variant, precision=options.precision, threshold=options.threshold)


def bundle_of(job: Job) -> Bundle | None:
    """Find the bundle of a job's model, at its original path or in the folder of jobs; None if missing."""
    pin = job.model
    for folder in (Path(pin.path), job.home.scratch.parent / "_bundles" / pin.digest):
        with suppress(HangtagError, OSError):
            bundle = read_manifest(folder)
            if bundle.digest == pin.digest:
                return bundle
    return None


class ModelNote(BaseModel, frozen=True):
    """A model's registry name, answers on proof photos, and thresholds (None if the model promises no precision)."""

    named: ModelName | None = None
    reference: VariantReference | None = None
    thresholds: Thresholds | None = None


def note_models(storage: Storage, models: Sequence[JobModel]) -> None:
    """Write each model's :class:`ModelNote` into the job's folder."""
    for one in models:
        pin, note = one.question.model, _note(one)
        question_storage(storage, one.question.name).replace(_note_key(pin), note.model_dump_json().encode())


def read_note(job: Job) -> ModelNote:
    """The :class:`ModelNote` of a job's model; empty if the file is missing or damaged."""
    with suppress(FileNotFoundError, ValidationError):
        return ModelNote.model_validate_json(job.storage.read(_note_key(job.model)))
    return ModelNote()


def _note(model: JobModel) -> ModelNote:
    source, pin = model.source, model.question.model
    named = ModelName(asked=source.requested, version=source.name) if source.requested else None
    if not source.path.is_dir():
        return ModelNote(named=named)
    bundle = open_bundle(source.path)
    metadata = bundle.manifest.metadata(pin.variant)
    thresholds = None if pin.precision is None else rules_of(metadata, pin.precision).thresholds
    return ModelNote(named=named, reference=read_reference(bundle, pin.variant), thresholds=thresholds)


def _note_key(pin: ModelPin) -> str:
    return f"model/{pin.digest}.json"
