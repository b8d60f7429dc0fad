"""The contents of ``job.json``: a job's catalogue, models and options; and which of two models labels it."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.decision import rule_text
from worker.request import JobOptions, Priority

CHUNKS_PER_FILE: Final = 256


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelPin(_Record):
    """The model that a job is labelled with, whatever happens to the bundle's name later.

    ``precision`` is the promise that rules; without one, and without a ``threshold`` that was asked for in its place,
    ``all_to_review`` is set. ``taxonomy``: label → its parent.
    """

    path: str
    reference: str
    variant: str
    digest: str
    precision: float | None = None
    all_to_review: bool = False
    threshold: float | None = None
    taxonomy: dict[str, str] | None = None

    @property
    def rule(self) -> str:
        """What decides which rows are labeled, in a sentence."""
        return rule_text(self.precision, self.threshold, all_to_review=self.all_to_review)


class Choice(_Record):
    """Which of a job's two models labels it all; ``because`` says how the submitted one's golden samples disagreed."""

    variant: str
    because: str = ""


class Question(_Record):
    """What one model is asked about each photo; its name is before those of its columns.

    ``fallback``, another variant of the bundle, labels the job if the first worker does not repeat the golden samples
    of ``model``; None if somebody named a variant.
    """

    name: str
    model: ModelPin
    fallback: ModelPin | None = None


class JobSpec(_Record):
    """The contents of ``job.json``; never changed once written.

    Workers with another ``preprocess_version`` refuse the job. If it is ``confined``, as all queued jobs are, photos on
    disk are read from under ``image_root`` only; if it ``needs_root``, workers must have that folder. ``left_out``
    counts a folder's other files by their ending.
    """

    schema_version: Literal[1] = 1
    id: str
    created_at: str
    source: str
    image_column: str
    image_root: str
    rows: int
    chunk_rows: int
    chunks: int
    rows_digest: str
    left_out: dict[str, int]
    priority: Priority
    preprocess_version: str
    questions: Annotated[tuple[Question, ...], Field(min_length=1)]
    options: JobOptions
    digest: str
    confined: bool
    needs_root: bool
    chunks_per_file: Annotated[int, Field(ge=1)] = CHUNKS_PER_FILE

    @property
    def model(self) -> ModelPin:
        """The submitted model; of several, the first."""
        return self.questions[0].model

    @property
    def fallback(self) -> ModelPin | None:
        """The fallback of :attr:`model`."""
        return self.questions[0].fallback

    @property
    def named(self) -> bool:
        """Whether its models have names, each with columns of its own."""
        return bool(self.questions[0].name)
