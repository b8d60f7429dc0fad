import pytest
import redis

from models.errors import ImageFault, JobError
from models.process import Owner
from worker.job.job import CANCELLED
from worker.queue.control import Control, QueueStatus, cancel, look_around, open_control, resume, retry, watch
from worker.queue.redis_state import QUEUES, Presence
from worker.queue.settings import QueueSettings
from worker.results.finish import finish_job
from worker.results.progress import JobProgress, JobState

PRESENCE = Presence(Owner.this(), 2, "0.1.0", "/srv/jobs", "cafe")


class View:
    """Keeps the shown progress. Raises KeyboardInterrupt after ``stop_after`` calls, and fails soon without it."""

    def __init__(self, stop_after: int = 0) -> None:
        self.shown: list[tuple[JobProgress, QueueStatus]] = []
        self._stop_after = stop_after

    def show(self, progress: JobProgress, status: QueueStatus) -> None:
        self.shown.append((progress, status))
        if len(self.shown) == self._stop_after:
            raise KeyboardInterrupt
        assert len(self.shown) < 5, "it goes on and on"

    @property
    def states(self) -> list[JobState]:
        return [progress.state for progress, _ in self.shown]


@pytest.fixture
def control(settings: QueueSettings):
    with open_control(settings) as control:
        yield control


def follow(control: Control, view: View) -> JobProgress:
    return watch("job", control.jobs.find("job"), control, view.show)


def test_a_job_is_followed_to_its_end_which_is_shown_once(control: Control, paper_job, commit_part):
    job = paper_job(2)
    cancel("job", job)
    cancelled, merging, finished = View(), View(stop_after=2), View()
    assert follow(control, cancelled).state is JobState.CANCELLED
    assert resume(job) == job.spec.rows
    commit_part(job, 0, 1)
    with pytest.raises(KeyboardInterrupt):
        follow(control, merging)
    finish_job(job)
    assert follow(control, finished).state is JobState.FINISHED
    shown = [view.states for view in (cancelled, merging, finished)]
    assert shown == [[JobState.CANCELLED], [JobState.MERGING] * 2, [JobState.FINISHED]]


def test_who_watches_queues_what_is_missing_and_who_only_looks_does_not(
    control: Control, client: redis.Redis, paper_job
) -> None:
    job = paper_job(3)
    control.state.announce(PRESENCE)
    control.state.report_trouble("job", "shop-7", "no folder")
    control.state.report_trouble("another", "shop-8", "no folder")
    assert look_around("job", control.state) == QueueStatus(None, (PRESENCE,), {"shop-7": "no folder"})
    assert not any(client.llen(queue) for queue in QUEUES.values())
    control.state.reset_backoff("job")
    with pytest.raises(KeyboardInterrupt):
        follow(control, View(stop_after=1))
    assert sum(client.llen(queue) for queue in QUEUES.values()) == job.spec.chunks


def test_a_finished_job_is_not_cancelled_and_only_a_finished_one_is_retried(paper_job, commit_part) -> None:
    job = paper_job(2)
    with pytest.raises(JobError):
        retry(job)
    commit_part(job, 0)
    commit_part(job, 1, faults={0: ImageFault.MISSING})
    finish_job(job)
    with pytest.raises(JobError, match="job"):
        cancel("job", job)
    assert not job.storage.exists(CANCELLED)
    assert retry(job) == {"missing": 1}
    assert job.missing_chunks() == [1]
