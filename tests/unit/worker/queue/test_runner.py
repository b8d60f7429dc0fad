"""With a real Redis and a real model."""

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import redis

from models.classifier import Classifier, load
from models.errors import DisagreementError
from models.process_identity import Owner
from worker.job.job import CANCELLED, Job
from worker.job.jobs import Jobs
from worker.job.parts import part_key
from worker.job.receipt import QuestionsReceipt, finished_receipt, job_receipt
from worker.job.spec import ModelPin
from worker.labelling.chunk import MAX_STRIKES
from worker.queue.messages import FINISH
from worker.queue.metrics import CHUNKS, IMAGES, Metrics
from worker.queue.redis_state import RedisState
from worker.queue.runner import LoadedModels, Runner
from worker.queue.settings import QueueSettings
from worker.queue.worker_state import BusyProcesses
from worker.request import USUAL_OPTIONS, JobOptions
from worker.results.finish import RESULT_FILE

from .recorder import NewJob


class DisagreesOnInt8(LoadedModels):
    """The models of a machine that does not repeat int8's golden samples."""

    def get(self, pin: ModelPin, options: JobOptions = USUAL_OPTIONS) -> Classifier:
        if pin.variant == "int8":
            raise DisagreementError("this machine's probabilities differ")  # noqa: EM101
        return super().get(pin, options)


def variants_of(job: Job, chunk: int) -> set[str]:
    """The variants that a chunk's rows say they are of."""
    rows = pq.read_table(job.storage.source(part_key(chunk))).to_pylist()
    return {row["model"].rpartition("/")[2].partition("@")[0] for row in rows}


def parts(job: Job) -> list[str]:
    return sorted(job.storage.names("parts"))


def test_a_chunk_is_labelled_and_its_lease_given_back(runner: Runner, client: redis.Redis, new_job: NewJob) -> None:
    job = new_job(300)
    for chunk in range(job.spec.chunks):
        runner.label_chunk("job", chunk)
    assert parts(job) == ["000000.r0.parquet", "000001.r0.parquet"]
    rows = pq.read_table(job.storage.source(part_key(0))).to_pylist()
    assert len(rows) == 256
    assert {row["status"] for row in rows} <= {"labeled", "review"}
    assert client.keys("hangtag:*") == [f"hangtag:sent:job:{FINISH}"]


@pytest.fixture
def disagreeing(settings: QueueSettings, metrics: Metrics, jobs: Jobs, pauses: list[float]) -> Iterator[Runner]:
    """Another worker, whose machine is wrong about int8."""
    runner = Runner(settings, BusyProcesses(), metrics, pauses.append)
    vars(runner)["_models"] = DisagreesOnInt8(jobs.bundles, 3)
    yield runner
    runner.tools.close()


def test_where_the_first_worker_disagrees_with_int8_all_rows_of_the_job_are_float32s(
    runner: Runner, disagreeing: Runner, new_job: NewJob, int8_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = new_job(300, model=int8_bundle)
    with caplog.at_level(logging.WARNING):
        disagreeing.label_chunk("job", 0)
        runner.label_chunk("job", 1)
    assert [variants_of(job, chunk) for chunk in (0, 1)] == [{"float32"}] * 2
    (said,) = [record for record in caplog.records if getattr(record, "event", "") == "fallback_chosen"]
    runner.run_finish_process("job")
    receipt = finished_receipt(job)
    assert receipt
    assert (receipt.model, receipt.drift is None) == (job.spec.fallback, False)
    assert "probabilities differ" in said.getMessage()


def test_where_the_first_worker_agrees_one_that_disagrees_leaves_the_job_to_it(
    runner: Runner, disagreeing: Runner, new_job: NewJob, int8_bundle: Path, state: RedisState
) -> None:
    job = new_job(300, model=int8_bundle)
    runner.label_chunk("job", 0)
    disagreeing.label_chunk("job", 1)
    assert parts(job) == ["000000.r0.parquet"]
    assert "this machine's probabilities differ" in next(iter(state.trouble("job").values()))
    runner.label_chunk("job", 1)
    assert [variants_of(job, chunk) for chunk in (0, 1)] == [{"int8"}] * 2


def test_a_variant_that_was_named_at_submission_is_never_another(
    disagreeing: Runner, new_job: NewJob, int8_bundle: Path, state: RedisState
) -> None:
    job = new_job(model=int8_bundle, variant="int8")
    disagreeing.label_chunk("job", 0)
    assert (parts(job), len(state.trouble("job"))) == ([], 1)


def test_what_was_committed_is_counted_once(runner: Runner, metrics: Metrics, new_job: NewJob, photos: Path) -> None:
    (photos / "7.png").unlink()
    new_job(16)
    runner.label_chunk("job", 0)
    runner.label_chunk("job", 0)
    totals = metrics.totals()
    images = {labels: value for (family, labels), value in totals.items() if family == IMAGES and value}
    assert images.pop(("failed", "missing")) == 2
    assert sum(images.values()) == 14
    assert totals[CHUNKS, ("done",)] == 1


def test_a_chunk_that_is_done_ends_the_setbacks(runner: Runner, state: RedisState, new_job: NewJob) -> None:
    new_job()
    state.report_trouble("job", "shop-7", "no folder")
    runner.label_chunk("job", 0)
    assert state.failures("job") == 0


def test_a_chunk_that_came_twice_is_done_once(runner: Runner, state: RedisState, new_job: NewJob, photos: Path) -> None:
    job = new_job()
    runner.label_chunk("job", 0)
    before = job.storage.entries("parts")
    for photo in photos.iterdir():  # which a second labelling would miss
        photo.unlink()
    (photos / "another.txt").touch()
    runner.label_chunk("job", 0)
    assert job.storage.entries("parts") == before
    assert state.trouble("job") == {}
    assert not list((job.storage.scratch / "inhand").iterdir())


def test_what_another_process_works_on_is_left_to_it(
    runner: Runner, state: RedisState, new_job: NewJob, living_process: Owner
) -> None:
    job = new_job()
    state.take_lease("job", 0, living_process)
    runner.label_chunk("job", 0)
    assert parts(job) == []
    assert state.leased("job", [0]) == {0}
    assert state.trouble("job") == {}


def test_without_redis_the_work_is_done(away: QueueSettings, new_job: NewJob) -> None:
    job = new_job()
    runner = Runner(away, BusyProcesses(), Metrics())
    runner.label_chunk("job", 0)
    runner.tools.close()
    runner.run_finish_process("job")
    assert finished_receipt(job)


def test_of_a_cancelled_job_nothing_is_done(
    runner: Runner, metrics: Metrics, state: RedisState, new_job: NewJob, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hangtag")
    job = new_job()
    job.storage.commit(CANCELLED, b"")
    runner.label_chunk("job", 0)
    assert parts(job) == []
    assert metrics.totals()[CHUNKS, ("given_up",)] == 1
    assert "chunk_given_up" in [record.event for record in caplog.records]
    assert state.trouble("job") == {}


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def refuse_another_version(job: Job) -> None:
    older = job.spec.model_copy(update={"preprocess_version": "another"})
    job.storage.replace("job.json", older.model_dump_json().encode())


TROUBLE = {
    "another version": (refuse_another_version, "install the same Hangtag on both"),
    "no photos": (lambda job: shutil.rmtree(job.spec.image_root), "has nothing there; mount it"),
    "an empty mount point": (lambda job: empty(Path(job.spec.image_root)), "has nothing there; mount it"),
    "no model": (lambda job: shutil.rmtree(job.storage.root.parent / "_bundles"), "it is gone; submit the job again"),
    "no rows": (lambda job: shutil.rmtree(job.storage.root / "rows"), "they are gone; start it again"),
    "damaged rows": (lambda job: job.storage.replace("rows/00000.parquet", b"no rows"), "Parquet"),
    "no job": (lambda job: job.storage.delete("job.json"), "jobs there: job"),
}


@pytest.mark.parametrize(("harm", "message"), TROUBLE.values(), ids=TROUBLE)
def test_what_keeps_a_chunk_from_being_done_is_told_and_the_chunk_held_back(
    runner: Runner,
    metrics: Metrics,
    client: redis.Redis,
    state: RedisState,
    new_job: NewJob,
    harm: Callable[[Job], None],
    message: str,
) -> None:
    job = new_job()
    harm(job)
    runner.label_chunk("job", 0)
    assert parts(job) == []
    assert message in "".join(state.trouble("job").values())
    assert metrics.totals()[CHUNKS, ("failed",)] == 1
    assert client.exists("hangtag:sent:job:0")
    assert not client.exists("hangtag:lease:job:0")


def test_a_machine_pauses_for_the_others_until_none_seems_able(
    runner: Runner, pauses: list[float], state: RedisState, new_job: NewJob
) -> None:
    shutil.rmtree(new_job().storage.root.parent / "_bundles")
    for _ in range(10):
        runner.label_chunk("job", 0)
    assert state.failures("job") == 10
    assert pauses == [1.0] * 7


def test_a_job_is_merged_once(runner: Runner, client: redis.Redis, new_job: NewJob) -> None:
    job = new_job()
    runner.label_chunk("job", 0)
    runner.run_finish_process("job")
    receipt = finished_receipt(job)
    assert receipt
    assert pq.read_metadata(job.storage.source(RESULT_FILE)).num_rows == 8
    (job.storage.root / RESULT_FILE).unlink()
    runner.run_finish_process("job")
    assert finished_receipt(job) == receipt
    assert not job.storage.exists(RESULT_FILE)
    assert not client.keys("hangtag:*")


def test_a_job_that_another_process_merges_is_left_to_it(
    runner: Runner, state: RedisState, new_job: NewJob, living_process: Owner
) -> None:
    job = new_job()
    runner.label_chunk("job", 0)
    state.take_lease("job", FINISH, living_process)
    runner.run_finish_process("job")
    assert finished_receipt(job) is None
    assert state.leased("job", [FINISH]) == {FINISH}
    assert state.trouble("job") == {}


def test_a_job_that_cannot_be_merged_is_told(
    runner: Runner, client: redis.Redis, state: RedisState, new_job: NewJob
) -> None:
    job = new_job()
    job.storage.commit(part_key(0), b"no part")
    runner.run_finish_process("job")
    assert finished_receipt(job) is None
    assert "parts/000000.r0.parquet" in "".join(state.trouble("job").values())
    assert client.exists(f"hangtag:sent:job:{FINISH}")


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_job_that_is_not_to_be_merged_yet_is_left_alone(
    runner: Runner, client: redis.Redis, new_job: NewJob, cancelled: bool
) -> None:
    job = new_job()
    if cancelled:
        runner.label_chunk("job", 0)
        job.storage.commit(CANCELLED, b"")
    runner.run_finish_process("job")
    assert finished_receipt(job) is None
    assert not client.keys("hangtag:*")


def test_a_chunk_that_keeps_dying_without_a_photo_to_blame_is_told(
    runner: Runner, state: RedisState, new_job: NewJob
) -> None:
    job = new_job()
    folder = job.storage.scratch / "inhand"
    folder.mkdir()
    for number in range(MAX_STRIKES):
        (folder / f"000000.{number:012d}").write_text("")
    runner.label_chunk("job", 0)
    assert parts(job) == []
    assert "no photo in it is to blame" in "".join(state.trouble("job").values())
    runner.label_chunk("job", 0)
    assert parts(job) == ["000000.r0.parquet"]


def test_a_photo_at_which_something_unforeseen_happens_fails_alone(
    runner: Runner, state: RedisState, new_job: NewJob, photos: Path, panicking_photo: bytes
) -> None:
    (photos / "3.png").write_bytes(panicking_photo)
    job = new_job()
    runner.label_chunk("job", 0)
    rows = pq.read_table(job.storage.source(part_key(0))).to_pylist()
    assert [row["error"] for row in rows] == [None] * 3 + ["unreadable"] + [None] * 4
    assert state.trouble("job") == {}


def test_a_chunk_that_the_job_does_not_have_is_dropped(runner: Runner, state: RedisState, new_job: NewJob) -> None:
    """Its message is of another job of that name, or of nobody; the job has no setback by it."""
    job = new_job()
    runner.label_chunk("job", 99)
    assert parts(job) == []
    assert state.trouble("job") == {}
    assert state.failures("job") == 0


def test_each_question_of_a_job_has_its_own_model_on_all_workers(
    runner: Runner, disagreeing: Runner, client: redis.Redis, new_job: NewJob, sure_bundle: Path, int8_bundle: Path
) -> None:
    models = {"category": sure_bundle, "colour": int8_bundle}
    job = new_job(300, model=models)
    disagreeing.label_chunk("job", 0)
    runner.label_chunk("job", 1)
    assert parts(job) == ["000000.r0.parquet", "000001.r0.parquet"]
    runner.run_finish_process("job")
    receipt = job_receipt(job)
    assert isinstance(receipt, QuestionsReceipt)
    assert [own.model.variant for own in receipt.questions.values()] == ["float32"] * 2
    assert (receipt.rows, sum(receipt.by_status.values())) == (300, 300)
    rows = pq.read_table(job.storage.source(RESULT_FILE)).to_pylist()
    for name, model in models.items():
        classifier = load(model)
        expected = [classifier.classify(Path(job.spec.image_root) / f"{row}.png").label for row in range(8)]
        assert [row[f"{name}_label"] for row in rows] == [expected[row % 8] for row in range(300)]
    assert {row["colour_model"] for row in rows} == {receipt.questions["colour"].model.reference}
    assert not client.keys("hangtag:*")


def test_all_models_of_a_job_stay_loaded(jobs: Jobs, new_job: NewJob, sure_bundle: Path, int8_bundle: Path) -> None:
    job = new_job(model={"category": sure_bundle, "colour": int8_bundle})
    models = LoadedModels(jobs.bundles, kept=1)
    first = models.of(job, lambda *_: None)
    assert [model.digest for model in first] == [question.spec.model.digest for question in job.questions]
    assert all(one is other for one, other in zip(first, models.of(job, lambda *_: None), strict=True))
