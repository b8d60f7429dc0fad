import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from models.errors import ImageFault
from worker.job.job import CANCELLED, Job, commit_retry
from worker.job.parts import part_key
from worker.results.finish import finish_job
from worker.results.progress import JobProgress, JobState, ProgressReader


def date_part(job: Job, chunk: int, seconds_ago: float, retry: int = 0) -> None:
    moment = time.time() - seconds_ago
    os.utime(job.storage.root / part_key(chunk, retry), (moment, moment))


def begun(job: Job, seconds_ago: float) -> Job:
    """The same job, submitted some time ago."""
    then = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    return replace(job, spec=job.spec.model_copy(update={"created_at": then}))


def test_parts_are_progress(paper_job, commit_part) -> None:
    job = paper_job(5)
    commit_part(job, 0, faults={0: ImageFault.MISSING}, deaths=2)
    commit_part(job, 4, deaths=1)
    progress = ProgressReader(job).read()
    assert (progress.state, progress.rows, progress.done) == (JobState.RUNNING, 9, 3)
    assert (progress.failed, progress.deaths) == (1, 3)
    assert progress.rate > 0
    assert progress.seconds_left == pytest.approx(6 / progress.rate)


def test_waiting_for_a_worker_is_not_in_the_rate(paper_job, commit_part) -> None:
    job = begun(paper_job(5), 3000.0)
    commit_part(job, 0, 1, 2, 3, 4)
    date_part(job, 0, 50.0)
    assert ProgressReader(job).read().rate == pytest.approx(9 / 50, rel=0.1)
    run = finish_job(job).run
    assert run.images / run.seconds == pytest.approx(9 / 50, rel=0.1)


def test_the_rate_is_of_the_last_minute_or_since_the_first_chunk_was_begun(paper_job, commit_part) -> None:
    job = begun(paper_job(5), 3000.0)
    commit_part(job, 1, 2)
    date_part(job, 1, 30.0)
    date_part(job, 2, 10.0)
    assert ProgressReader(job).read().rate == pytest.approx(4 / 30, rel=0.1)
    commit_part(job, 0)
    date_part(job, 0, 600.0)
    assert ProgressReader(job).read().rate == pytest.approx(4 / 60, rel=0.01)


def test_a_job_from_a_machine_whose_clock_is_ahead_is_running(paper_job, commit_part) -> None:
    job = begun(paper_job(5), -30.0)
    commit_part(job, 0, 1)
    progress = ProgressReader(job).read()
    assert (progress.state, progress.rate) == (JobState.RUNNING, 4.0)


def test_a_job_without_a_part_in_the_last_minute_waits_and_a_cancelled_one_keeps_what_is_done(
    paper_job, commit_part
) -> None:
    job = paper_job(5)
    commit_part(job, 0)
    date_part(job, 0, 61.0)
    progress = ProgressReader(job).read()
    assert (progress.state, progress.done, progress.rate, progress.seconds_left) == (JobState.WAITING, 2, 0.0, None)
    job.storage.commit(CANCELLED, b"")
    progress = ProgressReader(job).read()
    assert (progress.state, progress.done) == (JobState.CANCELLED, 2)


def test_a_job_whose_chunks_are_all_done_is_merged_and_then_finished(paper_job, commit_part) -> None:
    job = paper_job(2)
    commit_part(job, 0, deaths=1)
    commit_part(job, 1, faults={0: ImageFault.MISSING})
    reader = ProgressReader(job)
    merging = reader.read()
    assert (merging.state, merging.done, merging.seconds_left) == (JobState.MERGING, 3, None)
    finish_job(job)
    assert reader.read() == JobProgress(JobState.FINISHED, 3, 3, 1, 1, 0.0)


def test_a_retry_sets_a_finished_job_back_and_only_rows_that_are_done_again_count(paper_job, commit_part) -> None:
    job = paper_job(3)
    for chunk in range(3):
        commit_part(job, chunk, faults={0: ImageFault.MISSING}, deaths=1)
    assert finish_job(job).by_status["failed"] == 3
    commit_retry(job.storage, 1, [1, 2], 2)
    reader = ProgressReader(job)
    now = reader.read()
    assert (now.state, now.done, now.failed, now.deaths) == (JobState.RUNNING, 2, 1, 1)
    commit_part(job, 1, retry=1)
    job.storage.commit(CANCELLED, b"")
    now = reader.read()
    assert (now.state, now.done, now.failed, now.deaths) == (JobState.CANCELLED, 4, 1, 1)
    job.storage.delete(CANCELLED)
    commit_part(job, 2, retry=1)
    assert (reader.read().state, reader.read().done, reader.read().failed) == (JobState.MERGING, 5, 1)
