"""Reviews of jobs. Answers are stored in ``corrections.csv`` before they are counted."""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from catalogue.photo import PhotoLocator
from catalogue.urls import scheme_of
from models.errors import HangtagError, InputError
from models.golden import golden_labels
from models.taxonomy import PATH_MARK
from trainer.corrections.audit import record_audit
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Vote, parse_vote
from web.jobs import JobIndex, WebJob
from web.pictures import CatalogueRows
from web.review.questions import Questions, load_questions
from web.review.queue import Choice, Progress, ReviewQueue
from web.review.unanswered import AnsweredPhotos
from worker.job.job import Job
from worker.job.receipt import RECEIPT_FILE, REVIEW_FILE, finished_receipt
from worker.results.audit import audit_sample

_MOST_REVIEWS: Final = 6
_FOUND_S: Final = 5.0
_ANSWERS: Final = 20_000
"""Number of latest answer ids that are kept, so that repeated answers are ignored."""


class AnswerKind(StrEnum):
    """Kinds of answers."""

    LABEL = "label"
    NOT_A_PRODUCT = "not_a_product"
    MORE_THAN_ONE = "more_than_one"
    NOTE = "note"
    SKIP = "skip"
    UNDO = "undo"


@dataclass(frozen=True)
class Answer:
    """A reviewer's answer for a photo.

    Attributes:
        id: chosen by the sender. A repeated answer has the same id.
        sha256: of the photo.
        new: whether to accept a new class as the label.
    """

    id: Annotated[str, Field(min_length=1, max_length=64, examples=["1b0d-17"])]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    kind: AnswerKind
    label: Annotated[str, Field(max_length=200)] = ""
    note: Annotated[str, Field(max_length=2000)] = ""
    new: bool = False


@dataclass(frozen=True)
class Stored:
    """The result of storing a reviewer's answers.

    Attributes:
        stored: ids of the accepted answers.
        refused: maps the id of each refused answer to the reason.
    """

    stored: tuple[str, ...]
    refused: dict[str, str]
    progress: Progress


class Review:
    """A job's photos that need review, and the answers. Thread-safe. ``clock`` returns seconds since 1970."""

    def __init__(
        self, job: Job, questions: Questions, store: CorrectionStore, rows: CatalogueRows, clock: Callable[[], float]
    ) -> None:
        self.job, self.questions = job, questions
        self.finished = finished_receipt(job) is not None
        self.audit_is_noted = False
        self.queue = ReviewQueue(questions, clock)
        self._store, self._rows, self._clock = store, rows, clock
        self._cells = PhotoLocator(job.spec.image_root, confined=job.spec.confined)
        self._lock = threading.RLock()
        self._stored: OrderedDict[str, str] = OrderedDict()
        self._notes: dict[tuple[str, str], str] = {}
        self._labels = set(questions.classes)
        self._stamp: object = None
        self._latest = datetime.min.replace(tzinfo=UTC)

    def take(self, reviewer: str, tab: str, choice: Choice, most: int, *, fresh: bool) -> list[int]:
        """The next photos for a tab. ``fresh``: whether to release the tab's earlier photos."""
        self._read_again()
        if fresh:
            self.queue.release(tab)
        self.queue.renew(tab)
        return self.queue.take(reviewer, tab, choice, most) if most else []

    def note_of(self, question: int, reviewer: str) -> str:
        """This reviewer's note on a photo, or an empty text."""
        return self._notes.get((self.questions.get(question)["sha256"], reviewer), "")

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's classes, then classes that reviewers added."""
        return (*self.questions.classes, *sorted(self._labels - set(self.questions.classes)))

    @cached_property
    def golden(self) -> dict[str, str]:
        """The class of each example photo in the bundle. Empty without the bundle."""
        with suppress(HangtagError):
            if self.questions.bundle:
                return golden_labels(self.questions.bundle, self.job.model.variant)
        return {}

    @cached_property
    def doubtful(self) -> dict[str, int]:
        """Number of photos for review per predicted class."""
        return dict(Counter(self.questions.labels.tolist()))

    def answer(self, reviewer: str, tab: str, choice: Choice, answers: Sequence[Answer]) -> Stored:
        """Store answers in order, and wait until they are on the disk. Raises InputError."""
        with self._lock:
            self._read_again()
            stored: list[str] = []
            refused: dict[str, str] = {}
            unwritten: list[Vote] = []
            for answer in answers:
                if self._stored.get(answer.id) != reviewer:
                    try:
                        self._take_answer(reviewer, tab, answer, unwritten)
                    except ValueError as error:
                        refused[answer.id] = str(error)
                        continue
                stored.append(answer.id)
            self._write(unwritten)
            self._stored |= dict.fromkeys(stored, reviewer)
            while len(self._stored) > _ANSWERS:
                self._stored.popitem(last=False)
            return Stored(tuple(stored), refused, self.queue.progress(reviewer, choice))

    def _take_answer(self, reviewer: str, tab: str, answer: Answer, unwritten: list[Vote]) -> None:
        question = self.questions.by_sha256.get(answer.sha256)
        if question is None:
            msg = f"Expected the SHA-256 of a photo in this review, got {answer.sha256[:64]!r}; load the page again."
            raise ValueError(msg)
        if answer.kind is AnswerKind.SKIP:
            self.queue.skip(question, reviewer)
        elif answer.kind is AnswerKind.UNDO:
            self._write(unwritten)
            self._undo(question, reviewer)
            self.queue.hold(question, tab)
        elif answer.kind is AnswerKind.NOTE:
            self._note(question, reviewer, answer, unwritten)
        else:
            self._add(question, reviewer, answer, unwritten)

    def _add(self, question: int, reviewer: str, answer: Answer, unwritten: list[Vote]) -> None:
        """Add an answer. A repeated answer counts only while reviewers disagree."""
        if answer.kind is AnswerKind.LABEL:
            self._check_label(answer)
        statement = self._statement(question, reviewer, answer)
        latest = self.queue.statements(question)
        own = latest.get(reviewer)
        disputed = len({vote.decision for vote in latest.values()}) > 1
        if own is None or disputed or own.decision != statement.decision:
            self._labels |= {answer.label} if answer.kind is AnswerKind.LABEL else set()
            unwritten.append(statement)
            self.queue.add(statement)

    def _check_label(self, answer: Answer) -> None:
        shown, is_known = repr(answer.label[:80]), answer.label in self._labels
        if not is_known and not answer.new:
            msg = f"Expected one of the {len(self._labels):,} classes, got {shown}; to add a class, set new to true."
            raise ValueError(msg)
        if not is_known and PATH_MARK in answer.label:
            msg = f"Expected a name without {PATH_MARK!r} for a new class, got {shown}; use another name."
            raise ValueError(msg)
        if answer.label in self.questions.parents.values():
            msg = f"Expected a class, but {shown} is a label that groups classes; choose one of its classes."
            raise ValueError(msg)

    def _note(self, question: int, reviewer: str, answer: Answer, unwritten: list[Vote]) -> None:
        statement = self._statement(question, reviewer, answer)
        if self._notes.get((answer.sha256, reviewer)) != statement.note:
            unwritten.append(statement)
            self._notes[answer.sha256, reviewer] = statement.note

    def _undo(self, question: int, reviewer: str) -> None:
        if self.queue.unskip(question, reviewer):
            return
        own = self.queue.statements(question).get(reviewer)
        if own is not None:
            withdrawn = self._store.withdraw(own)
            self.queue.remove(own)
            self._stamp = self._store.stamp() if withdrawn else None

    def _statement(self, question: int, reviewer: str, answer: Answer) -> Vote:
        about = self.questions.get(question)
        cells = {
            "image": self._place(int(about["row"])),
            "sha256": answer.sha256,
            "reviewer": reviewer,
            "at": self._now().isoformat(),
            "model": about["model"] or "",
        }
        root = Path(self.job.spec.image_root if "://" not in self.job.spec.image_root else "/")
        if answer.kind is AnswerKind.LABEL:
            return parse_vote({**cells, "label": answer.label, "was": about["label"]}, root)
        remark = "" if answer.kind is AnswerKind.NOTE else answer.kind.value
        return parse_vote({**cells, "remark": remark, "note": answer.note}, root)

    def _place(self, row: int) -> str:
        cell = self._rows.image(self.job, row) or ""
        return "" if scheme_of(cell) == "data" else self._cells.url(cell) or self._cells.name(cell)

    def _now(self) -> datetime:
        """The current time. Never returns the same time twice."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        self._latest = max(now, self._latest + timedelta(microseconds=1))
        return self._latest

    def _write(self, unwritten: list[Vote]) -> None:
        votes = [*unwritten]
        unwritten.clear()
        if not votes:
            return
        try:
            self._store.append(votes)
        except BaseException:
            self._stamp = None  # re-read the file, because the counts include answers that are not in it
            raise
        self._stamp = self._store.stamp()

    def _read_again(self) -> None:
        with self._lock:
            stamp = self._store.stamp()
            if stamp != self._stamp:
                votes, mine = self._store.votes(), self.questions.by_sha256
                self.queue.restore(vote for vote in votes if vote.decision)
                self._notes = {(vote.sha256, vote.reviewer): vote.note for vote in votes if vote.note}
                labels = {vote.label for vote in votes if vote.label and vote.sha256 in mine}
                self._labels = {*self.questions.classes, *labels}
                self._stamp = stamp


class Reviews:
    """The reviews of a server. Answers are stored in the file ``corrections``."""

    def __init__(
        self, jobs: JobIndex, corrections: Path, rows: CatalogueRows, clock: Callable[[], float] = time.time
    ) -> None:
        self.store = CorrectionStore(corrections)
        self._answered: dict[str, AnsweredPhotos] = {}
        self._jobs, self._rows, self._clock = jobs, rows, clock
        self._open: OrderedDict[tuple[str, int], tuple[object, Review | None]] = OrderedDict()
        self._found: dict[str, tuple[float, WebJob]] = {}
        self._lock = threading.Lock()

    def store_of(self, job: Job) -> CorrectionStore:
        """The file of answers for a job's model, which other jobs may share."""
        return self.store.of_question(job.name)

    def answered(self, job: Job) -> AnsweredPhotos:
        """The photos with an answer in :meth:`store_of`, from any job."""
        return self._answered.setdefault(job.name, AnsweredPhotos(self.store_of(job)))

    def find(self, id: str) -> WebJob:
        """The job with this id, cached for a few seconds. Raises NoSuchJobError."""
        now = self._clock()
        known = self._found.get(id)
        if known is None or known[0] < now:
            known = (now + _FOUND_S, self._jobs.find(id))
            self._found[id] = known
        return known[1]

    def open(self, id: str, audit: int = 0, *, again: bool = False, begins: bool = False) -> Review:
        """The review of a job, loaded at the first call. Raises InputError or JobError.

        Args:
            id: id of the job.
            audit: number of random labeled rows to review, instead of rows with the status ``review``. 0: no audit.
            again: whether to reload the review if the job has new results.
            begins: whether to record the start of the audit in the job's folder.
        """
        found = self.find(id)
        job = found.job
        if found.questions:
            names = ", ".join(question.id for question in found.questions)
            msg = f"{found.title} has several models. Each model has its own review: {names}."
            raise InputError(msg)
        with self._lock:
            state, review = self._open.pop((id, audit), (None, None))
            before = review if review and review.job.spec.id == job.spec.id else None
            now = _state(job) if before is None or again else state
            if before is None or now != state:
                review = Review(job, self._questions(job, audit), self.store_of(job), self._rows, self._clock)
                if before:
                    review.queue.inherit(before.queue)
            assert review  # noqa: S101 - for type checkers
            if begins and audit and not review.audit_is_noted:
                record_audit(job, self.store_of(job), audit)
                review.audit_is_noted = True
            self._open[id, audit] = (now, review)
            while len(self._open) > _MOST_REVIEWS:
                self._open.popitem(last=False)
            return review

    def _questions(self, job: Job, audit: int) -> Questions:
        if not audit:
            return load_questions(job)
        if finished_receipt(job) is None:
            msg = f"{job.storage.place} is not finished yet; audit the job later."
            raise InputError(msg)
        return load_questions(job, [row.row - 1 for row in audit_sample(job, audit)])


def _state(job: Job) -> object:
    written = tuple(job.storage.exists(file) for file in (REVIEW_FILE, RECEIPT_FILE))
    return (job.spec.id, tuple(sorted(job.part_keys().items())), written)
