"""A job's receipt, with counts of its results and errors."""

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

_KEEP: Final = "With --fixed-thresholds, these rows stay labeled."


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ErrorExample(_Record):
    """A failed row. ``row``: its number, from 1. ``image``: path, URL or shortened data URI."""

    row: int
    image: str | None
    message: str


class ErrorCount(_Record):
    """How many rows have an error, and a few of these rows."""

    count: int
    examples: tuple[ErrorExample, ...]


class RunFigures(_Record):
    """Rows, seconds and workers of the last labelling run."""

    images: int
    seconds: float
    workers: int


class WorkFigures(_Record):
    """Labelling statistics of all chunks.

    ``hosts``: host → rows that it labelled. ``deaths``: attempts whose process died.
    """

    hosts: dict[str, int]
    processes: int
    deaths: int


class GroupCounts(_Record):
    """Counts of products by status.

    ``disagreeing``: products whose labeled photos have different labels. ``ungrouped``: rows whose cell in ``column``
    is empty.
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
        """Text such as ``12, 9 labeled, 2 to review (1 whose photos disagree), 1 failed (no usable photo)``."""
        disagreeing = f" ({self.disagreeing:,} whose photos disagree)" if self.disagreeing else ""
        review = f"{self.review:,} to review{disagreeing}"
        failed = f"{self.failed:,} failed" + (" (no usable photo)" if self.failed else "")
        return f"{self.products:,}, {self.labeled:,} labeled, {review}, {failed}"

    @property
    def ungrouped_words(self) -> str:
        """A sentence such as ``40 rows have no Title, so they belong to no product.``, or empty."""
        one, many = (f"{have} no {self.column}, so" for have in ("row has", "rows have"))
        rows = number_of(self.ungrouped, f"{one} it belongs", f"{many} they belong")
        return f"{rows} to no product." if self.ungrouped else ""


class ModelName(_Record):
    """A model's name in the request (``asked``: ``shop@champion``) and its ``version`` (``shop@3``)."""

    asked: str
    version: str

    @property
    def words(self) -> str:
        """The model's name, shown to people."""
        return self.asked if self.asked == self.version else f"{self.asked}, which was {self.version}"


class Drift(_Record):
    """Population stability indices (PSI) between a job's distinct photos and the model's proof photos.

    ``warning``: None unless the difference is large and significant. ``finding`` is never empty.
    """

    confidence_psi: float
    label_psi: float
    rows: int
    warning: str | None
    reference: ReferenceAnswers
    finding: str


class RepeatedPicture(_Record):
    """A picture that many rows share. These rows went to review. ``row``, ``image``: of the first row."""

    rows: int
    row: int
    image: str | None

    @property
    def words(self) -> str:
        """A sentence such as ``800 rows show one picture (first: row 3, hat.jpg). …``."""
        where = f"first: row {self.row:,}, {self.image}"
        return f"{self.rows:,} rows show one picture ({where}). The review asks for the picture's label only once."


class ClassMix(_Record):
    """The expected precision of labels, with a 90% interval, for this catalogue's mix of classes.

    ``raised``: rows with a lower confidence went to review; above 1, all rows. ``shares``: (class,
    fraction of the catalogue, fraction of the proof photos) for the class that differs most.
    """

    promised: float
    expected: float
    low: float
    high: float
    raised: float | None
    shares: tuple[str, float, float]

    @property
    def holds(self) -> bool:
        """Whether the lower end of the interval is at least the promised precision."""
        return self.low >= self.promised

    @property
    def words(self) -> str:
        """Sentences that compare the expected precision with the promised precision."""
        name, share, before = self.shares
        if self.holds:
            interval = f"{self.expected:.1%} (from {self.low:.1%} to {self.high:.1%}) of the labels should be right"
            finding = f"If these photos differ from the training photos only in the mix of classes, {interval}"
            if self.low == 1:
                finding = "With this mix of classes, no proof photo gets a wrong label"
            return f"{finding}; {self.promised:.0%} is promised."
        cause = (
            f"The training photos had a different mix of classes: {name} is about {share:.0%} of the rows, but was "
            f"{before:.0%} of the training photos. With the model's thresholds, {self.low:.1%} to {self.high:.1%} of "
            f"the labels are probably right; {self.promised:.0%} is promised."
        )
        if self.raised is None:
            return f"{cause} Check some labels before you use them."
        if self.raised > 1:
            return f"{cause} No confidence is high enough, so every row went to review. {_KEEP}"
        return f"{cause} Labels with a confidence under {self.raised:.3f} went to review. {_KEEP}"


class Audit(_Record):
    """The precision that reviewers measured on ``drawn`` labeled rows. ``asked``: the requested number of rows.

    ``disputed``: rows on which reviewers disagree, excluded from the precision. ``low``, ``high``: 95% interval of the
    measured precision. ``promised``: the job's promised precision.
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
        """The fraction of right labels; None until a reviewer answers."""
        return self.right / self.answered if self.answered else None

    @property
    def words(self) -> str:
        """Text such as ``0.98 promised, 0.985 measured (0.96 to 0.996) in 300 rows``."""
        promised = "no precision promised" if self.promised is None else f"{precision_text(self.promised)} promised"
        if self.precision is None:
            return f"{promised}; {number_of(self.drawn, 'row')} sampled for the audit, no answers yet"
        low, high, found = (round(value, 3) for value in (self.low, self.high, self.precision))
        rows = (
            number_of(self.answered, "row")
            if self.answered == self.drawn
            else f"{self.answered:,} of {self.drawn:,} rows"
        )
        disputed = f"; reviewers disagree on {self.disputed:,}" if self.disputed else ""
        return f"{promised}, {found:g} measured ({low:g} to {high:g}) in {rows}{disputed}"


class AuditFile(_Record):
    """The contents of ``audit.json``. ``sample``: row numbers, from 1. ``retry``: how many retries the job had."""

    job: str
    retry: int
    sample: tuple[int, ...]
    figures: Audit


class _WholeReceipt(_Record):
    """Fields of every receipt. ``images_per_s``: 0 if the last run could read no photo."""

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
    """The receipt of a question, or of a job with one model.

    ``by_level``: number of labeled rows by level in the label tree. ``drift``: None if the bundle has no reference
    answers. ``mix``: None without a promised precision, or with too few rows. ``repeated``: the five most frequent
    pictures.
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
        """Text such as ``71.0% labeled with a class, 94.2% with a class or a broader label``, or empty."""
        if not self.by_level:
            return ""
        leaves, whole = self.by_level.get(0, 0), sum(self.by_level.values())
        shares = (f"{count / self.rows:.1%}" for count in (leaves, whole))
        return "{} labeled with a class, {} with a class or a broader label".format(*shares)


class QuestionsReceipt(_WholeReceipt):
    """The receipt of a job with named models.

    ``by_status``: row counts by worst status. ``errors``: row counts by first error.
    """

    promise: ClassVar = "A precision is promised for each question, not for all labels of a row together."
    questions: dict[str, Receipt]

    @property
    def by_label(self) -> dict[str, int]:
        """Label → number of rows, summed over questions."""
        counts: Counter[str] = Counter()
        for receipt in self.questions.values():
            counts.update(receipt.by_label)
        return dict(counts)


JobReceipt = Receipt | QuestionsReceipt
_Kind = TypeVar("_Kind", Receipt, QuestionsReceipt)


@dataclass(frozen=True)
class SampleRow:
    """A row on a receipt page: its photo and its result."""

    image: str | None
    status: Status
    label: str | None
    confidence: float | None
    error: str | None
    reason: ReviewReason | None = None


def corrected_name(file: str) -> str:
    """The name of a file's corrected copy: ``review.corrected.csv`` for ``review.csv``."""
    path = Path(file)
    return f"{path.stem}.corrected{path.suffix}"


def groups_file(result: str | Path) -> str:
    """The name of the file of products: .csv for a CSV result, else .parquet."""
    return GROUPS_FILES[Path(result).suffix.lower() == ".csv"]


def died_words(deaths: int) -> str:
    """Say how many attempts at chunks were repeated."""
    return number_of(
        deaths,
        "attempt at a chunk was repeated after its process died",
        "attempts at chunks were repeated after their process died",
    )


def job_receipt(job: Job) -> JobReceipt | None:
    """A job's receipt; None until the job and its latest retry are finished. Raises JobError."""
    if not job.spec.named:
        return finished_receipt(job)
    receipt = _finished(job, QuestionsReceipt)
    if receipt is None:
        return None
    audits = {one.name: noted.figures for one in job.questions if (noted := read_audit(one))}
    audited = {name: own.model_copy(update={"audit": audits.get(name)}) for name, own in receipt.questions.items()}
    return receipt.model_copy(update={"questions": audited})


def finished_receipt(job: Job) -> Receipt | None:
    """Like :func:`job_receipt`, for a question or a job with one model."""
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
            f"{RECEIPT_FILE} in {job.storage.place} is damaged, or from another Hangtag version; delete it, and "
            "Hangtag writes a new one."
        )
        raise JobError(msg) from error
    return receipt if receipt.job == job.spec.id and receipt.retry == job.retry().number else None


def read_audit(job: Job, *, of_any_retry: bool = False) -> AuditFile | None:
    """The job's ``audit.json``, or None. Ignores audits before the last retry unless ``of_any_retry``."""
    try:
        noted = AuditFile.model_validate_json(job.storage.read(AUDIT_FILE))
    except (FileNotFoundError, ValidationError):  # a new audit samples the same rows
        return None
    current = of_any_retry or noted.retry == job.retry().number
    return noted if noted.job == job.spec.id and current else None


def started_at(job: Job, retry: Retry, first_s: float, took_s: float) -> float:
    """When a worker began the first chunk, in seconds since 1970."""
    created = datetime.fromisoformat(retry.begun_at or job.spec.created_at).timestamp()
    return max(created, first_s - took_s)
