"""What a job proves when it ends: counts, model, errors by kind with examples, speed."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from worker.job import Job, ModelPin
from worker.results import Status

__all__ = ["Receipt", "RunFigures", "Tally"]

_EXAMPLES: Final = 5
_BINS: Final = 20


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorExample(_Record):
    """A failed row: its number in the catalogue, from 1, its photo, and what was said of it."""

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


class Receipt(_Record):
    """The contents of ``receipt.json``."""

    job: str
    source: str
    output: str
    finished_at: str
    model: ModelPin
    rows: int
    by_status: dict[Status, int]
    by_label: dict[str, int]
    errors: dict[str, ErrorCount]
    confidence_histogram: Annotated[tuple[int, ...], Field(min_length=_BINS, max_length=_BINS)]
    left_out: dict[str, int]
    run: RunFigures
    images_per_s: float


@dataclass
class Tally:
    """Counts over a job's parts, a part at a time; memory does not grow with the rows."""

    rows: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_label: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[ErrorExample]] = field(default_factory=dict)
    histogram: np.ndarray[tuple[int], np.dtype[np.int64]] = field(default_factory=lambda: np.zeros(_BINS, np.int64))

    def add(self, part: pa.Table, images: list[str | None]) -> None:
        """Count the results of one chunk, and the photos they are of; chunks come in order."""
        self.by_status.update(part.column("status").to_pylist())
        self.by_label.update(part.column("label").drop_null().to_pylist())
        confidence = part.column("confidence").drop_null().to_numpy()
        self.histogram += np.histogram(confidence, bins=_BINS, range=(0.0, 1.0))[0]
        faults = zip(part.column("error").to_pylist(), part.column("error_message").to_pylist(), strict=True)
        for number, (kind, message) in enumerate(faults):
            if kind is not None:
                example = ErrorExample(row=self.rows + number + 1, image=images[number], message=message)
                self._count_error(kind, example)
        self.rows += part.num_rows

    def _count_error(self, kind: str, example: ErrorExample) -> None:
        self.errors[kind] += 1
        if self.errors[kind] <= _EXAMPLES:
            self.examples.setdefault(kind, []).append(example)

    def receipt(self, job: Job, output: str, run: RunFigures, left_out: dict[str, int]) -> Receipt:
        """The receipt of a merged job; ``left_out`` counts files of a folder that do not say image, by ending."""
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
            left_out=left_out,
            run=run,
            images_per_s=round(run.images_per_s, 1),
        )
