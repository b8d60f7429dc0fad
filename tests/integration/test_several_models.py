"""Several questions a photo on the queue: killed workers, S3, a nightly job. Labels equal each model's own run."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.catalogue import open_catalogue
from models.classifier import load
from models.storage.storage import FolderStorage, Storage
from worker.job.job import question_storage
from worker.job.parts import RESULT_SCHEMA
from worker.job.receipt import GROUPS_FILE, QuestionsReceipt
from worker.request import JobOptions
from worker.results.finish import RESULT_FILE, finish_job

from .cluster import Cluster
from .jobs import Row, assert_same, label_here, photo_names, relabelled

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


def votes(storage: Storage) -> pa.Table:
    return pq.read_table(storage.source(GROUPS_FILE))


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
