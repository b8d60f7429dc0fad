"""When the merging of a job is queued; with a real Redis and a real model."""

import pytest

from models.process_identity import Owner
from worker.job.jobs import Jobs
from worker.queue.messages import FINISH
from worker.queue.reconciler import Reconciler
from worker.queue.redis_state import RedisState
from worker.queue.runner import Runner

from .recorder import NewJob, waiting


def test_the_merging_is_queued_with_the_last_chunk(runner: Runner, state: RedisState, new_job: NewJob) -> None:
    new_job(600)
    runner.label_chunk("job", 2)
    runner.label_chunk("job", 0)
    assert waiting(state) == []
    runner.label_chunk("job", 1)
    assert waiting(state) == [FINISH]


def test_after_a_chunk_that_is_none_of_the_last_the_reconciler_queues_the_merging(
    runner: Runner, jobs: Jobs, state: RedisState, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.queue.runner._LAST", 1)
    new_job(300)
    runner.label_chunk("job", 1)
    runner.label_chunk("job", 0)
    assert waiting(state) == []
    Reconciler(jobs, state).tick()
    assert waiting(state) == [FINISH]


def test_while_a_chunk_is_worked_on_elsewhere_the_storage_is_not_asked_for_parts(
    runner: Runner, state: RedisState, new_job: NewJob, living_process: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_job(300)
    state.take_lease("job", 1, living_process)
    asked = list[str]()
    monkeypatch.setattr("worker.queue.runner.send_finish", lambda _state, name, _job: asked.append(name))
    runner.label_chunk("job", 0)
    assert asked == []


def test_a_storage_that_fails_after_the_last_chunk_fails_no_chunk(
    runner: Runner, state: RedisState, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job()

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("worker.queue.runner.send_finish", broken)
    runner.label_chunk("job", 0)
    assert (job.storage.names("parts"), state.trouble("job"), waiting(state)) == (["000000.r0.parquet"], {}, [])
