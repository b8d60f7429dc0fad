"""Counts over the parts of a job, which become its receipt; memory does not grow with the rows."""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
from worker.job.parts import PhotoWork, Status, part_work, photo_work, with_leaves
from worker.job.receipt import (
    GROUPS_FILE,
    OF_QUESTIONS,
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
)
from worker.results.drift import compared

MOST: Final = 20_000
_HIGHEST: Final = "g"
"""Sorts after every hexadecimal number."""
_EXAMPLES: Final = 5
_LONGEST_IMAGE: Final = 300
_SAMPLE: Final = 48
_SAMPLE_FAILED: Final = 8
_MOST_LABELS: Final = 12
_EACH: Final = 6


class DistinctPhotos:
    """Counts answers by row, and keeps the photos with the lowest SHA-256s, which are as good as a random draw.

    Neither chunks nor the order of rows change the selection. Source: Beyer, Haas, Reinwald, Sismanis and Gemulla, "On
    synopses for distinct-value estimation under multiset operations" (SIGMOD 2007).
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[str, tuple[str, float]] = {}
        self._limit = _HIGHEST
        self._labels = Counter[str]()
        self._histogram = np.zeros(BINS, np.int64)

    def add(self, results: pa.Table) -> None:
        """Take in the results of a chunk, of which the likeliest class and its confidence count."""
        answers = with_leaves(results).select(["sha256", "label", "confidence"]).drop_null()
        self._labels.update(answers.column("label").to_pylist())
        self._histogram += confidence_histogram(answers.column("confidence").to_numpy())
        answers = answers.filter(pc.less_equal(answers.column("sha256"), self._limit))
        rows = zip(*(column.to_pylist() for column in answers.columns), strict=True)
        self._kept.update((sha256, (label, confidence)) for sha256, label, confidence in rows)
        if len(self._kept) > 2 * self._most:
            self._shrink()

    def _shrink(self) -> None:
        lowest = sorted(self._kept)[: self._most]
        self._kept = {sha256: self._kept[sha256] for sha256 in lowest}
        self._limit = lowest[-1]

    def of_rows(self) -> ReferenceAnswers:
        """The model's answers on all rows, whose photos may be the same."""
        return ReferenceAnswers(confidence_histogram=tuple(self._histogram.tolist()), by_label=dict(self._labels))

    def answers(self) -> ReferenceAnswers:
        """The model's answers on these photos."""
        if len(self._kept) > self._most:
            self._shrink()
        return answers_of((label for label, _ in self._kept.values()), [sure for _, sure in self._kept.values()])


class LeastSure:
    """Counts the rows to review by label, and keeps the least sure rows of each; memory grows with the labels only."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._kept: defaultdict[str, list[tuple[float, int, str]]] = defaultdict(list)

    def add(self, part: pa.Table, first: int) -> None:
        """Take in the results of a chunk, whose first row has this number in the catalogue, from 0."""
        doubtful = pc.equal(part.column("status"), Status.REVIEW)
        numbers = (pc.indices_nonzero(doubtful).to_numpy() + first).tolist()
        found = part.filter(doubtful)
        columns = (found.column(name).to_pylist() for name in ("reason", "label", "confidence"))
        for number, reason, label, confidence in zip(numbers, *columns, strict=True):
            if label is not None:
                self.counts[label] += 1
                self._keep(label, (-1.0 if math.isnan(confidence) else confidence, number, reason))

    def _keep(self, label: str, row: tuple[float, int, str]) -> None:
        kept = self._kept[label]
        kept.append(row)
        if len(kept) > 4 * _EACH:
            kept.sort()
            del kept[_EACH:]

    def shown(self, job: Job) -> dict[str, tuple[SampleRow, ...]]:
        """Six rows at most of each of the twelve labels with most rows to review; the least sure first."""
        rows = {label: sorted(self._kept[label])[:_EACH] for label, _ in self.counts.most_common(_MOST_LABELS)}
        images = images_at(job, [number for kept in rows.values() for _, number, _ in kept])
        return {
            label: tuple(
                SampleRow(images[number], Status.REVIEW, label, max(0.0, confidence), None, ReviewReason(reason))
                for confidence, number, reason in kept
            )
            for label, kept in rows.items()
        }


@dataclass
class Tally:
    """Counts over a job's parts, a part at a time; memory does not grow with the rows. ``sample`` rows did not fail."""

    rows: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_label: Counter[str] = field(default_factory=Counter)
    by_level: Counter[int] = field(default_factory=Counter)
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
    photos: Counter[str] = field(default_factory=Counter)
    distinct: DistinctPhotos = field(default_factory=DistinctPhotos)
    least_sure: LeastSure = field(default_factory=LeastSure)
    repeated: tuple[RepeatedPicture, ...] = ()
    mix: ClassMix | None = None
    _readable: int = 0
    _random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - which photos to show is no secret

    def add(self, part: pa.Table, images: list[str | None]) -> None:
        """Count the results of one chunk, with its rows' photos; chunks come in order."""
        self._count_work(part)
        self.by_status.update(part.column("status").to_pylist())
        self.by_label.update(part.column("label").drop_null().to_pylist())
        levels = part.column("label_level").filter(pc.equal(part.column("status"), Status.LABELED))
        self.by_level.update(levels.drop_null().to_pylist())
        self.reasons.update(part.column("reason").drop_null().to_pylist())
        confidence = part.column("confidence").drop_null().to_numpy()
        self.histogram += confidence_histogram(confidence)
        self.distinct.add(part)
        self.least_sure.add(part, self.rows)
        faults = zip(part.column("error").to_pylist(), part.column("error_message").to_pylist(), strict=True)
        for number, (kind, message) in enumerate(faults):
            if kind is None:
                self._consider(part, number, images[number])
            else:
                image = shown_cell(images[number])
                image = image and readable(image)
                image = image and (image if len(image) <= _LONGEST_IMAGE else f"{image[:SHOWN]}…")
                example = ErrorExample(row=self.rows + number + 1, image=image, message=without_secrets(message))
                self._count_error(kind, example)
        self.rows += part.num_rows

    def _count_work(self, part: pa.Table) -> None:
        work = part_work(part.schema)
        self.hosts[work.worker.rpartition(":")[0]] += work.rows
        self.processes.add(work.worker)
        self.deaths += work.deaths
        self.busy_s += work.seconds
        self.photos.update(photo_work(part.schema).model_dump())

    def _consider(self, part: pa.Table, number: int, image: str | None) -> None:
        """Vitter, "Random sampling with a reservoir", algorithm R (1985)."""
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
        """The receipt of a merged job, or of one of its questions, after the retry of that number."""
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
            groups_file=f"{job.storage.place}/{GROUPS_FILE}" if groups else None,
            review_file=f"{job.storage.place}/{REVIEW_FILE}",
            named=note.named,
            drift=compared(self.distinct.answers(), note.reference, self.distinct.of_rows())
            if note.reference
            else None,
            repeated=self.repeated,
            mix=self.mix,
        )

    def questions_receipt(
        self, job: Job, output: str, run: RunFigures, retry: int, questions: dict[str, Receipt]
    ) -> QuestionsReceipt:
        """The same of a job with named models."""
        common = self._common(job, output, run, retry)
        return QuestionsReceipt(**common, promise=OF_QUESTIONS, questions=questions)

    def _common(self, job: Job, output: str, run: RunFigures, retry: int) -> dict[str, Any]:
        errors = {
            kind: ErrorCount(count=n, examples=tuple(self.examples[kind])) for kind, n in self.errors.most_common()
        }
        unread = sum(self.errors[fault] for fault in (ImageFault.MISSING, ImageFault.REFUSED))
        hosts, busy_s = dict(self.hosts.most_common()), round(self.busy_s, 1)
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
            "work": WorkFigures(hosts=hosts, processes=len(self.processes), deaths=self.deaths, busy_s=busy_s),
            "run": run,
            "images_per_s": 0.0 if unread >= run.images else round(run.images_per_s, 1),
            "photos": PhotoWork.model_validate({name: round(value, 1) for name, value in self.photos.items()}),
        }


def _sample_row(part: pa.Table, number: int, image: str | None) -> SampleRow:
    row = part.slice(number, 1).to_pylist()[0]
    reason = ReviewReason(row["reason"]) if row["reason"] else None
    return SampleRow(image, Status(row["status"]), row["label"], row["confidence"], None, reason)
