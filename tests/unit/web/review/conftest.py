"""Fixtures for the tests of review: a clock that a test sets, jobs, votes."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.storage.storage import FolderStorage
from tests.review_jobs import Row, labelled_job, sha256_of
from trainer.corrections.votes import Vote
from web.review.questions import load_questions
from web.review.queue import ReviewQueue
from worker.job.job import Job, open_job
from worker.request import JobOptions

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()
MakeQueue = Callable[[list[Row]], ReviewQueue]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_queue(tmp_path: Path, clock: Clock) -> MakeQueue:
    """Makes a queue of the questions about some rows."""
    return lambda rows: ReviewQueue(load_questions(job_of(tmp_path, rows)), clock)


def job_of(folder: Path, rows: list[Row], options: JobOptions | None = None) -> Job:
    result = labelled_job(folder / "shop", rows, options)
    job = open_job(FolderStorage(result.with_name("labels.parquet.job")))
    assert job
    return job


def vote(clock: Clock, photo: int, label: str, reviewer: str = "anna") -> Vote:
    clock.now += 1
    return Vote(datetime.fromtimestamp(clock.now, UTC), reviewer, sha256_of(photo), "", label)
