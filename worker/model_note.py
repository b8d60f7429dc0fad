"""What a job's folder says of its model besides ``job.json``, which workers of an earlier version must still read.

The note is named by the model's digest: where two submit a job of one name at once, the winner's model has its own.
"""

from contextlib import suppress

from pydantic import BaseModel, ConfigDict, ValidationError

from models.bundle import open_bundle
from models.reference import ModelReference
from models.reference_answers import ReferenceAnswers, read_reference
from models.storage.storage import Storage
from worker.job import Job, ModelPin

__all__ = ["NO_NOTE", "ModelName", "ModelNote", "note_model", "read_note"]


class ModelName(BaseModel):
    """What a registry calls a model.

    Attributes:
        asked: what was asked for: ``shop@champion``.
        version: what that meant then: ``shop@3``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    asked: str
    version: str

    @property
    def words(self) -> str:
        """For a person."""
        return self.asked if self.asked == self.version else f"{self.asked}, which was {self.version}"


class ModelNote(BaseModel):
    """What is known of a job's model.

    Attributes:
        variant: that the note is of.
        named: what a registry calls it; none where a path was given.
        reference: what it says of the photos that it was proved on; none where its bundle does not tell, or it is a
            lone file.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    variant: str = ""
    named: ModelName | None = None
    reference: ReferenceAnswers | None = None


NO_NOTE = ModelNote()


def note_model(storage: Storage, pin: ModelPin, model: ModelReference) -> None:
    """Write down what is known of the model of a job that is to be in a folder.

    Raises:
        BundleError: its bundle is damaged.
    """
    named = ModelName(asked=model.asked, version=model.said) if model.asked else None
    reference = read_reference(open_bundle(model.path), pin.variant) if model.path.is_dir() else None
    data = ModelNote(variant=pin.variant, named=named, reference=reference).model_dump_json().encode()
    if not storage.commit(_key(pin), data):
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
