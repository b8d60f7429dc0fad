"""The progress of jobs: each part counts once, and again after a retry."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.storage.storage import FolderStorage
from tests.review_jobs import Row, commit_parts, doubtful, labelled_job
from web.jobs import JobIndex, result_id
from web.pictures import CatalogueRows
from web.review.reviews import Reviews
from web.run_jobs import JobRunner
from web.settings import WebSettings
from web.watch_jobs import JobBoard
from worker.job.job import CANCELLED, commit_retry, open_job
from worker.job.parts import Status, part_key
from worker.label import job_folder

MakeBoard = Callable[[Path], JobBoard]


@pytest.fixture
def board_of(tmp_path: Path) -> MakeBoard:
    def made(result: Path) -> JobBoard:
        settings = WebSettings(jobs=str(tmp_path / "jobs"), results=[result])
        index = JobIndex(settings.jobs, [result])
        reviews = Reviews(index, tmp_path / "corrections.csv", CatalogueRows())
        return JobBoard(index, JobRunner(settings, index), reviews.answered)

    return made


def test_counts_follow_a_retry(board_of: MakeBoard, tmp_path: Path) -> None:
    """A part of a retry replaces the chunk's earlier part in the count."""
    failed, passed = (Row(9, status=status, confidence=0.9) for status in (Status.FAILED, Status.LABELED))
    result = labelled_job(tmp_path / "shop", [*doubtful(3), failed], chunk_rows=4)
    job = open_job(FolderStorage(job_folder(result)))
    board = board_of(result)

    def counts() -> tuple[int, dict[str, int]]:
        view = board.view(result_id(result))
        return view.counts.rows, dict(view.counts.by_status)

    assert counts() == (4, {"review": 3, "failed": 1})
    view = board.view(result_id(result))
    assert [(one.row, one.image) for one in view.counts.examples["too_large"]] == [(4, "9.png")]
    commit_retry(job.storage, 1, [0], 1)
    job.storage.commit(CANCELLED, b"")
    assert counts() == (0, {}), "the earlier part is to be done again"
    assert board.view(result_id(result)).progress.done == 0
    before = job.storage.read(part_key(0))
    job.storage.delete(part_key(0))
    commit_parts(job, [*doubtful(3), passed])
    job.storage.commit(part_key(0, 1), job.storage.read(part_key(0)))
    job.storage.replace(part_key(0), before)
    assert counts() == (4, {"review": 3, "labeled": 1})


def test_a_failed_job_says_why(board_of: MakeBoard, tmp_path: Path) -> None:
    result = labelled_job(tmp_path / "shop", doubtful(3), chunk_rows=4)
    job = open_job(FolderStorage(job_folder(result)))
    job.storage.delete("receipt.json")
    job.storage.commit(CANCELLED, b"A part is damaged.")
    (view,), _ = board_of(result).look()
    assert (view.state, view.is_over) == ("failed", True)
    assert view.remarks == ("The job's results cannot be merged: A part is damaged. Fix this, and resume the job.",)
