import math
from threading import Lock

import pytest

from models.errors import ImageFault
from worker.finish import finish_job
from worker.job import CANCELLED, Priority
from worker.jobs import Jobs
from worker.queue.exposition import OverviewReader
from worker.queue.reconciler import Publisher
from worker.queue.redis_state import RedisState, connect
from worker.queue.settings import QueueSettings
from worker.results import part_key


@pytest.fixture
def reader(jobs: Jobs, state: RedisState) -> OverviewReader:
    """Never rests."""
    return OverviewReader(jobs, state, Lock(), effort=math.inf)


def seen(reader: OverviewReader) -> list[tuple[str, int, int, int]]:
    return [(job.name, job.rows, job.done, job.failed) for job in reader.read().jobs]


def test_what_waits_is_counted(reader: OverviewReader, queue: Publisher) -> None:
    queue.send_chunk("spring", 1, Priority.HIGH)
    queue.send_chunk("spring", 2, Priority.HIGH)
    queue.send_chunk("autumn", 1, Priority.LOW)
    overview = reader.read()
    assert overview.redis_up
    assert overview.waiting == {"hangtag.1.high": 2, "hangtag.2.normal": 0, "hangtag.3.low": 1}


def test_without_redis_the_jobs_are_there(jobs: Jobs, away: QueueSettings, paper_job) -> None:
    paper_job(5)
    overview = OverviewReader(jobs, RedisState(connect(away)), Lock()).read()
    assert (overview.redis_up, overview.waiting) == (False, {})
    assert [job.name for job in overview.jobs] == ["job"]


def test_a_running_job_is_followed(reader: OverviewReader, paper_job, commit_part) -> None:
    job = paper_job(5)
    assert seen(reader) == [("job", 9, 0, 0)]
    commit_part(job, 0, faults={1: ImageFault.DOWNLOAD})
    commit_part(job, 4)
    assert seen(reader) == [("job", 9, 3, 1)]
    commit_part(job, 1, faults={0: ImageFault.MISSING, 1: ImageFault.MISSING})
    assert seen(reader) == [("job", 9, 5, 3)]
    assert reader.read().jobs[0].model == job.spec.model


def test_one_that_has_looked_at_jobs_rests(jobs: Jobs, state: RedisState, paper_job, commit_part) -> None:
    reader = OverviewReader(jobs, state, Lock(), effort=1e-9)
    job = paper_job(5)
    assert seen(reader) == [("job", 9, 0, 0)]
    commit_part(job, 0)
    assert seen(reader) == [("job", 9, 0, 0)]


def test_a_part_is_opened_once(reader: OverviewReader, paper_job, commit_part) -> None:
    job = paper_job(5)
    commit_part(job, 0, faults={1: ImageFault.DOWNLOAD})
    assert seen(reader) == [("job", 9, 2, 1)]
    job.storage.replace(part_key(0), b"damaged")
    assert seen(reader) == [("job", 9, 2, 1)]


def test_a_damaged_part_and_a_damaged_job_hide_nothing_else(reader: OverviewReader, paper_job, commit_part) -> None:
    paper_job(5, name="broken").storage.replace("job.json", b"{")
    job = paper_job(5, name="sound")
    commit_part(job, 0, faults={1: ImageFault.DOWNLOAD})
    commit_part(job, 1)
    job.storage.replace(part_key(1), b"damaged")
    assert seen(reader) == [("sound", 9, 4, 1)]


def test_a_finished_job_and_a_cancelled_one_go_away(reader: OverviewReader, paper_job, commit_part) -> None:
    finished, cancelled = paper_job(2, name="finished"), paper_job(2, name="cancelled")
    assert [name for name, *_ in seen(reader)] == ["cancelled", "finished"]
    commit_part(finished, 0, 1)
    finish_job(finished)
    cancelled.storage.commit(CANCELLED, b"")
    assert seen(reader) == []


def test_another_job_of_the_same_name_begins_at_nought(reader: OverviewReader, paper_job, commit_part) -> None:
    job = paper_job(5)
    commit_part(job, 0, faults={1: ImageFault.DOWNLOAD})
    assert seen(reader) == [("job", 9, 2, 1)]
    other = job.spec.model_copy(update={"id": "another"})
    job.storage.replace("job.json", other.model_dump_json().encode())
    job.storage.delete(part_key(0))
    assert seen(reader) == [("job", 9, 0, 0)]
