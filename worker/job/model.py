"""The model of a job: chosen by path or name, pinned by digest, and verified before anything is labelled."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from socket import gethostname

from pydantic import BaseModel, ValidationError

from models.bundle import Bundle, open_bundle, read_manifest
from models.classifier import Classifier, load
from models.decision import rules_of
from models.drift import VariantReference, read_reference
from models.errors import DisagreementError, JobError
from models.golden import check_golden
from models.manifest import AUTO, FLOAT32
from models.reference import ModelReference, resolve_model, version_of
from models.statistics.confidence import Thresholds
from models.storage.storage import Storage
from worker.job.job import Job, ModelPin, Question, question_storage
from worker.job.receipt import ModelName
from worker.request import USUAL_OPTIONS, JobOptions


@dataclass(frozen=True)
class JobModel:
    """A question of a job, and where its model is now."""

    question: Question
    source: ModelReference


def choose_model(model: str | Path, registry: str, unfinished: Job | None) -> tuple[ModelReference, str | None]:
    """Look a model up, and explain the choice; an ``unfinished`` job keeps its version when an alias has moved."""
    found = resolve_model(model, registry)
    begun = version_of(found, unfinished.spec.model.digest) if unfinished and found.by_alias else None
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
        before = version_of(model, question.spec.model.digest) if question else None
        if before and before.name != model.name:
            now = f"{model.requested} is {model.name} by now" if model.by_alias else f"not of {model.name}"
            words += f" The job is of {before.name}, and {now}."
    return words


def begun_variant(variant: str, begun: Job | None, model: Path) -> str:
    """``variant``; but for ``auto``, that of the ``begun`` job with this bundle, since a job never mixes variants."""
    pin = begun.spec.model if begun and variant == AUTO and model.is_dir() else None
    return pin.variant if pin and read_manifest(model).digest == pin.digest else variant


def verified_pin(
    model: Path, options: JobOptions = USUAL_OPTIONS, say: Callable[[str], None] = lambda _: None
) -> ModelPin:
    """Load a model, run its golden samples, and pin it by its digest.

    A variant ``auto`` is the bundle's default, or float32 if the default disagrees with its golden samples on this
    machine; ``say`` gets the reason.
    """
    return pin_of(model, load_verified(model, options, say))


def rule_words(pin: ModelPin, model: Path) -> str:
    """The rule that decides which rows are labeled; if no class can keep the promise, in the bundle's longer words."""
    unkept = pin.all_to_review and pin.precision is not None
    return load(model, pin.variant, precision=pin.precision).rule if unkept else pin.rule


def fallback_pin(model: Path, pin: ModelPin, options: JobOptions) -> ModelPin | None:
    """The pin of float32, if ``auto`` chose another variant; float32's golden samples were not run yet."""
    if options.variant != AUTO or pin.variant == FLOAT32 or not model.is_dir():
        return None
    if FLOAT32 not in read_manifest(model).manifest.variants:
        return None
    return pin_of(model, _load(model, replace(options, variant=FLOAT32)))


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


def load_job_model(
    job: Job, load: Callable[[ModelPin], Classifier], say: Callable[[str], None] = lambda _: None
) -> Classifier:
    """The model that labels a job; ``load`` loads a pin and runs its golden samples.

    The first worker chooses between two models, for all workers: the submitted model if its golden samples agree, else
    the fallback; ``say`` gets the reason.
    """
    fallback = job.spec.fallback
    if fallback is None or job.choice:
        return load(job.model)
    chosen, because = job.spec.model, ""
    try:
        classifier = load(chosen)
    except DisagreementError as error:
        chosen, because = fallback, f"{gethostname()}: {error}"
        classifier = load(chosen)
    if job.choose(chosen, because) and because:
        say(because)
    return classifier if job.model == chosen else load(job.model)


def load_pinned(path: Path, pin: ModelPin, *, verified: bool = False) -> Classifier:
    """Load a job's pinned model, and run its golden samples unless they are ``verified``."""
    pinned = JobOptions(variant=pin.variant, precision=pin.precision, threshold=pin.threshold)
    classifier = _load(path, pinned) if verified else load_verified(path, pinned)
    if classifier.digest != pin.digest:
        msg = f"The job is pinned to {pin.reference}, but {path} now holds {classifier.reference}; start it again."
        raise JobError(msg)
    return classifier


def load_verified(
    path: Path, options: JobOptions = USUAL_OPTIONS, say: Callable[[str], None] = lambda _: None
) -> Classifier:
    """Load a model, and run its golden samples; see :func:`verified_pin`."""
    classifier = _load(path, options)
    if not path.is_dir():
        return classifier
    bundle, own = open_bundle(path), classifier.metadata.variant
    try:
        check_golden(bundle, classifier)
    except DisagreementError as error:
        if options.variant != AUTO or own == FLOAT32 or FLOAT32 not in bundle.manifest.variants:
            raise
        classifier = load_verified(path, replace(options, variant=FLOAT32))
        say(f"{gethostname()} uses float32 instead of {own}: {error}")
    return classifier


def _load(path: Path, options: JobOptions) -> Classifier:
    return load(path, options.variant, precision=options.precision, threshold=options.threshold)


class ModelNote(BaseModel, frozen=True):
    """A model's name in a registry, its answers on the proof's photos, and its thresholds (None without a promise)."""

    named: ModelName | None = None
    reference: VariantReference | None = None
    thresholds: Thresholds | None = None
    fallback: "ModelNote | None" = None


def note_models(storage: Storage, models: Sequence[JobModel]) -> None:
    """Write a note of each model into the job's folder, before the job itself."""
    for one in models:
        source, pin, fallback = one.source, one.question.model, one.question.fallback
        bundle = open_bundle(source.path) if source.path.is_dir() else None
        named = ModelName(asked=source.requested, version=source.name) if source.requested else None
        note = _note(bundle, pin) if bundle else ModelNote()
        other = _note(bundle, fallback) if bundle and fallback else None
        note = note.model_copy(update={"named": named, "fallback": other})
        question_storage(storage, one.question.name).replace(_note_key(pin), note.model_dump_json().encode())


def read_note(job: Job) -> ModelNote:
    """The note of a job's model; empty if its file is gone or damaged, since no result needs it."""
    pin = job.spec.model
    with suppress(FileNotFoundError, ValidationError):
        note = ModelNote.model_validate_json(job.storage.read(_note_key(pin)))
        return note if job.model == pin else (note.fallback or ModelNote()).model_copy(update={"named": note.named})
    return ModelNote()


def _note(bundle: Bundle, pin: ModelPin) -> ModelNote:
    metadata = bundle.manifest.metadata(pin.variant)
    thresholds = None if pin.precision is None else rules_of(metadata, pin.precision).thresholds
    return ModelNote(reference=read_reference(bundle, pin.variant), thresholds=thresholds)


def _note_key(pin: ModelPin) -> str:
    return f"model/{pin.digest}.json"
