"""Several questions a photo on the queue: killed workers, S3, a nightly job. Labels equal each model's own run."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.catalogue import open_catalogue
from models.classifier import load
from models.storage.object_storage import ObjectStorage
from models.storage.storage import FolderStorage, Storage
from tests.until import until
from worker.job.job import open_job, question_storage
from worker.job.parts import RESULT_SCHEMA, Status
from worker.job.receipt import QuestionsReceipt, job_receipt
from worker.request import JobOptions
from worker.results.finish import RESULT_FILE, finish_job

from .cluster import Cluster
from .jobs import Row, assert_same, label_here, photo_names, relabelled
from .s3_server import S3Server

Truth = Mapping[str, Mapping[str, Row]]


@pytest.fixture
def models(bundle: Path, other_model: Path) -> dict[str, Path]:
    """Two models that never agree, so that a label belongs to one question only."""
    return {"category": bundle, "colour": other_model}


@pytest.fixture
def truths(truth: dict[str, Row], other_model: Path, other_labels: dict[str, str]) -> Truth:
    reference = load(other_model).reference
    others = {name: relabelled(row, other_labels, reference) for name, row in truth.items()}
    return {"category": truth, "colour": others}


def answers(rows: list[Row], question: str) -> list[Row]:
    return [{column: row[f"{question}_{column}"] for column in RESULT_SCHEMA.names} for row in rows]


def result(storage: Storage) -> list[Row]:
    rows: list[Row] = pq.read_table(storage.source(RESULT_FILE)).to_pylist()
    return rows


def given(models: Mapping[str, Path]) -> list[str]:
    return [word for name, model in models.items() for word in ("--model", f"{name}={model}")]


def test_a_killed_workers_chunks_are_answered_whole_by_another(
    cluster: Cluster, catalogue: Path, models: dict[str, Path], truths: Truth
) -> None:
    names = photo_names(catalogue, 512)
    workers = [cluster.worker(slots=1), cluster.worker(slots=1)]
    with workers[0].stopped(), workers[1].stopped():
        job = cluster.submit(names, models, root=catalogue)
    held = job.freeze_one()
    next(worker for worker in workers if held.pid in worker.pids()).kill_all()
    receipt = job.wait_for_all_answers()
    assert isinstance(receipt, QuestionsReceipt)
    assert receipt.work.deaths == 1
    assert sorted(job.parts()) == [f"{chunk:06d}.r0.arrow" for chunk in range(job.chunks)]
    assert [row["image"] for row in job.rows()] == names
    for question, truth in truths.items():
        assert_same(answers(job.rows(), question), [truth[name] for name in names])


def finished(storage: ObjectStorage) -> tuple[QuestionsReceipt, list[Row]]:
    job = open_job(storage)
    assert job
    receipt = until(lambda: job_receipt(job), f"{storage.place} is finished", 60.0)
    assert isinstance(receipt, QuestionsReceipt)
    return receipt, result(storage)


def test_a_job_in_s3_takes_over_what_other_questions_know(
    cluster: Cluster, s3: S3Server, bucket: str, catalogue: Path, models: dict[str, Path], truths: Truth
) -> None:
    jobs, names = f"s3://{bucket}/jobs", photo_names(catalogue, 24)
    for name in names:
        s3.put(f"/{bucket}/photos/{name}", (catalogue / name).read_bytes())
    source = cluster.folder / "list.txt"
    source.write_text("".join(f"{name}\n" for name in [*names, "late.png"]))
    cluster.worker(slots=1, jobs=jobs)

    def label(name: str, models: Mapping[str, Path], *options: str) -> tuple[QuestionsReceipt, list[Row]]:
        where = ("--jobs", jobs, "--image-root", f"s3://{bucket}/photos", "--job", name)
        cluster.must("submit", source, *given(models), *where, *options)
        return finished(ObjectStorage(f"{jobs}/{name}"))

    spring, rows = label("spring", models)
    assert spring.photos.downloaded == len(names)
    for question, truth in truths.items():
        assert_same(answers(rows[:-1], question), [truth[name] for name in names])
        assert rows[-1][f"{question}_error"] == "missing"
    s3.put(f"/{bucket}/photos/late.png", (catalogue / names[0]).read_bytes())
    hues = {"hue": models["colour"], "category": models["category"]}
    autumn, after = label("autumn", hues, "--previous", "spring")
    readable = spring.rows - spring.by_status[Status.FAILED]
    assert autumn.photos.unchanged == readable, "their hosts say so, and both questions know them"
    for question, before in {"hue": "colour", "category": "category"}.items():
        assert answers(after[:-1], question) == answers(rows[:-1], before)
        assert_same(answers(after[-1:], question), [truths[before][names[0]]])


def votes(storage: Storage) -> pa.Table:
    return pq.read_table(storage.source("by_group.parquet"))


def test_the_next_nights_job_asks_several_questions_with_votes_of_each(
    cluster: Cluster, tmp_path: Path, catalogue: Path, bundle: Path, sure_bundle: Path
) -> None:
    """Each product has three photos; the second night renames the questions."""
    source, names = tmp_path / "nightly.csv", photo_names(catalogue, 60)
    cluster.worker(slots=1)

    def submit(job: str, rows: int, models: Mapping[str, Path], *more: object) -> QuestionsReceipt:
        lines = (f"{name},SKU-{number // 3}\n" for number, name in enumerate(names[:rows]))
        source.write_text("".join(["image,sku\n", *lines]))
        options = ("--image-root", catalogue, "--group-column", "sku", "--job", job, *more)
        cluster.must("submit", source, *given(models), *options)
        receipt = cluster.job(job).wait_for_all_answers(60.0)
        assert isinstance(receipt, QuestionsReceipt)
        return receipt

    assert submit("monday", 57, {"category": bundle, "colour": sure_bundle}).photos.decoded == 57
    receipt = submit("tuesday", 60, {"material": bundle, "hue": sure_bundle}, "--previous", "monday")
    assert (receipt.photos.carried, receipt.photos.decoded) == (57, 3)
    job = cluster.job("tuesday").job
    rows = result(job.storage)
    for question, model in {"material": bundle, "hue": sure_bundle}.items():
        alone = FolderStorage(cluster.folder / question)
        own = JobOptions(group_column="sku", prefix=f"{question}_")
        groups = finish_job(label_here(alone, open_catalogue(source, image_root=catalogue), model, own)).groups
        assert_same(answers(rows, question), answers(result(alone), question))
        assert votes(question_storage(job.storage, question)).equals(votes(alone))
        assert receipt.questions[question].groups == groups
