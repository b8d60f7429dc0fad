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
from models.process_identity import Owner
from models.storage.storage import FolderStorage
from worker.job.job import CANCELLED, commit_retry
from worker.job.jobs import Jobs
from worker.queue.messages import FINISH, QUEUES, TaskCall, job_call, parse_message
from worker.queue.reconciler import MIN_WINDOW, TICK_S, WINDOW_PER_SLOT, Reconciler
from worker.queue.redis_state import Presence, RedisState, connect
from worker.queue.settings import QueueSettings
from worker.request import Priority
from worker.results.finish import finish_job

from .recorder import Recorder, a_moment_later, next_second, waiting


@pytest.fixture
def publishing(jobs: Jobs, state: RedisState) -> Reconciler:
    """Its messages wait in Redis."""
    return Reconciler(jobs, state)


@pytest.mark.parametrize("priority", Priority)
def test_chunks_go_to_the_queue_of_their_urgency(publishing, state, paper_job, priority) -> None:
    paper_job(3, priority=priority)
    publishing.tick()
    assert {other: waiting(state, other) for other in Priority if waiting(state, other)} == {priority: [0, 1, 2]}


def test_a_chunk_that_has_a_part_is_not_queued(reconciler: Reconciler, sent: Recorder, paper_job, commit_part) -> None:
    commit_part(paper_job(5), 1, 4)
    reconciler.tick()
    assert sent.numbers() == [0, 2, 3]


def test_a_part_that_came_after_the_look_is_seen(
    jobs: Jobs, state, client: redis.Redis, paper_job, commit_part
) -> None:
    """The list of missing chunks may be old by the time its end is reached; each block of 64 is looked at again."""
    job = paper_job(80)
    state.announce(Presence(Owner.this(), 8, "0.1.0", "/srv/jobs", "cafe"))

    class Late(Recorder):
        def send(self, queue: str, call: TaskCall) -> None:
            if call == job_call("job", 0):
                commit_part(job, 70)
            super().send(queue, call)

    late = Late(client)
    Reconciler(jobs, late).tick()
    assert late.numbers() == [chunk for chunk in range(80) if chunk != 70]


def jobs_whose_parts_are_asked_for(jobs: Jobs, asked: Callable[[], object]) -> Jobs:
    class Asked(FolderStorage):
        def child(self, folder: str) -> FolderStorage:
            return Asked(self.root / folder)

        def exists(self, key: str) -> bool:
            if key.startswith("parts/"):
                asked()
            return super().exists(key)

    return Jobs(Asked(Path(jobs.place)))


def test_several_parts_are_asked_for_at_once(jobs, sent, paper_job) -> None:
    """S3 answers in 15 ms: one after the other, a tick for 100 slots would take half a minute."""
    paper_job(32)
    several = Barrier(8)
    assert Reconciler(jobs_whose_parts_are_asked_for(jobs, lambda: several.wait(20)), sent).tick() == 32


def test_a_tick_ends_in_time_where_the_storage_is_slow(jobs, state, sent, paper_job) -> None:
    """Else the worker would not announce itself, and the others would take it for dead."""
    paper_job(300)
    state.announce(Presence(Owner.this(), 50, "0.1.0", "/srv/jobs", "cafe"))
    slow = Reconciler(jobs_whose_parts_are_asked_for(jobs, partial(time.sleep, TICK_S / 4)), sent)
    assert 0 < slow.tick() < 300
    assert sent.numbers() == list(range(len(sent.numbers())))


def test_slow_jobs_share_the_time_of_a_tick_and_take_turns(jobs, client, sent, paper_job, monkeypatch) -> None:
    monkeypatch.setattr("worker.queue.reconciler.TICK_S", 0.5)
    for name in "abc":
        paper_job(80, name=name)
    slow = Reconciler(jobs_whose_parts_are_asked_for(jobs, partial(time.sleep, 0.3)), sent)
    turns = []
    for _ in range(4):
        before = len(sent.sent)
        slow.tick()
        turns.append({name for name, _ in sent.sent[before:]})
        a_moment_later(client)
    assert turns == [{"a"}, {"b"}, {"c"}, {"a"}]


def test_no_more_parts_are_asked_for_than_chunks_are_wanted(jobs, state, client, paper_job) -> None:
    asked: list[None] = []
    reconciler = Reconciler(jobs_whose_parts_are_asked_for(jobs, lambda: asked.append(None)), state)
    paper_job(100)

    def asked_in_a_tick() -> tuple[int, int]:
        asked.clear()
        sent = reconciler.tick()
        a_moment_later(client)
        return sent, len(asked)

    assert asked_in_a_tick() == (MIN_WINDOW, MIN_WINDOW)
    assert asked_in_a_tick() == (0, 0), "the window is full"
    client.rpop(QUEUES[Priority.NORMAL], 5)
    assert asked_in_a_tick() == (5, 5)
    client.delete(QUEUES[Priority.NORMAL])
    state.report_trouble("job", "shop-7", "no folder")
    assert asked_in_a_tick() == (1, 1), "it is tried one chunk at a time"


def test_a_chunk_that_somebody_works_on_is_not_queued(
    reconciler: Reconciler, sent: Recorder, state: RedisState, client: redis.Redis, paper_job, living_process: Owner
) -> None:
    paper_job(3)
    state.take_lease("job", 1, living_process)
    state.take_lease("another", 2, living_process)
    reconciler.tick()
    a_moment_later(client)
    reconciler.tick()
    assert sent.numbers() == [0, 2, 0, 2]


def test_leases_are_looked_up_in_every_block(jobs, state, sent, paper_job, living_process) -> None:
    """Chunk 70 lies in the second block of 64."""
    paper_job(80)
    state.announce(Presence(Owner.this(), 8, "0.1.0", "/srv/jobs", "cafe"))
    state.take_lease("job", 70, living_process)
    assert Reconciler(jobs, sent).tick() == 79
    assert 70 not in sent.numbers()


def test_a_waiting_chunk_is_not_queued_again(publishing, state, client, paper_job) -> None:
    paper_job(5)
    assert publishing.tick() == 5
    a_moment_later(client)
    assert publishing.tick() == 0
    assert waiting(state) == [0, 1, 2, 3, 4]


def test_a_message_that_is_lost_is_sent_again(publishing, state, client, paper_job) -> None:
    paper_job(5)
    publishing.tick()
    lost = [parse_message(text) for text in client.rpop(QUEUES[Priority.NORMAL], 2)]
    a_moment_later(client)
    assert publishing.tick() == 2
    assert waiting(state) == [2, 3, 4, *(message[1] for message in lost if message)]


def test_after_a_flush_every_missing_chunk_is_queued_again(
    publishing: Reconciler, state: RedisState, client: redis.Redis, paper_job, commit_part
) -> None:
    job = paper_job(5)
    publishing.tick()
    commit_part(job, 2)
    client.flushall()
    assert publishing.tick() == 4
    assert waiting(state) == [0, 1, 3, 4]


@pytest.mark.parametrize("slots", [(), (2, 3)])
def test_no_more_than_a_window_of_chunks_waits(publishing, state, client, paper_job, slots) -> None:
    for number, count in enumerate(slots):
        state.announce(Presence(Owner(f"shop-{number}", "", 1, 1), count, "0.1.0", "/srv/jobs", "cafe"))
    window = max(MIN_WINDOW, WINDOW_PER_SLOT * sum(slots))
    paper_job(100)
    assert publishing.tick() == window
    assert waiting(state) == list(range(window))
    next_second(client)
    assert publishing.tick() == 0
    client.rpop(QUEUES[Priority.NORMAL], 3)
    next_second(client)
    assert publishing.tick() == 3
    assert waiting(state) == list(range(3, window + 3))


def test_the_window_is_each_jobs_own(jobs, publishing, sent, paper_job) -> None:
    paper_job(100, name="long")
    publishing.supply("long")
    paper_job(3, name="short")
    assert Reconciler(jobs, sent).tick() == 3
    assert sent.numbers("short") == [0, 1, 2]


def test_of_two_reconcilers_at_once_each_chunk_is_queued_by_one(jobs: Jobs, settings: QueueSettings, paper_job) -> None:
    """Both look at the job before either has sent anything; the recorders hide what waits."""
    paper_job(30)
    at_once = Barrier(2)
    recorders = [Recorder(connect(settings)) for _ in range(2)]

    def supply(number: int) -> int:
        reconciler = Reconciler(jobs, recorders[number])
        at_once.wait()
        return reconciler.supply("job")

    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(supply, range(2)))
    for recorder in recorders:
        recorder.close()
    assert sum(counts) == 30
    assert sorted(recorders[0].numbers() + recorders[1].numbers()) == list(range(30))


def test_one_reconciler_a_second_does_the_work(jobs, state, client, sent, paper_job) -> None:
    paper_job(5)
    one, other = Reconciler(jobs, sent), Reconciler(jobs, sent)
    assert one.tick() == 5
    a_moment_later(client)
    assert one.tick() == 5
    client.persist("hangtag:tick:6")  # however slow this machine is
    client.delete(*client.keys("hangtag:sent:*"))
    assert other.tick() == 0
    next_second(client)
    assert other.tick() == 5


def test_a_cancelled_job_is_left_alone_until_it_goes_on(reconciler: Reconciler, paper_job) -> None:
    job = paper_job(3)
    job.storage.commit(CANCELLED, b"")
    assert reconciler.tick() == 0
    job.storage.delete(CANCELLED)
    assert reconciler.supply("job") == 3


def test_a_finished_job_is_left_alone(reconciler: Reconciler, sent: Recorder, paper_job, commit_part) -> None:
    job = paper_job(2)
    commit_part(job, 0, 1)
    finish_job(job)
    assert reconciler.tick() == 0
    assert sent.sent == []


def test_the_end_is_queued_once_when_all_chunks_are_done(
    publishing: Reconciler, state: RedisState, client: redis.Redis, paper_job, commit_part
) -> None:
    job = paper_job(2, priority=Priority.HIGH)
    commit_part(job, 0)
    publishing.tick()
    assert waiting(state, Priority.HIGH) == [1]
    commit_part(job, 1)
    client.delete(QUEUES[Priority.HIGH])
    assert publishing.supply("job") == 1
    a_moment_later(client)
    assert publishing.supply("job") == 0
    assert waiting(state, Priority.HIGH) == [FINISH]


def test_the_end_is_not_queued_while_somebody_merges(
    reconciler: Reconciler, sent: Recorder, state: RedisState, paper_job, commit_part, living_process: Owner
) -> None:
    job = paper_job(2)
    commit_part(job, 0, 1)
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
    "a job.json of a newer version": ("job.json", b'{"schema_version": 3}'),
    "a folder in its place": ("job.json/a", b""),
    "a receipt of a newer version": ("receipt.json", b'{"schema_version": 3}'),
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


@pytest.mark.parametrize("error", [KeyError("unforeseen"), PermissionError("photos")])
def test_an_error_with_one_job_does_not_stop_the_others(jobs, client, paper_job, caplog, error) -> None:
    caplog.set_level(logging.INFO, "hangtag")

    class Failing(Recorder):
        def leased(self, job: str, chunks: Sequence[int]) -> set[int]:
            if job == "a":
                raise error
            return super().leased(job, chunks)

    for name in ("a", "b"):
        paper_job(2, name=name)
    failing = Failing(client)
    reconciler = Reconciler(jobs, failing)
    for _ in range(2):
        reconciler.tick()
        a_moment_later(client)
    assert failing.sent == [("b", 0), ("b", 1)] * 2
    assert [record.fields["job"] for record in caplog.records] == ["a"], "it rests"


def test_a_redis_that_is_away_in_the_middle_of_a_tick_is_told(jobs, client, paper_job) -> None:
    class Away(Recorder):
        def leased(self, job: str, chunks: Sequence[int]) -> set[int]:
            raise redis.ConnectionError

    paper_job(2)
    with pytest.raises(redis.ConnectionError):
        Reconciler(jobs, Away(client)).tick()


def next_retry(client: redis.Redis) -> None:
    """The time has come when a job with setbacks may be tried again."""
    client.delete("hangtag:trial:job")
    a_moment_later(client)


def test_a_job_with_setbacks_is_tried_one_chunk_at_a_time(reconciler, state, client, sent, paper_job) -> None:
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
    assert reconciler.supply("job") == 5  # whoever asks for one job ends its setbacks
    assert state.failures("job") == 0


def test_a_job_with_setbacks_whose_chunks_still_wait_gets_no_trial(
    publishing: Reconciler, state: RedisState, client: redis.Redis, paper_job
) -> None:
    paper_job(3, name="job")
    state.send(QUEUES[Priority.NORMAL], job_call("job", 0))
    state.report_trouble("job", "shop-7", "no folder")
    publishing.tick()
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
    next_retry(client)
    reconciler.tick()
    assert sent.finishes == ["job", "job"]
