"""With a real Redis and a real model."""

import logging
import resource
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import redis

from models.errors import JobError
from models.process import Owner
from models.storage.storage import FolderStorage
from tests.photo_jobs import verified_pin
from tests.row_results import read_part_file
from worker.job.job import CANCELLED, Job, ModelPin
from worker.job.jobs import BundleStore, Jobs
from worker.job.parts import part_key
from worker.job.receipt import REVIEW_FILE, finished_receipt
from worker.labelling.chunk import MAX_STRIKES
from worker.labelling.labeller import Labeller
from worker.queue.app import HangtagCelery
from worker.queue.control import resume
from worker.queue.metrics import CHUNKS, IMAGES
from worker.queue.reconciler import Reconciler
from worker.queue.redis_state import FINISH, RedisState
from worker.queue.runner import MOST_MERGES, JobResources, LoadedModels, Runner
from worker.request import JobOptions
from worker.results.finish import RESULT_FILE, finishing
from worker.results.progress import JobState, ProgressReader

from .recorder import NewJob, waiting


def parts(job: Job) -> list[str]:
    return sorted(job.storage.names("parts"))


def of_chunks(outcome: str) -> float:
    return CHUNKS.labels(outcome)._value.get()


def test_a_task_labels_further_chunks_and_with_the_last_one_queues_the_merging(
    runner: Runner, client: redis.Redis, new_job: NewJob
) -> None:
    job = new_job(600)
    runner.label_chunk("job", 2)
    assert waiting(client) == [FINISH]
    assert client.keys("hangtag:*") == [f"hangtag:sent:job:{FINISH}"]
    assert parts(job) == ["000000.r0.arrow", "000001.r0.arrow", "000002.r0.arrow"]
    rows = read_part_file(job.storage, part_key(0)).to_pylist()
    assert len(rows) == 256
    assert {row["status"] for row in rows} <= {"labeled", "review"}


def test_the_chunks_of_a_failed_task_are_tried_alone(
    runner: Runner, client: redis.Redis, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job(600)
    begin, begun = Labeller.begin, list[int]()

    def begin_one(labeller: Labeller, number: int) -> None:
        begun.append(number)
        if len(begun) > 1:
            raise ValueError(number)
        begin(labeller, number)

    with monkeypatch.context() as patched:
        patched.setattr(Labeller, "begin", begin_one)
        runner.label_chunk("job", 2)
    assert len(begun) == 2
    alone = {int(key.rpartition(":")[2]) for key in client.keys("hangtag:alone:*")}
    assert alone == set(begun)
    RedisState(client).reset_backoff("job")
    (other,) = {0, 1, 2} - alone
    runner.label_chunk("job", other)
    assert parts(job) == [f"{other:06d}.r0.arrow"]


def test_without_further_chunks_the_last_task_queues_the_merging(
    runner: Runner, app: HangtagCelery, client: redis.Redis, new_job: NewJob
) -> None:
    app.busy.stop()
    job = new_job(600)
    for chunk in (2, 0):
        runner.label_chunk("job", chunk)
        assert client.keys("hangtag:*") == waiting(client) == []
    assert parts(job) == ["000000.r0.arrow", "000002.r0.arrow"]
    runner.label_chunk("job", 1)
    assert waiting(client) == [FINISH]


def test_a_machine_whose_golden_samples_disagree_says_so_and_leaves_the_job_to_others(
    runner: Runner,
    app: HangtagCelery,
    pauses: list[float],
    new_job: NewJob,
    int8_bundle: Path,
    state: RedisState,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = new_job(model=int8_bundle)
    with monkeypatch.context() as here:
        here.setattr("models.golden._agrees", lambda *_: False)
        runner.label_chunk("job", 0)
    assert parts(job) == []
    (trouble,) = state.trouble("job").values()
    assert "model.int8.onnx (int8)" in trouble
    assert "--variant float32" in trouble
    other = Runner(app, finishing, pauses.append)
    other.label_chunk("job", 0)
    assert parts(job) == ["000000.r0.arrow"]
    other.resources.close()


def test_a_chunk_that_came_twice_is_done_and_counted_once_and_ends_the_setbacks(
    runner: Runner, state: RedisState, new_job: NewJob, photos: Path
) -> None:
    (photos / "7.png").unlink()
    job = new_job(16)
    state.report_trouble("job", "shop-7", "no folder")
    missing, done = IMAGES.labels("failed", "missing")._value.get(), of_chunks("done")
    runner.label_chunk("job", 0)
    assert state.failures("job") == 0
    before = job.storage.entries("parts")
    for photo in photos.iterdir():  # which a second labelling would miss
        photo.unlink()
    (photos / "another.txt").touch()
    runner.label_chunk("job", 0)
    assert job.storage.entries("parts") == before
    assert not list((job.storage.scratch / "in_progress").iterdir())
    assert IMAGES.labels("failed", "missing")._value.get() - missing == 2
    assert of_chunks("done") - done == 1


def test_what_another_process_works_on_is_left_to_it(
    runner: Runner, state: RedisState, new_job: NewJob, living_process: Owner
) -> None:
    job = new_job()
    state.take_lease("job", 0, living_process)
    runner.label_chunk("job", 0)
    assert parts(job) == []
    assert state.leased("job", [0]) == {0}
    runner._redis.end_lease("job", 0, living_process)
    runner.label_chunk("job", 0)
    state.take_lease("job", FINISH, living_process)
    runner.finish_job("job")
    assert finished_receipt(job) is None
    assert (state.leased("job", [FINISH]), state.trouble("job")) == ({FINISH}, {})


def test_of_a_cancelled_job_nothing_is_done(
    runner: Runner, state: RedisState, new_job: NewJob, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hangtag")
    job, before = new_job(), of_chunks("given_up")
    job.storage.commit(CANCELLED, b"")
    runner.label_chunk("job", 0)
    assert parts(job) == []
    assert of_chunks("given_up") - before == 1
    assert "chunk_given_up" in [record.event for record in caplog.records]
    assert state.trouble("job") == {}


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def refuse_another_version(job: Job) -> None:
    other = job.spec.model_copy(update={"preprocess_version": "another"})
    job.storage.replace("job.json", other.model_dump_json().encode())


TROUBLE = {
    "another version": (refuse_another_version, "another"),
    "no photos": (lambda job: shutil.rmtree(job.spec.image_root), "photos"),
    "an empty mount point": (lambda job: empty(Path(job.spec.image_root)), "photos"),
    "no model": (lambda job: shutil.rmtree(job.storage.root.parent / "_bundles"), "_bundles"),
    "no rows": (lambda job: shutil.rmtree(job.storage.root / "rows"), "rows/00000.parquet"),
    "damaged rows": (lambda job: job.storage.replace("rows/00000.parquet", b"no rows"), "Parquet"),
    "no job": (lambda job: job.storage.delete("job.json"), "job.json"),
}


@pytest.mark.parametrize(("harm", "named"), TROUBLE.values(), ids=TROUBLE)
def test_what_keeps_a_chunk_from_being_done_is_told_and_the_chunk_held_back(
    runner: Runner,
    pauses: list[float],
    client: redis.Redis,
    state: RedisState,
    new_job: NewJob,
    harm: Callable[[Job], None],
    named: str,
) -> None:
    job, before = new_job(), of_chunks("failed")
    harm(job)
    runner.label_chunk("job", 0)
    assert parts(job) == []
    assert named in "".join(state.trouble("job").values())
    assert of_chunks("failed") - before == 1
    assert client.exists("hangtag:sent:job:0")
    assert not client.exists("hangtag:lease:job:0")
    assert (pauses, state.failures("job")) == ([1.0], 1)


def test_a_job_is_merged_once(runner: Runner, client: redis.Redis, new_job: NewJob) -> None:
    job = new_job()
    runner.label_chunk("job", 0)
    job.storage.commit(CANCELLED, b"")
    runner.finish_job("job")
    assert finished_receipt(job) is None, "it is cancelled"
    job.storage.delete(CANCELLED)
    runner.finish_job("job")
    receipt = finished_receipt(job)
    assert receipt
    assert pq.read_metadata(job.storage.source(RESULT_FILE)).num_rows == 8
    (job.storage.root / RESULT_FILE).unlink()
    runner.finish_job("job")
    assert finished_receipt(job) == receipt
    assert not job.storage.exists(RESULT_FILE)
    assert not client.keys("hangtag:*")


def test_a_job_that_cannot_be_merged_is_told(
    runner: Runner, client: redis.Redis, state: RedisState, new_job: NewJob
) -> None:
    job = new_job()
    job.storage.commit(part_key(0), b"no part")
    runner.finish_job("job")
    assert finished_receipt(job) is None
    assert "parts/000000.r0.arrow" in "".join(state.trouble("job").values())
    assert client.exists(f"hangtag:sent:job:{FINISH}")


def test_a_job_that_cannot_be_merged_has_failed_after_some_tries_until_a_person_resumes_it(
    runner: Runner, client: redis.Redis, state: RedisState, reconciler: Reconciler, jobs: Jobs, new_job: NewJob
) -> None:
    job = new_job()
    job.storage.commit(part_key(0), b"no part")
    runner.finish_job("job")
    for _ in range(MOST_MERGES - 2):
        state.count_failed_merge("job")
    assert jobs.unfinished("job") == job
    runner.finish_job("job")
    assert jobs.unfinished("job") is None, "workers leave it alone"
    progress = ProgressReader(job).read()
    assert (progress.state, progress.is_over, progress.done) == (JobState.FAILED, True, 8)
    assert "parts/000000.r0.arrow" in progress.reason
    assert resume(job) == 0
    reconciler.supply("job")  # as hangtag jobs resume does
    assert (jobs.unfinished("job"), client.exists("hangtag:unmerged:job")) == (job, 0)
    job.storage.delete(part_key(0))
    runner.label_chunk("job", 0)
    runner.finish_job("job")
    assert finished_receipt(job)


def test_a_job_waits_for_a_disk_however_often_its_merging_fails(
    runner: Runner, state: RedisState, jobs: Jobs, new_job: NewJob
) -> None:
    job = new_job()
    runner.label_chunk("job", 0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # a result is larger
    try:
        for _ in range(MOST_MERGES - 1):
            state.count_failed_merge("job")
        runner.finish_job("job")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "is full (File too large)" in "".join(state.trouble("job").values())
    assert jobs.unfinished("job") == job


def test_a_refusal_of_the_system_that_no_wait_ends_counts_as_a_failed_merge(
    runner: Runner, state: RedisState, new_job: NewJob
) -> None:
    job = new_job()
    runner.label_chunk("job", 0)
    (job.storage.root / REVIEW_FILE).mkdir()
    runner.finish_job("job")
    assert "The system refused" in "".join(state.trouble("job").values())
    assert state.count_failed_merge("job") == 2


def test_a_chunk_that_keeps_dying_without_a_photo_to_blame_is_told(
    runner: Runner, state: RedisState, new_job: NewJob
) -> None:
    job = new_job()
    folder = job.storage.scratch / "in_progress"
    folder.mkdir()
    for number in range(MAX_STRIKES):
        (folder / f"000000.{number:012d}").write_text("")
    runner.label_chunk("job", 0)
    assert parts(job) == []
    assert f"{MAX_STRIKES} times" in "".join(state.trouble("job").values())
    runner.label_chunk("job", 0)
    assert parts(job) == ["000000.r0.arrow"]


def test_a_photo_at_which_something_unforeseen_happens_fails_alone(
    runner: Runner, state: RedisState, new_job: NewJob, photos: Path, panicking_photo: bytes
) -> None:
    (photos / "3.png").write_bytes(panicking_photo)
    job = new_job()
    runner.label_chunk("job", 0)
    rows = read_part_file(job.storage, part_key(0)).to_pylist()
    assert [row["error"] for row in rows] == [None] * 3 + ["unreadable"] + [None] * 4
    assert state.trouble("job") == {}


def test_a_merging_that_keeps_ending_its_process_is_told_and_counts_as_failed(
    runner: Runner, state: RedisState, new_job: NewJob
) -> None:
    job = new_job()
    runner.label_chunk("job", 0)
    for number in range(MAX_STRIKES):
        (job.storage.scratch / "in_progress" / f"{FINISH:06d}.{number:012d}").write_text("")
    runner.finish_job("job")
    assert finished_receipt(job) is None
    assert f"Merging killed its process {MAX_STRIKES} times" in "".join(state.trouble("job").values())
    assert state.count_failed_merge("job") == 2
    runner.finish_job("job")
    assert finished_receipt(job)
    assert not list((job.storage.scratch / "in_progress").iterdir())


def test_a_chunk_that_the_job_does_not_have_is_dropped(runner: Runner, state: RedisState, new_job: NewJob) -> None:
    """Its message is of an earlier job of that name; the job has no setback by it."""
    job = new_job()
    runner.label_chunk("job", 99)
    assert (parts(job), state.trouble("job"), state.failures("job")) == ([], {}, 0)


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(FolderStorage(tmp_path / "_bundles"))


@pytest.fixture
def pins(store: BundleStore, tmp_path: Path, bundle: Path) -> list[ModelPin]:
    """Three models that differ in nothing but their digests; all are kept."""
    shutil.copytree(bundle, tmp_path / "copy")
    manifest = tmp_path / "copy" / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    models = [bundle, bundle / "model.onnx", tmp_path / "copy"]
    pins = [verified_pin(model) for model in models]
    for model, pin in zip(models, pins, strict=True):
        store.put(model, pin.digest)
    assert len({pin.digest for pin in pins}) == 3
    return pins


def test_each_precision_and_each_threshold_has_a_model_of_its_own(store: BundleStore, sure_bundle: Path) -> None:
    options = [JobOptions(precision=0.98), JobOptions(), JobOptions(threshold=0.5), JobOptions(threshold=0.6)]
    pins = [verified_pin(sure_bundle, one) for one in options]
    store.put(sure_bundle, pins[0].digest)
    models = LoadedModels(store, kept=4)
    loaded = list(map(models.get, pins))
    assert [model.precision for model in loaded] == [0.98, 0.90, None, None]
    assert [model.threshold for model in loaded] == [None, None, 0.5, 0.6]
    assert all(models.get(pin) is model for pin, model in zip(pins, loaded, strict=True))


def test_a_model_is_loaded_once_and_the_least_recently_used_goes_first(store: BundleStore, pins) -> None:
    models = LoadedModels(store, kept=2)
    a, b = models.get(pins[0]), models.get(pins[1])
    assert models.get(pins[0]) is a
    c = models.get(pins[2])
    assert [model.digest for model in (a, b, c)] == [pin.digest for pin in pins]
    assert models.get(pins[0]) is a
    assert models.get(pins[2]) is c
    assert models.get(pins[1]) is not b


def test_a_model_that_is_not_the_pinned_one_is_refused(store: BundleStore, tmp_path: Path, pins) -> None:
    root = tmp_path / "_bundles"
    shutil.rmtree(root / pins[0].digest)
    (root / pins[2].digest).rename(root / pins[0].digest)
    with pytest.raises(JobError, match=pins[0].digest[:12]):
        LoadedModels(store, kept=1).get(pins[0])


def test_what_a_task_of_a_job_opened_is_there_for_the_next_one_unless_it_failed(paper_job) -> None:
    resources, job = JobResources(), paper_job(2)
    with resources.of(job) as first:
        pass
    with resources.of(job) as second:
        assert second is first
    with suppress(JobError), resources.of(job):
        raise JobError("no credentials")  # noqa: EM101
    with resources.of(job) as third:
        assert third is not first
    resources.close()
