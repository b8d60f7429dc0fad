"""Which model a run of ``hangtag label`` takes: the one that is asked for, or that with which its job was begun."""

from dataclasses import dataclass
from pathlib import Path

from models.reference import ModelReference, resolve_model, version_of
from worker.job import Job

__all__ = ["ChosenModel", "choose_model", "moved_words"]


@dataclass(frozen=True)
class ChosenModel:
    """A model, and why it.

    Attributes:
        model: that labels.
        words: for a person; none where there is nothing to tell.
    """

    model: ModelReference
    words: str | None


def choose_model(model: str | Path, registry: str, unfinished: Job | None) -> ChosenModel:
    """Look a model up. A job that is not done keeps its version, though the alias has moved since.

    Args:
        model: a path, or a name of the registry.
        registry: where names are looked up.
        unfinished: the job that is gone on with; none where one begins, or is done.

    Raises:
        RegistryError: the registry has no such model, version or alias.
    """
    found = resolve_model(model, registry)
    begun = version_of(found, unfinished.spec.model.digest) if unfinished and found.by_alias else None
    if begun is None or begun.said == found.said:
        return ChosenModel(found, found.words)
    words = (
        f"{found.asked} is {found.said} by now; this job was begun with {begun.said} and goes on with it (--restart "
        f"begins anew with {found.said})."
    )
    return ChosenModel(begun, words)


def moved_words(job: Job, model: ModelReference) -> str:
    """What to tell of a job that another version labelled than the one which is meant now; nothing where it did not."""
    before = version_of(model, job.spec.model.digest)
    if before is None or before.said == model.said:
        return ""
    moved = f", and {model.asked} is {model.said} by now" if model.by_alias else f", and not of {model.said}"
    return f" It is of {before.said}{moved}."
