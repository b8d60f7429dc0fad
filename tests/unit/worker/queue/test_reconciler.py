"""Against a real Redis; what is proved of waiting messages, with Celery's own messages in it."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest
import redis

from models.errors import ImageFault
from models.process import Owner
from models.storage.storage import FolderStorage
from worker.job.job import CANCELLED, commit_retry
from worker.job.jobs import Jobs
from worker.queue.app import HangtagCelery
from worker.queue.reconciler import MIN_WINDOW, TICK_S, WINDOW_PER_SLOT, Reconciler
from worker.queue.redis_state import FINISH, QUEUES, Presence, RedisState, connect, parse_message
from worker.queue.settings import QueueSettings
from worker.request import Priority
from worker.results.finish import finish_job

from .recorder import Recorder, a_moment_later, next_second, waiting

NORMAL = QUEUES[Priority.NORMAL]


@pytest.fixture
def publishing(jobs: Jobs, state: RedisState, app: HangtagCelery) -> Reconciler:
    """Its messages wait in Redis."""
    return Reconciler(jobs, state, app.send)


def announce(state: RedisState, *slots: int) -> None:
    for number, count in enumerate(slots):
        state.announce(Presence(Owner(f"shop-{number}", "", 1, 1), count, "0.1.0", "/srv/jobs", "cafe"))


@pytest.mark.parametrize("priority", Priority)
def test_chunks_go_to_the_queue_of_their_urgency(publishing, client, paper_job, priority) -> None:
    paper_job(3, priority=priority)
    publishing.tick()
    assert {other: waiting(client, other) for other in Priority if waiting(client, other)} == {priority: [0, 1, 2]}


def jobs_whose_parts_are_asked_for(jobs: Jobs, asked: Callable[[], object]) -> Jobs:
    class QuestionModel(FolderStorage):
        def child(self, folder: str) -> FolderStorage:
            return QuestionModel(self.root / folder)

        def exists(self, key: str) -> bool:
            if key.startswith("parts/"):
                asked()
            return super().exists(key)

    return Jobs(QuestionModel(Path(jobs.place)))


def test_several_parts_are_asked_for_at_once(jobs, state, sent, paper_job) -> None:
    """S3 answers in 15 ms: one after the other, a tick for 100 slots would take half a minute."""
    paper_job(32)
    announce(state, 16)
    several = Barrier(8)
    assert Reconciler(jobs_whose_parts_are_asked_for(jobs, lambda: several.wait(20)), state, sent).tick() == 32


def test_a_tick_ends_in_time_where_the_storage_is_slow(jobs, state, sent, paper_job) -> None:
    """Else the worker would not announce itself, and the others would take it for dead."""
    paper_job(300)
    announce(state, 50)
    slow = jobs_whose_parts_are_asked_for(jobs, partial(time.sleep, TICK_S / 4))
    assert 0 < Reconciler(slow, state, sent).tick() < 300
    assert sent.numbers() == list(range(len(sent.numbers())))


def test_slow_jobs_share_the_time_of_a_tick_and_take_turns(jobs, state, client, sent, paper_job, monkeypatch) -> None:
    monkeypatch.setattr("worker.queue.reconciler.TICK_S", 0.5)
    announce(state, 16)
    for name in "abc":
        paper_job(80, name=name)
    slow = Reconciler(jobs_whose_parts_are_asked_for(jobs, partial(time.sleep, 0.3)), state, sent)
    turns = []
    for _ in range(4):
        before = len(sent.sent)
        slow.tick()
        turns.append({name for name, _ in sent.sent[before:]})
        a_moment_later(client)
    assert turns == [{"a"}, {"b"}, {"c"}, {"a"}]


def test_a_chunk_that_somebody_works_on_is_not_queued(
    reconciler, sent, state, client, paper_job, living_process
) -> None:
    """Chunk 70 lies in the second block of 64."""
    paper_job(80)
    announce(state, 40)
    for job, chunk in (("job", 1), ("job", 70), ("another", 2)):
        state.take_lease(job, chunk, living_process)
    for _ in range(2):
        assert reconciler.tick() == 78
        a_moment_later(client)
    assert not {1, 70} & set(sent.numbers())


def test_a_message_that_waits_is_not_sent_again_but_a_lost_one_is(publishing, state, client, paper_job) -> None:
    announce(state, 3)
    paper_job(5)
    assert publishing.tick() == 5
    a_moment_later(client)
    assert publishing.tick() == 0
    lost = [parse_message(text)[1] for text in client.rpop(NORMAL, 2)]
    a_moment_later(client)
    assert publishing.tick() == 2
    assert waiting(client) == [2, 3, 4, *lost]


@pytest.mark.parametrize("slots", [(), (2, 3)])
def test_no_more_than_a_window_of_chunks_waits(publishing, state, client, paper_job, slots) -> None:
    announce(state, *slots)
    window = max(MIN_WINDOW, WINDOW_PER_SLOT * sum(slots))
    paper_job(100)
    for lost, first in ((0, 0), (0, 0), (3, 3)):
        if lost:
            client.rpop(NORMAL, lost)
        publishing.tick()
        assert waiting(client) == list(range(first, window + first))
        next_second(client)


def test_a_message_whose_chunk_was_done_by_another_task_takes_no_place(
    publishing, client, paper_job, commit_part
) -> None:
    job = paper_job(20)
    publishing.tick()
    assert waiting(client) == list(range(MIN_WINDOW))
    commit_part(job, 0, 2)
    publishing.supply("job")
    assert waiting(client) == list(range(MIN_WINDOW + 2))


def test_of_two_reconcilers_at_once_each_chunk_is_queued_by_one(
    jobs: Jobs, state: RedisState, settings: QueueSettings, paper_job
) -> None:
    """Both look at the job before either has sent anything; the recorder hides what waits."""
    announce(state, 15)
    paper_job(30)
    at_once, sent = Barrier(2), Recorder()

    def supply(_: int) -> int:
        with connect(settings) as client:
            reconciler = Reconciler(jobs, RedisState(client), sent)
            at_once.wait()
            return reconciler.supply("job")

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(supply, range(2))) == 30
    assert sorted(sent.numbers()) == list(range(30))


def test_a_cancelled_job_is_left_alone_until_it_goes_on_and_a_finished_one_for_good(
    reconciler: Reconciler, paper_job, commit_part
) -> None:
    job = paper_job(3)
    job.storage.commit(CANCELLED, b"")
    assert reconciler.tick() == 0
    job.storage.delete(CANCELLED)
    assert reconciler.supply("job") == 3
    commit_part(job, 0, 1, 2)
    finish_job(job)
    assert reconciler.supply("job") == 0


def test_the_end_is_queued_once_when_all_chunks_are_done(publishing, client, paper_job, commit_part) -> None:
    job = paper_job(2, priority=Priority.HIGH)
    commit_part(job, 0)
    publishing.tick()
    assert waiting(client, Priority.HIGH) == [1]
    commit_part(job, 1)
    client.delete(QUEUES[Priority.HIGH])
    assert publishing.supply("job") == 1
    a_moment_later(client)
    assert publishing.supply("job") == 0
    assert waiting(client, Priority.HIGH) == [FINISH]


def test_the_end_is_not_queued_while_somebody_merges(
    reconciler, sent, state, paper_job, commit_part, living_process
) -> None:
    commit_part(paper_job(2), 0, 1)
    state.take_lease("job", FINISH, living_process)
    reconciler.tick()
    assert sent.finishes == []
    state.end_lease("job", FINISH, living_process)
    reconciler.supply("job")
    reconciler.supply("job")
    assert sent.finishes == ["job"]


def test_of_a_retry_its_chunks_are_queued_and_then_the_end(reconciler, sent, paper_job, commit_part) -> None:
    job = paper_job(5)
    commit_part(job, 0, 2, 4)
    commit_part(job, 1, 3, faults={0: ImageFault.MISSING})
    finish_job(job)
    commit_retry(job.storage, 1, [1, 3], 2)
    assert reconciler.supply("job") == 2
    assert sent.numbers() == [1, 3]
    commit_part(job, 1, 3, retry=1)
    assert reconciler.supply("job") == 1
    assert sent.finishes == ["job"]
    finish_job(job)
    assert reconciler.supply("job") == 0


DAMAGE = {
    "a job.json that is none": ("job.json", b"{"),
    "a job.json of another version": ("job.json", b'{"schema_version": 3}'),
    "a folder in its place": ("job.json/a", b""),
    "a receipt of another version": ("receipt.json", b'{"schema_version": 3}'),
    "a retry that is none": ("retries/00001.json", b"{"),
    "a file that is not ours": ("retries/notes.txt", b""),
}


@pytest.mark.parametrize(("key", "data"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_job_does_not_stop_the_others(jobs, reconciler, sent, paper_job, key, data) -> None:
    (paper_job(2, name="a").storage.root / "retries").mkdir()
    if key == "job.json/a":
        jobs.storage("a").delete("job.json")
        (jobs.storage("a").source("job.json")).mkdir()
    jobs.storage("a").replace(key, data)
    paper_job(2, name="b")
    reconciler.tick()
    assert sent.numbers("b") == [0, 1]


class Failing(RedisState):
    """Raises an error for the job ``a``."""

    error: Exception

    def leased(self, job: str, chunks: Sequence[int]) -> set[int]:
        if job == "a":
            raise self.error
        return super().leased(job, chunks)


@pytest.mark.parametrize("error", [KeyError("unforeseen"), PermissionError("photos")])
def test_an_error_with_one_job_does_not_stop_the_others(jobs, client, sent, paper_job, caplog, error) -> None:
    caplog.set_level(logging.INFO, "hangtag")
    for name in ("a", "b"):
        paper_job(2, name=name)
    failing = Failing(client)
    failing.error = error
    reconciler = Reconciler(jobs, failing, sent)
    for _ in range(2):
        reconciler.tick()
        a_moment_later(client)
    assert sent.sent == [("b", 0), ("b", 1)] * 2
    assert [record.fields["job"] for record in caplog.records] == ["a"], "it rests"


def next_retry(client: redis.Redis) -> None:
    """The time has come when a job with setbacks may be tried again."""
    client.delete("hangtag:trial:job")
    a_moment_later(client)


def test_a_job_with_setbacks_is_tried_one_chunk_at_a_time(reconciler, state, client, sent, paper_job) -> None:
    announce(state, 3)
    paper_job(5, name="job")
    paper_job(5, name="sound")
    state.report_trouble("job", "shop-7", "no folder")
    reconciler.tick()
    assert (sent.numbers(), sent.numbers("sound")) == ([0], [0, 1, 2, 3, 4])
    a_moment_later(client)
    reconciler.tick()
    assert sent.numbers() == [0]
    next_retry(client)
    reconciler.tick()
    assert len(sent.numbers()) == 2
    a_moment_later(client)
    assert reconciler.supply("job") == 5  # a call for one job ends its setbacks
    assert state.failures("job") == 0
