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

    Attributes:
        precision: the promise that rules, asked for or the model's own.
        all_to_review: whether no precision is promised for any class, and no threshold was asked for.
        threshold: the confidence that was asked for in place of a promise.
        taxonomy: of its tree of labels, label → its parent; None without one.
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
    """Which of a job's two models labels all of it, decided once, by whoever first wanted to label.

    Attributes:
        variant: of the chosen model.
        because: where and how the submitted one's golden samples disagreed; empty if that one was chosen.
    """

    variant: str
    because: str = ""


class Question(_Record):
    """What one model is asked about each photo.

    Attributes:
        name: before the names of its columns; empty for the only model of a job.
        model: the submitted one; :attr:`worker.job.job.Job.model` is the one that labels.
        fallback: another variant of the same bundle, which labels all of the job if the first worker does not repeat
            the golden samples of ``model``; None if somebody named a variant.
    """

    name: str
    model: ModelPin
    fallback: ModelPin | None = None


class JobSpec(_Record):
    """The contents of ``job.json``; never changed once written.

    Attributes:
        image_root: where relative paths start: a folder, or an ``s3://`` or ``http(s)://`` URL.
        left_out: ending → how many files of a folder were left out, since their names are not those of images.
        preprocess_version: of ``models/preprocess.py``; workers of another version refuse the job.
        confined: whether photos on disk may be read from under ``image_root`` only, as in all queued jobs.
        needs_root: whether a row names a path under ``image_root``, and that is a folder: then workers must have it.
        chunks_per_file: chunks in a file of rows; fewer where rows are large, as those that hold their photos are.
        questions: at least one.
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
