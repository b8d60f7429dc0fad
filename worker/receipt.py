"""What a job proves when it ends: counts, model, errors by kind with examples, speed."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.decision import ReviewReason
from models.errors import JobError
from models.reference_answers import BINS, confidence_histogram
from worker.distinct_photos import DistinctPhotos
from worker.drift import Drift, compared
from worker.job import Job, ModelPin
from worker.model_note import ModelName, read_note
from worker.parts import NO_PHOTO_WORK, PhotoWork, part_work, photo_work
from worker.photos.target import scheme_of
from worker.results import Status

__all__ = [
    "GROUPS_FILE",
    "RECEIPT_FILE",
    "REVIEW_FILE",
    "GroupCounts",
    "Receipt",
    "RunFigures",
    "SampleRow",
    "Tally",
    "finished_receipt",
]

RECEIPT_FILE: Final = "receipt.json"
REVIEW_FILE: Final = "review.csv"
GROUPS_FILE: Final = "by_group.parquet"
_EXAMPLES: Final = 5
_SAMPLE: Final = 48
_SAMPLE_FAILED: Final = 8
_LONGEST_URI: Final = 64


class _Record(BaseModel):
    """What a later version writes besides is left out, so that its receipts can be read during an upgrade."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ErrorExample(_Record):
    """A failed row: its number in the catalogue, from 1, its photo, and what was said of it.

    Of a photo that the catalogue itself holds, ``image`` is the beginning.
    """

    row: int
    image: str | None
    message: str


class ErrorCount(_Record):
    """How often an error happened, and its first rows."""

    count: int
    examples: tuple[ErrorExample, ...]


class RunFigures(_Record):
    """How the last run that labelled something of the job went.

    Attributes:
        images: rows labelled in it (a run that goes on from an earlier one labels fewer than the job has).
        seconds: from starting its processes to their end.
        workers: processes.
        restarts: processes that died and were replaced.
    """

    images: int
    seconds: float
    workers: int
    restarts: int

    @property
    def images_per_s(self) -> float:
        """Rows a second; 0 for a run that had nothing left to do."""
        return self.images / self.seconds if self.images and self.seconds else 0.0


class WorkFigures(_Record):
    """What it took to label the job's rows, over all its runs, as its parts say.

    Attributes:
        hosts: machine → rows it labelled.
        processes: how many processes labelled something.
        deaths: tries at a chunk that ended with their process.
        busy_s: seconds that processes worked on chunks, added up.
    """

    hosts: dict[str, int]
    processes: int
    deaths: int
    busy_s: float


class GroupCounts(_Record):
    """What became of products whose photos are several rows.

    Attributes:
        products: in all.
        labeled: whose photos are sure enough, and agree.
        review: that a person should look at.
        failed: without a readable photo.
        disagreeing: those of ``review`` whose sure photos have two labels.
    """

    products: int
    labeled: int
    review: int
    failed: int
    disagreeing: int


class Receipt(_Record):
    """The contents of ``receipt.json``.

    Attributes:
        retry: number of the retry of failed rows that it was written after; 0 where there was none.
        images_per_s: rows a second in the last run.
        review_reasons: why rows went to review; parts from before there were reasons do not count.
        photos: what the photos took, over all parts; nothing in parts from before this was written down.
        groups: counts of products; none where no column says which rows are of one.
        groups_file: where ``by_group.parquet`` is, if it is.
        review_file: where ``review.csv`` is; none in receipts from before it was written.
        named: what a registry calls the model; none where a path was given.
        drift: how far the photos are from those that the model was proved on; none where its bundle does not tell.
    """

    job: str
    source: str
    output: str
    finished_at: str
    model: ModelPin
    rows: int
    by_status: dict[Status, int]
    by_label: dict[str, int]
    errors: dict[str, ErrorCount]
    confidence_histogram: Annotated[tuple[int, ...], Field(min_length=BINS, max_length=BINS)]
    left_out: dict[str, int]
    retry: int
    work: WorkFigures
    run: RunFigures
    images_per_s: float
    review_reasons: dict[ReviewReason, int] = Field(default_factory=dict)
    photos: PhotoWork = NO_PHOTO_WORK
    groups: GroupCounts | None = None
    groups_file: str | None = None
    review_file: str | None = None
    named: ModelName | None = None
    drift: Drift | None = None


@dataclass(frozen=True)
class SampleRow:
    """A row to look at: its photo, and what became of it."""

    image: str | None
    status: Status
    label: str | None
    confidence: float | None
    error: str | None
    reason: ReviewReason | None = None


@dataclass
class Tally:
    """Counts over a job's parts, a part at a time; memory does not grow with the rows.

    Attributes:
        sample: rows that were not failed, each row as likely as any other.
        failed_sample: the first failed rows.
        distinct: the photos, each once, for telling drift.
    """

    rows: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_label: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[ErrorExample]] = field(default_factory=dict)
    histogram: np.ndarray[tuple[int], np.dtype[np.int64]] = field(default_factory=lambda: np.zeros(BINS, np.int64))

    sample: list[SampleRow] = field(default_factory=list)
    failed_sample: list[SampleRow] = field(default_factory=list)
    hosts: Counter[str] = field(default_factory=Counter)
    processes: set[str] = field(default_factory=set)
    deaths: int = 0
    busy_s: float = 0.0
    photos: PhotoWork = NO_PHOTO_WORK
    distinct: DistinctPhotos = field(default_factory=DistinctPhotos)
    _readable: int = 0
    _random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - which photos to show is no secret

    def add(self, part: pa.Table, images: list[str | None]) -> None:
        """Count the results of one chunk, and the photos they are of; chunks come in order."""
        self._count_work(part)
        self.by_status.update(part.column("status").to_pylist())
        self.by_label.update(part.column("label").drop_null().to_pylist())
        if "reason" in part.column_names:
            self.reasons.update(part.column("reason").drop_null().to_pylist())
        confidence = part.column("confidence").drop_null().to_numpy()
        self.histogram += confidence_histogram(confidence)
        self.distinct.add(part)
        faults = zip(part.column("error").to_pylist(), part.column("error_message").to_pylist(), strict=True)
        for number, (kind, message) in enumerate(faults):
            if kind is None:
                self._consider(part, number, images[number])
            else:
                example = ErrorExample(row=self.rows + number + 1, image=_named(images[number]), message=message)
                self._count_error(kind, example)
        self.rows += part.num_rows

    def _count_work(self, part: pa.Table) -> None:
        work = part_work(part.schema)
        self.hosts[work.worker.rpartition(":")[0]] += work.rows
        self.processes.add(work.worker)
        self.deaths += work.deaths
        self.busy_s += work.seconds
        self.photos += photo_work(part.schema)

    def _consider(self, part: pa.Table, number: int, image: str | None) -> None:
        """Reservoir sampling: Vitter, "Random sampling with a reservoir", algorithm R (1985)."""
        self._readable += 1
        place = len(self.sample) if len(self.sample) < _SAMPLE else self._random.randrange(self._readable)
        if place < _SAMPLE:
            self.sample[place : place + 1] = [_sample_row(part, number, image)]

    def _count_error(self, kind: str, example: ErrorExample) -> None:
        self.errors[kind] += 1
        if self.errors[kind] <= _EXAMPLES:
            self.examples.setdefault(kind, []).append(example)
        if len(self.failed_sample) < _SAMPLE_FAILED:
            self.failed_sample.append(SampleRow(example.image, Status.FAILED, None, None, kind))

    def receipt(
        self, job: Job, output: str, run: RunFigures, retry: int = 0, groups: GroupCounts | None = None
    ) -> Receipt:
        """The receipt of a merged job, after the retry of that number."""
        note = read_note(job)
        return Receipt(
            job=job.spec.id,
            source=job.spec.source,
            output=output,
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            model=job.spec.model,
            rows=self.rows,
            by_status={status: self.by_status[status] for status in Status},
            by_label=dict(self.by_label.most_common()),
            errors={
                kind: ErrorCount(count=count, examples=tuple(self.examples[kind]))
                for kind, count in self.errors.most_common()
            },
            confidence_histogram=tuple(int(count) for count in self.histogram),
            left_out=job.spec.left_out,
            retry=retry,
            work=WorkFigures(
                hosts=dict(self.hosts.most_common()),
                processes=len(self.processes),
                deaths=self.deaths,
                busy_s=round(self.busy_s, 1),
            ),
            run=run,
            images_per_s=round(run.images_per_s, 1),
            review_reasons={reason: self.reasons[reason] for reason in ReviewReason if self.reasons[reason]},
            photos=self.photos.rounded(),
            groups=groups,
            groups_file=f"{job.storage.place}/{GROUPS_FILE}" if groups else None,
            review_file=f"{job.storage.place}/{REVIEW_FILE}",
            named=note.named,
            drift=compared(self.distinct.answers(), note.reference) if note.reference else None,
        )


def _sample_row(part: pa.Table, number: int, image: str | None) -> SampleRow:
    """A row that has a label; parts from before there were reasons say none."""
    said = part.slice(number, 1).to_pylist()[0]
    reason = said.get("reason")
    why = None if reason is None else ReviewReason(reason)
    return SampleRow(image, Status(said["status"]), said["label"], said["confidence"], None, why)


def _named(cell: str | None) -> str | None:
    if cell is not None and len(cell) > _LONGEST_URI and scheme_of(cell) == "data":
        return f"{cell[:_LONGEST_URI]}…"
    return cell


def finished_receipt(job: Job) -> Receipt | None:
    """The receipt of a job that is finished, its latest retry included."""
    if not job.storage.exists(RECEIPT_FILE):
        return None
    try:
        receipt = Receipt.model_validate_json(job.storage.read(RECEIPT_FILE))
    except ValidationError as error:
        msg = (
            f"{RECEIPT_FILE} in {job.storage.place} is damaged, or of another version of Hangtag than this one; delete "
            "it, and it is written anew."
        )
        raise JobError(msg) from error
    return receipt if receipt.job == job.spec.id and receipt.retry == job.retry().number else None
