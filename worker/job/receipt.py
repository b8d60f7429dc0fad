"""A job's receipt: counts, model, errors by kind with examples, speed; and what an audit of the job has found."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.decision import ReviewReason, precision_text
from models.drift import BINS, ReferenceAnswers
from models.errors import JobError
from models.text import number_of
from worker.job.job import Job, ModelPin, Retry
from worker.job.parts import PhotoWork, Status

RECEIPT_FILE: Final = "receipt.json"
PAGE_FILE: Final = "receipt.html"
REVIEW_FILE: Final = "review.csv"
AUDIT_FILE: Final = "audit.json"
GROUPS_FILES: Final = ("by_group.parquet", "by_group.csv")

_KEEP: Final = "With --fixed-thresholds they stay labels."


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ErrorExample(_Record):
    """A failed row, by its number from 1; a cell that holds the photo itself is cut short in ``image``."""

    row: int
    image: str | None
    message: str


class ErrorCount(_Record):
    """How often an error happened, and the first rows with this error."""

    count: int
    examples: tuple[ErrorExample, ...]


class RunFigures(_Record):
    """Figures of the last run that labelled rows."""

    images: int
    seconds: float
    workers: int


class WorkFigures(_Record):
    """The work of all parts: rows by host, the number of processes, and tries that died with their process."""

    hosts: dict[str, int]
    processes: int
    deaths: int


class GroupCounts(_Record):
    """Counts of products by status.

    ``disagreeing``: products whose sure photos have different labels. ``ungrouped``: rows whose cell in
    ``column`` is empty.
    """

    column: str
    ungrouped: int
    products: int
    labeled: int
    review: int
    failed: int
    disagreeing: int

    @property
    def words(self) -> str:
        """Such as ``12, 9 labeled, 2 to review (1 whose photos disagree), 1 failed``."""
        disagreeing = f" ({self.disagreeing:,} whose photos disagree)" if self.disagreeing else ""
        review = f"{self.review:,} to review{disagreeing}"
        return f"{self.products:,}, {self.labeled:,} labeled, {review}, {self.failed:,} failed"

    @property
    def ungrouped_words(self) -> str:
        """Such as ``40 rows have no Title, so they belong to no product.``; empty without such rows."""
        one, many = (f"{have} no {self.column}, so" for have in ("row has", "rows have"))
        rows = number_of(self.ungrouped, f"{one} it belongs", f"{many} they belong")
        return f"{rows} to no product." if self.ungrouped else ""


class ModelName(_Record):
    """A model's name in a registry, as ``asked`` (``shop@champion``), and the version that it named (``shop@3``)."""

    asked: str
    version: str

    @property
    def words(self) -> str:
        """For a person."""
        return self.asked if self.asked == self.version else f"{self.asked}, which was {self.version}"


class Drift(_Record):
    """How much a job's distinct photos differ from the proof's, by population stability indices (PSI).

    ``warning`` is None if the difference is small, or chance may explain it; ``finding`` is always a sentence.
    """

    confidence_psi: float
    label_psi: float
    rows: int
    warning: str | None
    reference: ReferenceAnswers
    finding: str


class RepeatedPicture(_Record):
    """A picture under many rows, which went to review: the first row's number, from 1, and its cell."""

    rows: int
    row: int
    image: str | None

    @property
    def words(self) -> str:
        """Such as ``One picture is under 800 rows (first: row 3, hat.jpg). What does it show? …``."""
        where = f"first: row {self.row:,}, {self.image}"
        return (
            f"One picture is under {self.rows:,} rows ({where}). What does it show? Its rows are one question in the "
            "review."
        )


class ClassMix(_Record):
    """The precision that labels are expected to have, with its 90% interval, for this catalogue's mix of classes.

    ``raised``: rows with less confidence went to review, so that the promise holds for the others; above 1 if all rows
    went to review. ``shares``: the class whose share differs most from the proof's, and both shares.
    """

    promised: float
    expected: float
    low: float
    high: float
    raised: float | None
    shares: tuple[str, float, float]

    @property
    def holds(self) -> bool:
        """Whether the promise can be expected to hold."""
        return self.low >= self.promised

    @property
    def words(self) -> str:
        """What is expected, and what follows from it."""
        name, share, before = self.shares
        if self.holds:
            interval = f"{self.expected:.1%} (from {self.low:.1%} to {self.high:.1%})"
            return (
                f"For this mix of classes, {interval} of the labels should be right; {self.promised:.0%} is promised."
            )
        cause = (
            f"The mix of classes is unlike that of the training photos: {name} is about {share:.0%} of the rows, not "
            f"{before:.0%}. With the model's thresholds, only {self.low:.1%} to {self.high:.1%} of the labels may be "
            f"right; {self.promised:.0%} is promised."
        )
        if self.raised is None:
            return f"{cause} Check some labels before you use them."
        if self.raised > 1:
            return f"{cause} No confidence is high enough, so every row went to review. {_KEEP}"
        return f"{cause} So labels with a confidence under {self.raised:.3f} went to review. {_KEEP}"


class Audit(_Record):
    """What reviewers found in ``drawn`` labeled rows; ``asked``: how many rows a person wanted to draw.

    Rows on which reviewers disagree do not count. ``low`` and ``high`` are the 95% interval of the precision that they
    found; ``promised``: the precision that the job promised.
    """

    asked: int
    drawn: int
    answered: int
    right: int
    disputed: int
    low: float
    high: float
    promised: float | None

    @property
    def precision(self) -> float | None:
        """The share of right labels; None before the first answer."""
        return self.right / self.answered if self.answered else None

    @property
    def words(self) -> str:
        """Such as ``0.98 promised, 0.985 found (0.96 to 0.996) in 300 rows``."""
        promised = "no precision promised" if self.promised is None else f"{precision_text(self.promised)} promised"
        if self.precision is None:
            return f"{promised}; {number_of(self.drawn, 'row')} drawn to check it, none answered yet"
        low, high, found = (round(value, 3) for value in (self.low, self.high, self.precision))
        rows = (
            number_of(self.answered, "row")
            if self.answered == self.drawn
            else f"{self.answered:,} of {self.drawn:,} rows"
        )
        disputed = f"; reviewers disagree on {self.disputed:,}" if self.disputed else ""
        return f"{promised}, {found:g} found ({low:g} to {high:g}) in {rows}{disputed}"


class AuditFile(_Record):
    """The contents of ``audit.json``; ``sample``: row numbers from 1, as drawn after retry number ``retry``."""

    job: str
    retry: int
    sample: tuple[int, ...]
    figures: Audit


class _WholeReceipt(_Record):
    """What every receipt has; ``images_per_s`` is 0 if no photo of the last run could be read."""

    schema_version: Literal[1] = 1
    job: str
    source: str
    output: str
    finished_at: str
    rows: int
    by_status: dict[Status, int]
    errors: dict[str, ErrorCount]
    left_out: dict[str, int]
    retry: int
    work: WorkFigures
    run: RunFigures
    images_per_s: float
    photos: PhotoWork


class Receipt(_WholeReceipt):
    """The contents of ``receipt.json`` of a job with one model, or of a question.

    ``by_level`` has rows labeled at each level of a tree; ``drift`` is None if the bundle has no reference; ``mix`` is
    None without a promise or with too few rows. ``repeated`` has the five pictures with most rows.
    """

    model: ModelPin
    by_label: dict[str, int]
    by_level: dict[int, int]
    review_by_label: dict[str, int]
    review_reasons: dict[ReviewReason, int]
    confidence_histogram: Annotated[tuple[int, ...], Field(min_length=BINS, max_length=BINS)]
    groups: GroupCounts | None
    groups_file: str | None
    review_file: str
    named: ModelName | None
    drift: Drift | None
    repeated: tuple[RepeatedPicture, ...] = ()
    mix: ClassMix | None = None
    audit: Audit | None = None

    @property
    def level_words(self) -> str:
        """Such as ``71.0% labeled with a class, 94.2% with a class or a label above it``; empty without a tree."""
        if not self.by_level:
            return ""
        leaves, whole = self.by_level.get(0, 0), sum(self.by_level.values())
        shares = (f"{count / self.rows:.1%}" for count in (leaves, whole))
        return "{} labeled with a class, {} with a class or a label above it".format(*shares)


class QuestionsReceipt(_WholeReceipt):
    """The contents of ``receipt.json`` of a job with named models.

    ``by_status`` counts rows by the worst status of their questions, ``errors`` counts rows by their first error.
    """

    promise: ClassVar = (
        "Each question has its own promise. How often several labels of a row are right together is not promised."
    )
    questions: dict[str, Receipt]

    @property
    def by_label(self) -> dict[str, int]:
        """Rows by label, added up over all questions; empty if no row has a label."""
        counts: Counter[str] = Counter()
        for receipt in self.questions.values():
            counts.update(receipt.by_label)
        return dict(counts)


JobReceipt = Receipt | QuestionsReceipt
_Kind = TypeVar("_Kind", Receipt, QuestionsReceipt)


@dataclass(frozen=True)
class SampleRow:
    """A row to show on a page: its photo and its result."""

    image: str | None
    status: Status
    label: str | None
    confidence: float | None
    error: str | None
    reason: ReviewReason | None = None


def groups_file(result: str | Path) -> str:
    """The name of the file of products beside a result: it ends in .csv like the result, or else in .parquet."""
    return GROUPS_FILES[Path(result).suffix.lower() == ".csv"]


def died_words(deaths: int) -> str:
    """How many tries at chunks ended because their process died; a process may have several chunks in hand."""
    return number_of(
        deaths,
        "chunk lost its process; another process did its rows again",
        "chunks lost their process; another process did their rows again",
    )


def job_receipt(job: Job) -> JobReceipt | None:
    """The receipt of a job with any number of models; None until the job, with its latest retry, is finished."""
    if not job.spec.named:
        return finished_receipt(job)
    receipt = _finished(job, QuestionsReceipt)
    if receipt is None:
        return None
    audits = {one.name: noted.figures for one in job.questions if (noted := read_audit(one))}
    audited = {name: own.model_copy(update={"audit": audits.get(name)}) for name, own in receipt.questions.items()}
    return receipt.model_copy(update={"questions": audited})


def finished_receipt(job: Job) -> Receipt | None:
    """:func:`job_receipt` of a job with one model, or of a question."""
    receipt = _finished(job, Receipt)
    audit = read_audit(job) if receipt else None
    return receipt.model_copy(update={"audit": audit.figures}) if receipt and audit else receipt


def _finished(job: Job, kind: type[_Kind]) -> _Kind | None:
    if not job.storage.exists(RECEIPT_FILE):
        return None
    try:
        receipt = kind.model_validate_json(job.storage.read(RECEIPT_FILE))
    except ValidationError as error:
        msg = (
            f"{RECEIPT_FILE} in {job.storage.place} is damaged, or of another version; delete it: it is written again."
        )
        raise JobError(msg) from error
    return receipt if receipt.job == job.spec.id and receipt.retry == job.retry().number else None


def read_audit(job: Job, *, of_any_retry: bool = False) -> AuditFile | None:
    """The job's ``audit.json``; None if it is older than the last retry, unless ``of_any_retry``."""
    try:
        noted = AuditFile.model_validate_json(job.storage.read(AUDIT_FILE))
    except (FileNotFoundError, ValidationError):  # drawing again replaces a damaged sample by the same rows
        return None
    current = of_any_retry or noted.retry == job.retry().number
    return noted if noted.job == job.spec.id and current else None


def started_at(job: Job, retry: Retry, first_s: float, took_s: float) -> float:
    """When a worker took the first chunk, in seconds since 1970; rates leave out the time before."""
    created = datetime.fromisoformat(retry.begun_at or job.spec.created_at).timestamp()
    return max(created, first_s - took_s)
