"""Reviews of jobs: loaded once each; an answer is in ``corrections.csv`` before it is counted."""

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

from catalogue.photo import Cells
from models.errors import HangtagError, InputError
from models.golden import golden_labels
from models.taxonomy import PATH_MARK
from trainer.corrections.remarks import Remark, RemarkKind, parse_remark
from trainer.corrections.store import CorrectionStore
from trainer.corrections.verdicts import record_audit
from trainer.corrections.votes import Vote, parse_vote
from web.jobs import JobIndex, WebJob
from web.photos import CatalogueRows
from web.review.left import Answered
from web.review.questions import Questions, load_questions
from web.review.queue import Progress, ReviewQueue, Statement, Wish, in_order, verdict_of
from worker.job.job import Job
from worker.job.receipt import RECEIPT_FILE, REVIEW_FILE, finished_receipt
from worker.results.audit import audit_sample

_MOST_REVIEWS: Final = 6
_FOUND_S: Final = 5.0
_ANSWERS: Final = 20_000
"""Ids of answers that are remembered, so that one that is sent again is stored once."""


class AnswerKind(StrEnum):
    """What an answer does."""

    LABEL = "label"
    NOT_A_PRODUCT = "not_a_product"
    MORE_THAN_ONE = "more_than_one"
    NOTE = "note"
    SKIP = "skip"
    UNDO = "undo"


@dataclass(frozen=True)
class Answer:
    """What a reviewer says of a question.

    Attributes:
        id: chosen by who sends it; the same when it is sent again.
        sha256: of the photo.
        label: what it shows, if it is a label.
        note: in the reviewer's own words.
        new: whether the label may be a new class.
    """

    id: Annotated[str, Field(min_length=1, max_length=64, examples=["1b0d-17"])]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    kind: AnswerKind
    label: Annotated[str, Field(max_length=200)] = ""
    note: Annotated[str, Field(max_length=2000)] = ""
    new: bool = False


@dataclass(frozen=True)
class Stored:
    """What became of answers.

    Attributes:
        stored: ids of those that are on the disk (or need not be).
        refused: id → why it cannot be used.
        progress: with these answers.
    """

    stored: tuple[str, ...]
    refused: dict[str, str]
    progress: Progress


class Review:
    """One job's questions and answers. Any thread may ask.

    Args:
        job: that was labelled.
        questions: of it.
        store: where answers are kept.
        rows: of catalogues.
        clock: seconds since 1970.
    """

    def __init__(
        self, job: Job, questions: Questions, store: CorrectionStore, rows: CatalogueRows, clock: Callable[[], float]
    ) -> None:
        self.job, self.questions = job, questions
        self.finished = finished_receipt(job) is not None
        self.queue = ReviewQueue(questions, clock)
        self._store, self._rows, self._clock = store, rows, clock
        self._cells = Cells(job.spec.image_root, confined=job.spec.confined)
        self._lock = threading.RLock()
        self._known: OrderedDict[str, str] = OrderedDict()
        self._notes: dict[tuple[str, str], str] = {}
        self._labels = set(questions.classes)
        self._seen: object = None
        self._last = datetime.min.replace(tzinfo=UTC)

    def take(self, reviewer: str, seat: str, wish: Wish, most: int, *, fresh: bool) -> list[int]:
        """The next questions; a ``fresh`` page has none yet."""
        self._read_again()
        if fresh:
            self.queue.release(seat)
        self.queue.renew(seat)
        return self.queue.take(reviewer, seat, wish, most) if most else []

    def note_of(self, question: int, reviewer: str) -> str:
        """What this reviewer has noted on a photo."""
        return self._notes.get((self.questions.get(question)["sha256"], reviewer), "")

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's classes, then those that reviewers added."""
        return (*self.questions.classes, *sorted(self._labels - set(self.questions.classes)))

    @cached_property
    def golden(self) -> dict[str, str]:
        """The bundle's photos of which the model is sure → class; none where the bundle is not here."""
        with suppress(HangtagError):
            if self.questions.bundle:
                return golden_labels(self.questions.bundle, self.job.model.variant)
        return {}

    @cached_property
    def doubtful(self) -> dict[str, int]:
        """Class that the model guessed → questions."""
        return dict(Counter(self.questions.labels.tolist()))

    def answer(self, reviewer: str, seat: str, wish: Wish, answers: Sequence[Answer]) -> Stored:
        """Store answers in their order: they are on the disk when this returns.

        Raises:
            InputError: the file of corrections cannot be read or written.
        """
        with self._lock:
            self._read_again()
            stored: list[str] = []
            refused: dict[str, str] = {}
            waiting: list[Statement] = []
            for answer in answers:
                if self._known.get(answer.id) != reviewer:
                    try:
                        self._take_answer(reviewer, seat, answer, waiting)
                    except ValueError as error:
                        refused[answer.id] = str(error)
                        continue
                stored.append(answer.id)
            self._write(waiting)
            self._known |= dict.fromkeys(stored, reviewer)
            while len(self._known) > _ANSWERS:
                self._known.popitem(last=False)
            return Stored(tuple(stored), refused, self.queue.progress(reviewer, wish))

    def _take_answer(self, reviewer: str, seat: str, answer: Answer, waiting: list[Statement]) -> None:
        question = self.questions.by_sha256.get(answer.sha256)
        if question is None:
            msg = f"Expected the SHA-256 of a photo of this review, got {answer.sha256[:64]!r}; load the page again."
            raise ValueError(msg)
        if answer.kind is AnswerKind.SKIP:
            self.queue.skip(question, reviewer)
        elif answer.kind is AnswerKind.UNDO:
            self._write(waiting)
            self._undo(question, reviewer)
            self.queue.hold(question, seat)
        elif answer.kind is AnswerKind.NOTE:
            self._note(question, reviewer, answer, waiting)
        else:
            self._say(question, reviewer, answer, waiting)

    def _say(self, question: int, reviewer: str, answer: Answer, waiting: list[Statement]) -> None:
        """Add what is said, unless it is what this reviewer has said last, and nobody has contradicted."""
        if answer.kind is AnswerKind.LABEL and answer.label not in self._labels and not answer.new:
            msg = f"Expected one of the {len(self._labels):,} classes, got {answer.label[:80]!r}; say that it is new."
            raise ValueError(msg)
        if answer.kind is AnswerKind.LABEL and answer.label not in self._labels and PATH_MARK in answer.label:
            msg = f"Expected a name without {PATH_MARK!r} for a new class, got {answer.label[:80]!r}; leave it out."
            raise ValueError(msg)
        if answer.kind is AnswerKind.LABEL and answer.label in self.questions.parents.values():
            msg = f"Expected a class, {answer.label[:80]!r} is a label above classes; give one of those under it."
            raise ValueError(msg)
        statement = self._statement(question, reviewer, answer)
        said = self.queue.said(question)
        last = said.get(reviewer)
        asked_again = len({verdict_of(other) for other in said.values()}) > 1
        if last is None or asked_again or verdict_of(last) != verdict_of(statement):
            self._labels |= {answer.label} if answer.kind is AnswerKind.LABEL else set()
            waiting.append(statement)
            self.queue.say(statement)

    def _note(self, question: int, reviewer: str, answer: Answer, waiting: list[Statement]) -> None:
        if self._notes.get((answer.sha256, reviewer)) != answer.note.strip():
            waiting.append(self._statement(question, reviewer, answer))
            self._notes[answer.sha256, reviewer] = answer.note.strip()

    def _undo(self, question: int, reviewer: str) -> None:
        if self.queue.unskip(question, reviewer):
            return
        last = self.queue.said(question).get(reviewer)
        if last is not None:
            taken = self._store.withdraw(last) if isinstance(last, Vote) else self._store.remarks.withdraw(last)
            self.queue.unsay(last)
            self._seen = self._store.stamp() if taken else None

    def _statement(self, question: int, reviewer: str, answer: Answer) -> Statement:
        """As a row of the file; ValueError where it cannot be one."""
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
        kind = RemarkKind.NOTE if answer.kind is AnswerKind.NOTE else RemarkKind(answer.kind.value)
        return parse_remark({**cells, "remark": kind.value, "note": answer.note.strip()}, root)

    def _place(self, row: int) -> str:
        """A row's photo as corrections name it: a path or a URL; nothing where the cell holds the photo."""
        cell = self._rows.image(self.job, row) or ""
        return "" if cell.startswith("data:") else self._cells.url(cell) or cell

    def _now(self) -> datetime:
        """The time, later than that of every answer before."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        self._last = max(now, self._last + timedelta(microseconds=1))
        return self._last

    def _write(self, waiting: list[Statement]) -> None:
        votes = [statement for statement in waiting if isinstance(statement, Vote)]
        remarks = [statement for statement in waiting if isinstance(statement, Remark)]
        waiting.clear()
        try:
            if votes:
                self._store.append(votes)
            if remarks:
                self._store.remarks.append(remarks)
        except BaseException:
            self._seen = None  # what is counted is not stored: all is read again
            raise
        if votes or remarks:
            self._seen = self._store.stamp()

    def _read_again(self) -> None:
        """Take what the files say now, if others have written into them."""
        with self._lock:
            signature = self._store.stamp()
            if signature != self._seen:
                votes, remarks = self._store.votes(), self._store.remarks.remarks()
                self.queue.restore(in_order(votes, self._store.standing_remarks()))
                self._notes = {(remark.sha256, remark.reviewer): remark.note for remark in remarks if remark.note}
                mine = self.questions.by_sha256
                self._labels = {*self.questions.classes, *(vote.label for vote in votes if vote.sha256 in mine)}
                self._seen = signature


class Reviews:
    """The reviews of a server.

    Args:
        jobs: that there are.
        corrections: the file that answers are kept in.
        rows: of catalogues.
        clock: seconds since 1970.
    """

    def __init__(
        self, jobs: JobIndex, corrections: Path, rows: CatalogueRows, clock: Callable[[], float] = time.time
    ) -> None:
        self.store = CorrectionStore(corrections)
        self._answered: dict[str, Answered] = {}
        self._jobs, self._rows, self._clock = jobs, rows, clock
        self._open: OrderedDict[tuple[str, int], tuple[object, Review]] = OrderedDict()
        self._found: dict[str, tuple[float, WebJob]] = {}
        self._lock = threading.Lock()

    def store_of(self, job: Job) -> CorrectionStore:
        """Where answers to a job's question are."""
        return self.store.of_question(job.name)

    def answered(self, job: Job) -> Answered:
        """The photos that have an answer to the same question."""
        return self._answered.setdefault(job.name, Answered(self.store_of(job)))

    def find(self, id: str) -> WebJob:
        """The job of that id, looked for at most every few seconds.

        Raises:
            InputError: there is none.
        """
        now = self._clock()
        known = self._found.get(id)
        if known is None or known[0] < now:
            known = (now + _FOUND_S, self._jobs.find(id))
            self._found[id] = known
        return known[1]

    def open(self, id: str, audit: int = 0, *, again: bool = False) -> Review:
        """The review of a job, loaded when it is first asked for.

        Args:
            id: of the job.
            again: whether to load it anew if the job has gone on since.
            audit: how many labeled rows, drawn at random, to ask about in the place of the doubtful ones; 0 for none.

        Raises:
            InputError: there is no such job, or it is to be audited and is not finished.
            JobError: one of its parts is damaged.
        """
        found = self.find(id)
        job = found.job
        if found.questions:
            names = ", ".join(question.id for question in found.questions)
            msg = f"{found.title} asks several questions, which are reviewed one by one: {names}."
            raise InputError(msg)
        with self._lock:
            known = self._open.pop((id, audit), None)
            state = _state(job) if known is None or again or known[1].job.spec.id != job.spec.id else known[0]
            if known is None or known[0] != state:
                questions = load_questions(job, self._drawn(job, audit) if audit else None)
                review = Review(job, questions, self.store_of(job), self._rows, self._clock)
                if known is not None and known[1].job.spec.id == job.spec.id:
                    review.queue.inherit(known[1].queue)
                known = (state, review)
            self._open[id, audit] = known
            while len(self._open) > _MOST_REVIEWS:
                self._open.popitem(last=False)
            return known[1]

    def _drawn(self, job: Job, audit: int) -> list[int]:
        """Rows of an audit (from 0), which is noted as asked for."""
        if finished_receipt(job) is None:
            msg = f"{job.storage.place} is not finished yet; audit it when it is."
            raise InputError(msg)
        record_audit(job, self.store_of(job), audit)
        return [row.row - 1 for row in audit_sample(job, audit)]


def _state(job: Job) -> object:
    """What changes when a job goes on."""
    written = tuple(job.storage.exists(file) for file in (REVIEW_FILE, RECEIPT_FILE))
    return (job.spec.id, tuple(sorted(job.part_keys().items())), written)
