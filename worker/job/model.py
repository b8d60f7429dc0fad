"""The model of a job: chosen by path or name, pinned by digest, and verified before anything is labelled."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from models.bundle import open_bundle
from models.classifier import Classifier, load
from models.decision import rules_of
from models.drift import VariantReference, read_reference
from models.errors import JobError
from models.golden import check_golden
from models.reference import ModelReference, resolve_model, version_of
from models.statistics.confidence import Thresholds
from models.storage.storage import Storage
from worker.job.job import Job, ModelPin, Question, question_storage
from worker.job.receipt import ModelName
from worker.request import USUAL_OPTIONS, JobOptions


@dataclass(frozen=True)
class JobModel:
    """A question of a job, where its model is now, and the rule that decides which rows are labeled."""

    question: Question
    source: ModelReference
    rule: str


def choose_model(model: str | Path, registry: str, unfinished: Job | None) -> tuple[ModelReference, str | None]:
    """Look a model up, and explain the choice; an ``unfinished`` job keeps its version when an alias has moved."""
    found = resolve_model(model, registry)
    begun = version_of(found, unfinished.model.digest) if unfinished and found.by_alias else None
    if begun is None or begun.name == found.name:
        return found, found.words
    words = (
        f"{found.requested} is {found.name} by now; this job was begun with {begun.name} and goes on with it "
        f"(--restart starts again with {found.name})."
    )
    return begun, words


def moved_words(job: Job, models: Iterable[JobModel]) -> str:
    """A sentence for each question whose model has another version in the job than in the request."""
    words = ""
    for question, model in ((job.question(one.question.name), one.source) for one in models):
        before = version_of(model, question.model.digest) if question else None
        if before and before.name != model.name:
            now = f"{model.requested} is {model.name} by now" if model.by_alias else f"not of {model.name}"
            words += f" The job is of {before.name}, and {now}."
    return words


def verified_model(question: str, source: ModelReference, options: JobOptions) -> tuple[JobModel, Classifier]:
    """Load the model of a question, run its golden samples, and pin it by its digest."""
    classifier = load_verified(source.path, options)
    pin = pin_of(source.path, classifier)
    return JobModel(Question(name=question, model=pin), source, classifier.rule), classifier


def pin_of(model: Path, classifier: Classifier) -> ModelPin:
    """The pin of a loaded model."""
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
    """Load a job's pinned model, and run its golden samples unless they are ``verified``."""
    classifier = _load(path, pin) if verified else load_verified(path, pin)
    if classifier.digest != pin.digest:
        msg = f"The job is pinned to {pin.reference}, but {path} now holds {classifier.reference}; start it again."
        raise JobError(msg)
    return classifier


def load_verified(path: Path, options: JobOptions | ModelPin = USUAL_OPTIONS) -> Classifier:
    """Load a model, and run its golden samples if it is a bundle's. Raises BundleError."""
    classifier = _load(path, options)
    if path.is_dir():
        check_golden(open_bundle(path), classifier)
    return classifier


def _load(path: Path, options: JobOptions | ModelPin) -> Classifier:
    return load(path, options.variant, precision=options.precision, threshold=options.threshold)


class ModelNote(BaseModel, frozen=True):
    """A model's name in a registry, its answers on the proof's photos, and its thresholds (None without a promise)."""

    named: ModelName | None = None
    reference: VariantReference | None = None
    thresholds: Thresholds | None = None


def note_models(storage: Storage, models: Sequence[JobModel]) -> None:
    """Write a note of each model into the job's folder, before the job itself."""
    for one in models:
        pin, note = one.question.model, _note(one)
        question_storage(storage, one.question.name).replace(_note_key(pin), note.model_dump_json().encode())


def read_note(job: Job) -> ModelNote:
    """The note of a job's model; empty if its file is gone or damaged, since no result needs it."""
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
