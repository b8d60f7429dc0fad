"""A job whose chunks cannot be done: it is tried ever more rarely, and the others have the slots."""

import redis

from worker.job import Priority
from worker.jobs import Jobs
from worker.queue.reconciler import Publisher, Reconciler
from worker.queue.redis_state import RedisState

from .recorder import Recorder, a_moment_later, waiting


def next_trial(client: redis.Redis) -> None:
    """The time has come when a job with setbacks may be tried again."""
    client.delete("hangtag:trial:job")
    a_moment_later(client)


def test_a_job_with_setbacks_is_tried_one_chunk_at_a_time(
    reconciler: Reconciler, state: RedisState, client: redis.Redis, sent: Recorder, paper_job
) -> None:
    paper_job(5, name="job")
    paper_job(5, name="sound")
    state.report_trouble("job", "shop-7", "no folder")
    reconciler.tick()
    assert (sent.numbers(), sent.numbers("sound")) == ([0], [0, 1, 2, 3, 4])
    a_moment_later(client)
    reconciler.tick()
    assert sent.numbers() == [0]
    next_trial(client)
    reconciler.tick()
    assert len(sent.numbers()) == 2
    state.reset_backoff("job")
    a_moment_later(client)
    reconciler.tick()
    assert len(sent.numbers()) == 2 + 5


def test_a_job_with_setbacks_whose_chunks_still_wait_gets_no_trial(
    jobs: Jobs, state: RedisState, client: redis.Redis, queue: Publisher, paper_job
) -> None:
    paper_job(3, name="job")
    queue.send_chunk("job", 0, Priority.NORMAL)
    state.report_trouble("job", "shop-7", "no folder")
    Reconciler(jobs, state, queue).tick()
    assert waiting(state) == [0]
    assert not client.exists("hangtag:trial:job")


def test_the_end_of_a_job_with_setbacks_is_tried_as_rarely(
    reconciler: Reconciler, state: RedisState, client: redis.Redis, sent: Recorder, paper_job, commit_part
) -> None:
    commit_part(paper_job(1, name="job"), 0)
    state.report_trouble("job", "shop-7", "no room on the disk")
    reconciler.tick()
    a_moment_later(client)
    reconciler.tick()
    assert sent.finishes == ["job"]
    next_trial(client)
    reconciler.tick()
    assert sent.finishes == ["job", "job"]


def test_who_asks_for_one_job_ends_its_setbacks(
    reconciler: Reconciler, state: RedisState, sent: Recorder, paper_job
) -> None:
    paper_job(3, name="job")
    state.report_trouble("job", "shop-7", "no folder")
    assert reconciler.supply("job") == 3
