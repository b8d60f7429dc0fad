"""The review queue: leases photos ("questions") to reviewers."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.corrections.votes import Vote
from web.review.questions import Questions

LEASE_S: Final = 300.0
_PAUSE_S: Final = 120.0
"""Longest pause between answers that counts as review time, in seconds."""
_RECENT: Final = 200

_Mask = npt.NDArray[np.bool_]


class Order(StrEnum):
    """The order in which reviewers get photos."""

    LEAST_SURE = "least_sure"
    MOST_VALUABLE = "most_valuable"
    BY_CLASS = "by_class"
    CONTRADICTED = "contradicted"
    RANDOM = "random"


@dataclass(frozen=True)
class Choice:
    """Which photos a reviewer gets, and their order.

    Attributes:
        label: only photos with this predicted class.
        second: fraction of the photos that two people review.
    """

    order: Order = Order.LEAST_SURE
    label: str | None = None
    second: float = 0.0


@dataclass(frozen=True)
class Progress:
    """The progress of a review.

    Attributes:
        questions: number of distinct photos. ``rows``: number of catalogue rows with these photos.
        done: number of photos that need no more answers. ``rows_done``: number of their rows.
        left: number of remaining photos for this reviewer.
        mine: number of this reviewer's answers.
        an_hour: this reviewer's recent answers per hour. None for fewer than three answers.
        right: fraction of the reviewed photos for which the model's class was right.
        twice: number of photos that two people reviewed. ``agreed``: how many of these photos got equal first answers.
        disputed: number of photos on which reviewers disagree.
    """

    questions: int
    rows: int
    done: int
    rows_done: int
    left: int
    mine: int
    an_hour: int | None
    seconds_left: float | None
    right: float | None
    twice: int
    agreed: int
    disputed: int


def _keys(questions: Questions, order: Order) -> tuple[npt.NDArray[np.generic], ...]:
    match order:
        case Order.LEAST_SURE:
            return (questions.confidence, ~questions.repeated)
        case Order.MOST_VALUABLE:
            return (questions.confidence, -questions.products, -questions.rows)
        case Order.BY_CLASS:
            return (questions.confidence, np.unique(questions.labels, return_inverse=True)[1])
        case Order.CONTRADICTED:
            return (-questions.confidence,)
        case Order.RANDOM:
            return (questions.draw,)


class ReviewQueue:
    """A job's photos that need review, with leases and answers. Thread-safe. ``clock`` returns seconds since 1970."""

    def __init__(self, questions: Questions, clock: Callable[[], float] = time.time) -> None:
        self._questions, self._clock = questions, clock
        self._lock = threading.RLock()
        self._leases: dict[int, tuple[str, float]] = {}
        self._skipped: defaultdict[str, dict[int, None]] = defaultdict(dict)
        self._orders: dict[Order, npt.NDArray[np.intp]] = {}
        self.restore(())

    def restore(self, statements: Iterable[Vote]) -> None:
        """Replace all answers with ``statements``, sorted by time. Leases do not change."""
        with self._lock:
            count = len(self._questions)
            self._statements: defaultdict[int, dict[str, list[Vote]]] = defaultdict(dict)
            self._times: defaultdict[str, npt.NDArray[np.int16]] = defaultdict(lambda: np.zeros(count, np.int16))
            self._recent: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_RECENT))
            self._voters = np.zeros(count, np.int16)
            self._differ = np.zeros(count, np.bool_)
            self._right = np.zeros(count, np.bool_)
            for statement in statements:
                self.add(statement)

    def inherit(self, before: "ReviewQueue") -> None:
        """Copy leases and skipped photos from an earlier queue of the same job."""
        mine, theirs = self._questions.by_sha256, list(before._questions.by_sha256)
        with self._lock, before._lock:
            places = {place: mine[sha256] for place, sha256 in enumerate(theirs) if sha256 in mine}
            self._leases = {places[place]: lease for place, lease in before._leases.items() if place in places}
            for reviewer, skipped in before._skipped.items():
                self._skipped[reviewer] = {places[place]: None for place in skipped if place in places}

    def take(self, reviewer: str, tab: str, choice: Choice, most: int) -> list[int]:
        """Lease the next photos to a browser tab. No other reviewer gets a leased photo.

        Args:
            reviewer: the reviewer's name. A reviewer gets a photo again only after a disagreement.
            tab: the browser tab. A tab gets each photo once.
            choice: the reviewer's choice.
            most: maximum number of photos to lease.
        """
        with self._lock:
            now = self._clock()
            self._leases = {place: lease for place, lease in self._leases.items() if lease[1] > now}
            order = self._order(choice.order)
            mine = order[self._askable(reviewer, choice)[order]]
            skipped = self._skipped[reviewer]
            askable = set(mine.tolist()) if skipped else set()
            rest = (place for place in map(int, mine) if place not in skipped)
            places = chain(rest, (place for place in skipped if place in askable))
            taken = list(islice((place for place in places if place not in self._leases), most))
            self._leases |= dict.fromkeys(taken, (tab, now + LEASE_S))
            return taken

    def _askable(self, reviewer: str, choice: Choice) -> _Mask:
        mask = self._open(choice.second)
        times = self._times[reviewer]
        mask &= (times == 0) | (self._differ & (times == 1))
        if choice.label is not None:
            mask &= self._questions.labels == choice.label
        if choice.order is Order.CONTRADICTED:
            mask &= self._questions.contradicted
        return mask

    def _open(self, second: float) -> _Mask:
        twice = (self._voters == 1) & (self._questions.draw < second)
        return np.asarray((self._voters == 0) | twice | self._differ)

    def _order(self, order: Order) -> npt.NDArray[np.intp]:
        if order not in self._orders:
            self._orders[order] = np.lexsort(_keys(self._questions, order))
        return self._orders[order]

    def renew(self, tab: str) -> None:
        """Extend the leases of an open tab."""
        with self._lock:
            now = self._clock()
            self._leases |= {
                place: (holder, now + LEASE_S)
                for place, (holder, until) in self._leases.items()
                if holder == tab and until > now
            }

    def release(self, tab: str) -> None:
        """End the leases of a tab that shows no photo."""
        with self._lock:
            self._leases = {place: lease for place, lease in self._leases.items() if lease[0] != tab}

    def hold(self, question: int, tab: str) -> None:
        """Renew a tab's lease of a photo, unless another tab holds a lease."""
        with self._lock:
            now = self._clock()
            if self._leases.get(question, ("", 0.0))[1] <= now:
                self._leases[question] = (tab, now + LEASE_S)

    def elsewhere(self, reviewer: str, tab: str, choice: Choice) -> int:
        """Number of photos for this reviewer that are leased to other tabs."""
        with self._lock:
            now = self._clock()
            askable = self._askable(reviewer, choice)
            leases = self._leases.items()
            return sum(bool(askable[place]) for place, (holder, until) in leases if holder != tab and until > now)

    def skip(self, question: int, reviewer: str) -> None:
        """Move a photo to the end of this reviewer's queue."""
        with self._lock:
            self._skipped[reviewer].pop(question, None)
            self._skipped[reviewer][question] = None
            self._leases.pop(question, None)

    def unskip(self, question: int, reviewer: str) -> bool:
        """Undo a skip. Returns False if the photo was not skipped."""
        with self._lock:
            skipped = question in self._skipped[reviewer]
            self._skipped[reviewer].pop(question, None)
            return skipped

    def add(self, statement: Vote) -> None:
        """Add an answer. Answers for photos of other jobs are ignored."""
        place = self._questions.by_sha256.get(statement.sha256)
        if place is None:
            return
        with self._lock:
            self._statements[place].setdefault(statement.reviewer, []).append(statement)
            self._recent[statement.reviewer].append(statement.at.timestamp())
            self._skipped[statement.reviewer].pop(place, None)
            self._leases.pop(place, None)
            self._count(place, statement.reviewer)

    def remove(self, statement: Vote) -> None:
        """Remove a withdrawn answer."""
        place = self._questions.by_sha256[statement.sha256]
        with self._lock:
            own = self._statements[place].get(statement.reviewer, [])
            if statement in own:
                own.remove(statement)
            if not own:
                self._statements[place].pop(statement.reviewer, None)
            self._count(place, statement.reviewer)

    def _count(self, place: int, reviewer: str) -> None:
        by_reviewer = self._statements[place]
        last = {statements[-1].decision for statements in by_reviewer.values()}
        self._times[reviewer][place] = len(by_reviewer.get(reviewer, ()))
        self._voters[place] = len(by_reviewer)
        self._differ[place] = len(last) > 1
        label = next(iter(by_reviewer.values()))[-1].label if by_reviewer else ""
        self._right[place] = len(last) == 1 and self._questions.is_right(place, label)

    def statements(self, question: int) -> dict[str, Vote]:
        """Each reviewer's latest answer for a photo."""
        with self._lock:
            return {reviewer: statements[-1] for reviewer, statements in self._statements[question].items()}

    def progress(self, reviewer: str, choice: Choice) -> Progress:
        """The progress of the review for this reviewer."""
        with self._lock:
            done = ~self._open(choice.second)
            left = int(self._askable(reviewer, choice).sum())
            answered = int((self._voters > 0).sum())
            an_hour = self._speed(reviewer)
            firsts = [
                {statements[0].decision for statements in self._statements[int(place)].values()}
                for place in np.flatnonzero(self._voters > 1)
            ]
            return Progress(
                questions=len(self._questions),
                rows=int(self._questions.rows.sum()),
                done=int(done.sum()),
                rows_done=int(self._questions.rows[done].sum()),
                left=left,
                mine=int((self._times[reviewer] > 0).sum()),
                an_hour=an_hour,
                seconds_left=left * 3600 / an_hour if an_hour else None,
                right=float(self._right.sum()) / answered if answered else None,
                twice=len(firsts),
                agreed=sum(len(verdicts) == 1 for verdicts in firsts),
                disputed=int(self._differ.sum()),
            )

    def _speed(self, reviewer: str) -> int | None:
        times = np.sort(np.array(self._recent[reviewer]))
        gaps = np.diff(times)
        worked = gaps[gaps < _PAUSE_S]
        return round(len(worked) * 3600 / worked.sum()) if len(worked) > 1 and worked.sum() > 0 else None
