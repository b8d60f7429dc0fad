"""Photos and earlier results that stay open from one task of a job to the next."""

from collections.abc import Iterator

import pytest

from models.errors import JobError
from worker.job.job import Job
from worker.queue.runner import JobResources


@pytest.fixture
def tools() -> Iterator[JobResources]:
    tools = JobResources()
    yield tools
    tools.close()


def test_the_next_task_of_a_job_finds_what_the_last_one_left(tools: JobResources, paper_job) -> None:
    job: Job = paper_job(2)
    with tools.of(job) as first:
        pass
    with tools.of(job) as second:
        assert second is first


def test_after_an_error_all_is_opened_anew(tools: JobResources, paper_job) -> None:
    job: Job = paper_job(2)
    with pytest.raises(JobError, match="no credentials"), tools.of(job) as first:
        raise JobError("no credentials")  # noqa: EM101
    with tools.of(job) as second:
        assert second is not first
