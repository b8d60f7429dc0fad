import pytest

from models.errors import ImageFault, JobError
from worker.finish import finish_job, retry_failed
from worker.job import CANCELLED, JobOptions
from worker.receipt import finished_receipt


@pytest.fixture(params=["", "ht_"])
def finished(request, paper_job, commit_part):
    """Five chunks: 0 and 3 hold a row each that is worth another try, 1 and 3 one that is not."""
    job = paper_job(5, options=JobOptions(prefix=request.param))
    commit_part(job, 0, faults={1: ImageFault.MISSING})
    commit_part(job, 1, faults={0: ImageFault.UNREADABLE})
    commit_part(job, 3, faults={0: ImageFault.TIMEOUT, 1: ImageFault.TOO_LARGE})
    commit_part(job, 2, 4)
    finish_job(job)
    return job


def test_rows_that_are_worth_it_are_counted_and_their_chunks_wanted(finished) -> None:
    assert retry_failed(finished) == {"missing": 1, "timeout": 1}
    retry = finished.retry()
    assert (retry.number, retry.chunks, retry.rows) == (1, {0, 3}, 2)
    assert finished.missing_chunks() == [0, 3]
    assert finished_receipt(finished) is None


def test_the_next_retry_is_of_what_failed_again(finished, commit_part) -> None:
    retry_failed(finished)
    commit_part(finished, 0, retry=1)
    commit_part(finished, 3, retry=1, faults={0: ImageFault.CRASHED})
    finish_job(finished)
    assert retry_failed(finished) == {"crashed": 1}
    assert (finished.retry().number, finished.retry().chunks) == (2, {3})


def test_rows_of_a_long_result_belong_to_their_chunks(paper_job, commit_part) -> None:
    """Results are read 65,536 rows at a time."""
    job = paper_job(3, chunk_rows=30_000)
    commit_part(job, 0, 1)
    commit_part(job, 2, faults={25_000: ImageFault.CRASHED})
    finish_job(job)
    assert retry_failed(job) == {"crashed": 1}
    assert job.retry().chunks == {2}


def test_nothing_begins_where_no_row_is_worth_it(paper_job, commit_part) -> None:
    job = paper_job(1)
    commit_part(job, 0, faults={0: ImageFault.UNREADABLE})
    finish_job(job)
    assert not retry_failed(job)
    assert job.retry().number == 0
    assert finished_receipt(job)


def test_a_job_that_is_not_finished_is_refused(paper_job, commit_part) -> None:
    job = paper_job(1)
    commit_part(job, 0, faults={0: ImageFault.MISSING})
    with pytest.raises(JobError, match="Expected a finished job"):
        retry_failed(job)


def test_a_retry_that_goes_on_is_not_begun_again(finished) -> None:
    retry_failed(finished)
    with pytest.raises(JobError, match="Expected a finished job"):
        retry_failed(finished)
    assert finished.retry().number == 1


def test_a_cancellation_that_came_too_late_does_not_stop_it(finished) -> None:
    finished.storage.commit(CANCELLED, b"")
    retry_failed(finished)
    assert not finished.cancelled
