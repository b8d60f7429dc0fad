"""The progress and the counts of jobs, shared by all browsers."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa

from catalogue.urls import readable
from models.errors import HangtagError
from models.text import one_line
from web.jobs import JobIndex, NoSuchJobError, WebJob
from web.review.unanswered import AnsweredPhotos, UnansweredRows
from web.run_jobs import JobRunner
from worker.job.job import RETRYABLE, Job, Retry
from worker.job.parts import latest_parts, part_key, part_work, worst_results
from worker.job.receipt import ErrorExample, JobReceipt, Receipt, job_receipt
from worker.results.progress import JobProgress, JobState, ProgressReader

_AT_ONCE: Final = 16
_BUDGET_S: Final = 1.0
_FRESH_S: Final = 0.9
_FINISHED_S: Final = 10.0
_EXAMPLES: Final = 5
_LONGEST_NAME: Final = 120
_COLUMNS: Final = ["status", "label", "error", "error_message"]


@dataclass
class JobCounts:
    """Counts of the finished rows.

    Attributes:
        rows: counted rows. Some finished rows may be missing.
        machines: number of rows per host.
    """

    rows: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_label: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[ErrorExample]] = field(default_factory=dict)
    machines: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, receipt: JobReceipt) -> "JobCounts":
        """The counts of a finished job. Labels are counted only if the job has one model."""
        return cls(
            receipt.rows,
            Counter(receipt.by_status),
            Counter(receipt.by_label if isinstance(receipt, Receipt) else {}),
            Counter({kind: found.count for kind, found in receipt.errors.items()}),
            {kind: list(found.examples) for kind, found in receipt.errors.items()},
            Counter(receipt.work.hosts),
        )

    @property
    def retryable(self) -> int:
        """Failed rows that may succeed on another try."""
        return sum(count for kind, count in self.errors.items() if kind in RETRYABLE)


@dataclass(frozen=True)
class JobView:
    """A snapshot of a job for the page.

    Attributes:
        receipt: None if the job is unfinished or has several models.
        remarks: why the job does not progress.
        left: number of rows in a finished job that still need review. A row counts once, even if several models are
            unsure.
    """

    found: WebJob
    progress: JobProgress
    counts: JobCounts
    receipt: Receipt | None = None
    remarks: tuple[str, ...] = ()
    left: int = 0
    questions: "tuple[JobView, ...]" = ()

    @property
    def is_finished(self) -> bool:
        """Whether the result and the receipt exist."""
        return self.state is JobState.FINISHED

    @property
    def state(self) -> JobState:
        """The job's state."""
        return self.progress.state

    @property
    def is_over(self) -> bool:
        """Whether the job has ended: finished, cancelled or failed."""
        return self.progress.is_over

    @property
    def answered(self) -> int:
        """Number of reviewed rows in a finished job."""
        return max(self.counts.by_status["review"] - self.left, 0) if self.is_finished else 0

    @property
    def model(self) -> str:
        """The model's display name."""
        if self.questions:
            return ", ".join(question.model for question in self.questions)
        named = self.receipt.named if self.receipt else None
        return named.version if named else self.found.job.model.reference.partition("/")[0]

    @property
    def rate(self) -> float:
        """Current rows per second, or the rate of a finished job's last run."""
        return self.receipt.images_per_s if self.receipt else self.progress.rate

    @property
    def time_left(self) -> str:
        """``4:05``, for example. Empty if unknown."""
        seconds = self.progress.seconds_left
        if seconds is None:
            return ""
        minutes, rest = divmod(int(seconds), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"  # noqa: PLR2004

    @property
    def moment(self) -> str:
        """The job's creation time in UTC: ``2026-11-22 14:03``."""
        return self.found.job.spec.created_at[:16].replace("T", " ")


class _JobReader:
    def __init__(self, found: WebJob, answered: Callable[[Job], AnsweredPhotos]) -> None:
        self.found = found
        self._questions = [_JobReader(one, answered) for one in found.questions]
        self._left = UnansweredRows(found.job, answered)
        self.lock = threading.Lock()
        self._progress = ProgressReader(found.job)
        self._retry = Retry()
        self._counted: set[int] = set()
        self._counts = JobCounts()

    def read(self, runner: JobRunner) -> JobView:
        with self.lock:
            receipt = job_receipt(self.found.job)
            progress = self._progress.read()
            questions = tuple(one.read(runner) for one in self._questions)
            if receipt:
                own, left = receipt if isinstance(receipt, Receipt) else None, self._left.count(receipt)
                return JobView(self.found, progress, JobCounts.of(receipt), own, left=left, questions=questions)
            self._count()
            if progress.state is JobState.WAITING and runner.local.is_running(self.found.whole.id):
                progress = replace(progress, state=JobState.RUNNING)
            why = (
                (f"The job's results cannot be merged: {progress.reason} Fix this, and resume the job.",)
                if progress.reason
                else ()
            )
            return JobView(self.found, progress, deepcopy(self._counts), remarks=why, questions=questions)

    def _count(self) -> None:
        until, retry = time.monotonic() + _BUDGET_S, self.found.job.retry()
        if retry.number != self._retry.number:
            self._retry, self._counted, self._counts = retry, set(), JobCounts()
        for chunk, number in sorted(latest_parts(self.found.job.home.names("parts")).items()):
            if chunk in self._counted or number < retry.lowest_retry(chunk):
                continue
            self._add(chunk, number)
            self._counted.add(chunk)
            if time.monotonic() > until:
                return

    def _add(self, chunk: int, retry: int) -> None:
        job, counts = self.found.job, self._counts
        parts = [question.part(chunk, part_key(chunk, retry), _COLUMNS) for question in job.questions]
        part = worst_results(parts) if job.spec.named else parts[0]
        columns = [(counts.by_status, "status"), (counts.by_label, "label"), (counts.errors, "error")]
        for counter, name in columns:
            for value, count in Counter(part.column(name).drop_null().to_pylist()).items():
                counter[value] += count
        counts.rows += part.num_rows
        counts.machines[part_work(part.schema).worker.rpartition(":")[0]] += part.num_rows
        self._keep_examples(chunk, part)

    def _keep_examples(self, chunk: int, part: pa.Table) -> None:
        job, examples = self.found.job, self._counts.examples
        images: list[str | None] = []
        for number, kind in enumerate(part.column("error").to_pylist()):
            some = examples.setdefault(kind, []) if kind else None
            if some is None or len(some) >= _EXAMPLES:
                continue
            images = images or job.chunk_images(chunk)
            image, message = images[number], part.column("error_message")[number].as_py()
            shown = None if image is None else one_line(readable(image), _LONGEST_NAME)
            some.append(ErrorExample(row=chunk * job.spec.chunk_rows + number + 1, image=shown, message=message))


class JobBoard:
    """All jobs for the page. Finished jobs are read every ten seconds, other jobs every second."""

    def __init__(self, jobs: JobIndex, runner: JobRunner, answered: Callable[[Job], AnsweredPhotos]) -> None:
        self._jobs, self._runner, self._answered = jobs, runner, answered
        self._looking = threading.Lock()
        self._readers: dict[str, _JobReader] = {}
        self._views: dict[str, tuple[float, JobView | str]] = {}

    def look(self) -> tuple[list[JobView], dict[str, str]]:
        """The jobs, newest first, and the error of each unreadable job, by its id."""
        with self._looking, ThreadPoolExecutor(_AT_ONCE) as threads:
            ids = self._jobs.ids()
            for gone in self._views.keys() - set(ids):
                del self._views[gone]
                self._readers.pop(gone, None)
            due = [id for id in ids if self._is_due(id)]
            for id, seen in zip(due, threads.map(self._seen, due), strict=True):
                self._views[id] = (time.monotonic(), seen)
            views = [self._views[id][1] for id in ids]
        found = [view for view in views if isinstance(view, JobView)]
        wrong = {id: view for id, view in zip(ids, views, strict=True) if isinstance(view, str) and view}
        return sorted(found, key=lambda view: view.found.job.spec.created_at, reverse=True), wrong

    def view(self, id: str) -> JobView:
        """A job, with the reasons why it does not progress. Raises NoSuchJobError or JobError."""
        view = self._reader(self._jobs.find(id)).read(self._runner)
        if view.is_over:
            return view
        return replace(view, remarks=tuple(self._runner.remarks(view.found)))

    def _is_due(self, id: str) -> bool:
        at, view = self._views.get(id, (0.0, ""))
        over = isinstance(view, JobView) and view.is_over
        return not at or time.monotonic() - at > (_FINISHED_S if over else _FRESH_S)

    def _seen(self, id: str) -> JobView | str:
        try:
            return self._reader(self._jobs.find(id)).read(self._runner)
        except NoSuchJobError:
            return ""
        except (HangtagError, OSError, pa.ArrowException) as error:
            return str(error)

    def _reader(self, found: WebJob) -> _JobReader:
        reader = self._readers.get(found.id)
        if reader is None or reader.found != found:
            reader = self._readers[found.id] = _JobReader(found, self._answered)
        return reader
