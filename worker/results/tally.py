"""Counts of a job's results for its receipt. Memory does not grow with the number of rows."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from random import Random
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalogue.urls import SHOWN, readable
from models.decision import ReviewReason
from models.drift import BINS, ReferenceAnswers, answers_of, confidence_histogram
from models.errors import ImageFault
from models.text import without_secrets
from worker.job.job import Job, images_at, shown_cell
from worker.job.model import read_note
from worker.job.parts import PART_SCHEMA, PartRow, PhotoWork, Status, part_work, with_leaves
from worker.job.receipt import (
    REVIEW_FILE,
    ClassMix,
    ErrorCount,
    ErrorExample,
    GroupCounts,
    QuestionsReceipt,
    Receipt,
    RepeatedPicture,
    RunFigures,
    SampleRow,
    WorkFigures,
    groups_file,
)
from worker.results.drift import measure_drift

Images = Callable[[pa.Array], list[str | None]]
"""Maps row indices in a batch to image cells."""
MOST: Final = 20_000
_ANSWER: Final = ["sha256", "label", "confidence"]
_HIGHEST: Final = "g"
"""A string that sorts after every hexadecimal number."""
_EXAMPLES: Final = 5
_LONGEST_IMAGE: Final = 300
_SAMPLE: Final = 48
_SAMPLE_FAILED: Final = 8
_MOST_LABELS: Final = 12
_EACH: Final = 6


class DistinctPhotos:
    """Counts answers on all rows, and on a sample of distinct photos (lowest SHA-256).

    The order of rows does not change the sample. Source: Beyer, Haas, Reinwald, Sismanis and Gemulla, "On synopses for
    distinct-value estimation under multiset operations" (SIGMOD 2007).
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept = pa.schema([PART_SCHEMA.field(name) for name in _ANSWER]).empty_table()
        self._limit = _HIGHEST
        self._labels = Counter[str]()
        self._histogram = np.zeros(BINS, np.int64)

    def add(self, results: pa.Table) -> None:
        """Count the results of a batch of rows."""
        answers = with_leaves(results).select(_ANSWER).drop_null()
        _count(self._labels, answers.column("label"))
        self._histogram += confidence_histogram(answers.column("confidence").to_numpy())
        low = answers.filter(pc.less_equal(answers.column("sha256"), self._limit))
        self._kept = pa.concat_tables([self._kept, low])
        if len(self._kept) > 4 * self._most:
            self._kept = self._lowest()
            if len(self._kept) == self._most:
                self._limit = self._kept.column("sha256")[-1].as_py()

    def _lowest(self) -> pa.Table:
        firsts = [(name, "first") for name in _ANSWER[1:]]
        each = self._kept.group_by("sha256", use_threads=False).aggregate(firsts).sort_by("sha256")
        return each.slice(0, self._most).rename_columns(_ANSWER).combine_chunks()

    def of_rows(self) -> ReferenceAnswers:
        """The model's answers on all rows; rows may share a photo."""
        return ReferenceAnswers(confidence_histogram=tuple(self._histogram.tolist()), by_label=dict(self._labels))

    def answers(self) -> ReferenceAnswers:
        """The model's answers on the sampled photos."""
        _, labels, confidences = (column.to_pylist() for column in self._lowest().columns)
        return answers_of(labels, confidences)


class LeastSure:
    """Counts the rows to review by label, and keeps the least confident rows of each label."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        fields = [PART_SCHEMA.field("label"), PART_SCHEMA.field("confidence"), ("row", pa.int64())]
        self._kept = pa.schema([*fields, PART_SCHEMA.field("reason")]).empty_table()

    def add(self, part: pa.Table, first: int) -> None:
        """Add a batch's rows that need review. ``first``: index of the first row."""
        confidence = part.column("confidence")
        known = pc.if_else(pc.is_null(confidence, nan_is_null=True), pa.scalar(-1.0, pa.float32()), confidence)
        columns = [part.column("label"), known, np.arange(first, first + len(part)), part.column("reason")]
        doubtful = pc.and_(pc.equal(part.column("status"), Status.REVIEW), part.column("label").is_valid())
        rows = pa.table(columns, self._kept.schema).filter(doubtful)
        _count(self.counts, rows.column("label"))
        rows = pa.concat_tables([self._kept, rows]).sort_by([(name, "ascending") for name in rows.column_names[:3]])
        pictures = rows.group_by(rows.column_names[:2], use_threads=False)  # identical photos have equal confidences
        rows = pictures.aggregate([("row", "first"), ("reason", "first")]).rename_columns(rows.column_names)
        rank = pc.rank(rows.column("label"), tiebreaker="first").to_numpy()
        lowest = pc.rank(rows.column("label"), tiebreaker="min").to_numpy()
        self._kept = rows.filter(pa.array(rank - lowest < _EACH))

    def shown(self, job: Job) -> dict[str, tuple[SampleRow, ...]]:
        """Up to six rows for each of the twelve labels with the most rows to review, lowest confidence first."""
        labels = [label for label, _ in self.counts.most_common(_MOST_LABELS)]
        kept = {label: self._kept.filter(pc.equal(self._kept.column("label"), label)).to_pylist() for label in labels}
        images = images_at(job, [row["row"] for rows in kept.values() for row in rows])
        return {
            label: tuple(
                _sample_row(
                    {**row, "status": Status.REVIEW, "confidence": max(0.0, row["confidence"])}, images[row["row"]]
                )
                for row in rows
            )
            for label, rows in kept.items()
        }


@dataclass
class Tally:
    """Counts of a job's results."""

    rows: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_label: Counter[str] = field(default_factory=Counter)
    by_level: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[ErrorExample]] = field(default_factory=dict)
    histogram: np.ndarray[tuple[int], np.dtype[np.int64]] = field(default_factory=lambda: np.zeros(BINS, np.int64))

    failed_sample: list[SampleRow] = field(default_factory=list)
    hosts: Counter[str] = field(default_factory=Counter)
    processes: set[str] = field(default_factory=set)
    deaths: int = 0
    photos: Counter[str] = field(default_factory=Counter)
    distinct: DistinctPhotos = field(default_factory=DistinctPhotos)
    least_sure: LeastSure = field(default_factory=LeastSure)
    repeated: tuple[RepeatedPicture, ...] = ()
    mix: ClassMix | None = None
    _drawn: list[tuple[float, SampleRow]] = field(default_factory=list)
    _random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - not for security

    def add(self, part: pa.Table, images: Images, schemas: Sequence[pa.Schema]) -> None:
        """Count the rows of a batch. ``schemas``: schemas of the part files."""
        for work in map(part_work, schemas):
            self.hosts[work.worker.rpartition(":")[0]] += work.rows
            self.processes.add(work.worker)
            self.deaths += work.deaths
            self.photos.update(work.photos.model_dump())
        labeled = pc.equal(part.column("status"), Status.LABELED)
        _count(self.by_status, part.column("status"))
        _count(self.by_label, part.column("label"))
        _count(self.by_level, part.column("label_level").filter(labeled))
        _count(self.reasons, part.column("reason"))
        self.histogram += confidence_histogram(part.column("confidence").drop_null().to_numpy())
        self.distinct.add(part)
        self.least_sure.add(part, self.rows)
        self._draw(part, images)
        self._show_errors(part, images)
        self.rows += part.num_rows

    def _draw(self, part: pa.Table, images: Images) -> None:
        """Sample rows that did not fail: the rows with the lowest random numbers."""
        readable = np.flatnonzero(part.column("error").is_null().to_numpy())
        drawn = np.array([self._random.random() for _ in readable])
        lowest = np.argsort(drawn)[:_SAMPLE]
        numbers = pa.array(readable[lowest])
        cells = part.select(["label", "confidence", "status", "reason"]).take(numbers).to_pylist()
        rows = map(_sample_row, cells, images(numbers))
        self._drawn += zip(drawn[lowest].tolist(), rows, strict=True)
        self._drawn.sort(key=itemgetter(0))
        del self._drawn[_SAMPLE:]

    @property
    def sample(self) -> list[SampleRow]:
        """A random sample of rows that did not fail."""
        return [row for _, row in self._drawn]

    def _show_errors(self, part: pa.Table, images: Images) -> None:
        errors = part.column("error")
        failed = np.flatnonzero(pc.fill_null(pc.not_equal(errors, ImageFault.EMPTY_CELL), False).to_numpy())
        shown = set(failed[: _SAMPLE_FAILED - len(self.failed_sample)].tolist())
        for kind in errors.drop_null().unique().to_pylist():
            of_kind = pc.indices_nonzero(pc.fill_null(pc.equal(errors, kind), False))
            shown.update(of_kind[: _EXAMPLES - min(_EXAMPLES, self.errors[kind])].to_pylist())
        numbers = pa.array(sorted(shown), pa.int64())
        kinds, messages = (part.column(name).take(numbers).to_pylist() for name in ("error", "error_message"))
        for number, kind, message, cell in zip(numbers.to_pylist(), kinds, messages, images(numbers), strict=True):
            image = shown_cell(cell)
            image = image and readable(image)
            image = image and (image if len(image) <= _LONGEST_IMAGE else f"{image[:SHOWN]}…")
            example = ErrorExample(row=self.rows + number + 1, image=image, message=without_secrets(message))
            if len(examples := self.examples.setdefault(kind, [])) < _EXAMPLES:
                examples.append(example)
            if kind != ImageFault.EMPTY_CELL and len(self.failed_sample) < _SAMPLE_FAILED:
                self.failed_sample.append(SampleRow(image, Status.FAILED, None, None, kind))
        _count(self.errors, errors)

    def receipt(
        self, job: Job, output: str, run: RunFigures, retry: int = 0, groups: GroupCounts | None = None
    ) -> Receipt:
        """The receipt of a merged job, or of one of its questions, after ``retry`` retries."""
        note = read_note(job)
        return Receipt(
            **self._common(job, output, run, retry),
            model=job.model,
            by_label=dict(self.by_label.most_common()),
            by_level=dict(sorted(self.by_level.items())),
            review_by_label=dict(self.least_sure.counts.most_common()),
            review_reasons={reason: self.reasons[reason] for reason in ReviewReason if self.reasons[reason]},
            confidence_histogram=tuple(self.histogram.tolist()),
            groups=groups,
            groups_file=f"{job.storage.place}/{groups_file(output)}" if groups else None,
            review_file=f"{job.storage.place}/{REVIEW_FILE}",
            named=note.named,
            drift=measure_drift(self.distinct.answers(), note.reference, self.distinct.of_rows())
            if note.reference
            else None,
            repeated=self.repeated,
            mix=self.mix,
        )

    def questions_receipt(
        self, job: Job, output: str, run: RunFigures, retry: int, questions: dict[str, Receipt]
    ) -> QuestionsReceipt:
        """The receipt of a merged job with named models."""
        return QuestionsReceipt(**self._common(job, output, run, retry), questions=questions)

    def _common(self, job: Job, output: str, run: RunFigures, retry: int) -> dict[str, Any]:
        kinds = sorted(self.errors, key=lambda kind: (kind == ImageFault.EMPTY_CELL, -self.errors[kind]))
        errors = {kind: ErrorCount(count=self.errors[kind], examples=tuple(self.examples[kind])) for kind in kinds}
        unread = sum(self.errors[fault] for fault in (ImageFault.MISSING, ImageFault.REFUSED, ImageFault.EMPTY_CELL))
        hosts = dict(self.hosts.most_common())
        return {
            "job": job.spec.id,
            "source": job.spec.source,
            "output": output,
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "rows": self.rows,
            "by_status": {status: self.by_status[status] for status in Status},
            "errors": errors,
            "left_out": job.spec.left_out,
            "retry": retry,
            "work": WorkFigures(hosts=hosts, processes=len(self.processes), deaths=self.deaths),
            "run": run,
            "images_per_s": 0.0 if unread >= run.images else round(run.images / run.seconds, 1),
            "photos": PhotoWork.model_validate({name: round(value, 1) for name, value in self.photos.items()}),
        }


def _count(counter: Counter[Any], column: pa.ChunkedArray) -> None:
    counts = column.drop_null().value_counts()
    for value, count in zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True):
        counter[value] += count


def _sample_row(cells: PartRow, image: str | None) -> SampleRow:
    reason = cells["reason"] and ReviewReason(cells["reason"])
    return SampleRow(image, Status(cells["status"]), cells["label"], cells["confidence"], None, reason)
