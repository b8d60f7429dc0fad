"""The records of a job: its catalogue, models and options (``job.json``), and which of two models labels it."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from models.decision import rule_text
from worker.priority import Priority

QUESTION_NAME: Final = "^[A-Za-z0-9_-]{1,40}$"
CHUNKS_PER_FILE: Final = 256


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelPin(_Record):
    """The model that a job is labelled with, whatever happens to the bundle's name later.

    Attributes:
        precision: the promise that rules, asked for or the model's own.
        all_to_review: whether no precision is promised for any class, and no threshold was asked for.
        threshold: the confidence that was asked for in place of a promise.
        taxonomy: of its tree of labels, label → its parent; None without one, and then it is not written.
    """

    path: str
    reference: str
    variant: str
    digest: str
    precision: float | None = None
    all_to_review: bool = False
    threshold: float | None = None
    taxonomy: dict[str, str] | None = None

    @model_serializer(mode="wrap")
    def _without_tree(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said: dict[str, Any] = write(self)
        return {key: value for key, value in said.items() if key != "taxonomy" or value is not None}

    @property
    def rule(self) -> str:
        """What decides which rows are labeled, in a sentence."""
        return rule_text(self.precision, self.threshold, all_to_review=self.all_to_review)

    @property
    def unpromised(self) -> bool:
        """Whether an earlier Hangtag made the job, and labels rows without a promise or an asked-for threshold."""
        return self.precision is None and self.threshold is None and not self.all_to_review


class Choice(_Record):
    """Which of a job's two models labels all of it, decided once, by whoever first wanted to label.

    Attributes:
        variant: of the chosen model.
        because: where and how the submitted one's golden samples disagreed; empty if that one was chosen.
    """

    variant: str
    because: str = ""


class JobOptions(_Record):
    """Options that change the results.

    Attributes:
        precision: the target that was asked for. Default: the model's own.
        group_column: says which rows are photos of one product.
        allow_hosts: ``HOST:PORT`` of hosts from which photos may be fetched though their addresses are not public.
        download_timeout_s: seconds that one photo's download may take, tries and waits included.
        excel_safe: whether a CSV result is for spreadsheets: no cell starts a formula, not even one of the catalogue's,
            and it has a byte order mark, as ``review.csv`` then.
        threshold: the confidence that was asked for in place of a promised precision.
    """

    prefix: str = ""
    top_k: Annotated[int, Field(ge=1)] = 3
    timeout_s: Annotated[float, Field(gt=0.0)] = 10.0
    precision: float | None = None
    group_column: str | None = None
    allow_hosts: tuple[str, ...] | None = Field(default=None, strict=False)
    download_timeout_s: Annotated[float, Field(gt=0.0)] | None = None
    excel_safe: Literal[True] | None = None
    threshold: float | None = None

    def of_question(self, name: str) -> "JobOptions":
        """The options of a question of that name: its columns have its name before theirs."""
        return self.model_copy(update={"prefix": f"{self.prefix}{name}_"}) if name else self


USUAL_OPTIONS: Final = JobOptions()


class Question(_Record):
    """One of a job's questions: the name before its columns, and the model that answers it; see :class:`JobSpec`."""

    name: Annotated[str, Field(pattern=QUESTION_NAME)]
    model: ModelPin
    fallback: ModelPin | None = None


class JobSpec(_Record):
    """The contents of ``job.json``; never changed once written.

    Attributes:
        image_root: where relative paths start: a folder, or an ``s3://`` or ``http(s)://`` URL.
        left_out: ending → how many files of a folder were left out, since their names are not those of images.
        preprocess_version: of ``models/preprocess.py``; workers of another version refuse the job.
        confined: whether photos on disk may be read from under ``image_root`` only, as in all queued jobs but those of
            version 2.
        per_host: downloads from one host at once, of each process.
        needs_root: whether a row names a path under ``image_root``, and that is a folder: then workers must have it.
        chunks_per_file: chunks in a file of rows; fewer where rows are large, as those that hold their photos are.
        model: the submitted one; :attr:`Job.model` is the one that labels.
        fallback: another variant of the same bundle, which labels all of the job if the first worker does not repeat
            the golden samples of ``model``; None if somebody named a variant.
        questions: of a job with named models, which alone is of version 6; ``model`` is the first one's then.
    """

    schema_version: Literal[2, 3, 4, 5, 6]
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
    model: ModelPin
    options: JobOptions
    digest: str
    confined: bool = False
    per_host: Annotated[int, Field(ge=1)] | None = None
    needs_root: bool = True
    chunks_per_file: Annotated[int, Field(ge=1)] = CHUNKS_PER_FILE
    fallback: ModelPin | None = None
    questions: tuple[Question, ...] = ()

    @model_serializer(mode="wrap")
    def _without_questions(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Earlier versions can read jobs without named models."""
        said: dict[str, Any] = write(self)
        return {key: value for key, value in said.items() if key != "questions" or value}
