"""A job's folder: its record, retries, parts."""

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalogue.catalogue import open_catalogue
from models.errors import JobError
from models.storage.storage import FolderStorage
from tests.photo_jobs import PAPER_PIN, only_question
from worker.job.job import (
    Job,
    JobSpec,
    Question,
    Retry,
    commit_retry,
    open_job,
    scratch_folder,
)
from worker.job.writer import create_job
from worker.request import JobOptions, Priority

SPEC = JobSpec(
    id="0123456789ab", created_at="2026-11-21T05:00:00.000+00:00", source="/srv/products.csv", image_column="image",
    image_root="/srv", rows=300, chunk_rows=256, chunks=2, rows_digest="b" * 64, left_out={".heic": 2},
    priority=Priority.HIGH, preprocess_version="1",
    questions=only_question(PAPER_PIN),
    options=JobOptions(prefix="ht_", top_k=5, timeout_s=2.5, allow_hosts=["a:1"]),
    confined=True, needs_root=True,
)  # fmt: skip
MODEL = {
    "path": "/models/shop", "reference": "shop/1/float32@aaaaaaaaaaaa", "variant": "float32", "digest": "a" * 64,
    "precision": 0.95, "all_to_review": False, "threshold": None, "taxonomy": None,
}  # fmt: skip
JOB = {
    "schema_version": 1, "id": "0123456789ab", "created_at": "2026-11-21T05:00:00.000+00:00",
    "source": "/srv/products.csv", "image_column": "image", "image_root": "/srv", "rows": 300,
    "chunk_rows": 256, "chunks": 2, "rows_digest": "b" * 64, "left_out": {".heic": 2},
    "priority": "high", "preprocess_version": "1",
    "questions": [
        {"name": "", "model": MODEL},
    ],
    "options": {
        "image_column": None, "image_root": None,
        "image_suffix": None, "encoding": None, "group_column": None, "variant": "auto",
        "precision": None, "threshold": None, "fixed_thresholds": False, "prefix": "ht_", "top_k": 5,
        "excel_safe": False, "timeout_s": 2.5, "allow_hosts": ["a:1"], "headers": None, "per_host": None,
        "registry": "registry",
    },
    "confined": True, "needs_root": True, "chunks_per_file": 256, "delimiter": ",",
}  # fmt: skip


def made(folder: Path, rows: int = 1, *, chunk_rows: int = 16) -> Job:
    (folder / "a.txt").write_text("".join(f"{row}.jpg\n" for row in range(rows)))
    catalogue = open_catalogue(folder / "a.txt")
    return create_job(FolderStorage(folder / "job"), catalogue, only_question(), chunk_rows=chunk_rows)


def test_the_format_on_disk_is_this_one(tmp_path: Path) -> None:
    assert SPEC.model_dump_json(indent=1) == json.dumps(JOB, indent=1)
    FolderStorage(tmp_path).commit("job.json", json.dumps(JOB).encode())
    assert open_job(FolderStorage(tmp_path)).spec == SPEC
    job = made(tmp_path)
    assert job.storage.read("job.json").decode() == job.spec.model_dump_json(indent=1)


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"questions": []}, {"rows": "3"}, {"other": 1}])
def test_a_job_that_is_damaged_or_of_another_version_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    FolderStorage(tmp_path).commit("job.json", json.dumps(JOB | change).encode())
    with pytest.raises(JobError, match=r"job\.json"):
        open_job(FolderStorage(tmp_path))


def test_each_question_is_a_job_with_columns_of_its_own(tmp_path: Path) -> None:
    named = (Question(name="kind", model=PAPER_PIN), Question(name="hue", model=PAPER_PIN))
    kind, hue = Job(SPEC.model_copy(update={"questions": named}), FolderStorage(tmp_path)).questions
    assert [(one.name, one.spec.options.prefix, one.spec.id) for one in (kind, hue)] == [
        ("kind", "ht_kind_", "0123456789ab.kind"),
        ("hue", "ht_hue_", "0123456789ab.hue"),
    ]
    assert kind.questions == (kind,)
    assert [kind.storage.place, kind.home.place] == [f"{tmp_path}/questions/kind", str(tmp_path)]


RETRY_JSON = b'{"number": 1, "begun_at": "2026-11-21T05:00:00+00:00", "rows": 5, "chunks": [1, 3]}'


def test_the_format_of_a_retry_is_this_one_and_one_of_two_begins_it(tmp_path: Path) -> None:
    job = made(tmp_path)
    storage, began = job.storage, "2026-11-21T05:00:00+00:00"
    storage.commit("retries/00001.json", RETRY_JSON)
    assert job.retry() == Retry(number=1, chunks=frozenset({1, 3}), rows=5, begun_at=began)
    other = replace(job, spec=job.spec.model_copy(update={"id": "beef"}))
    storage.replace("retries/00001.json", RETRY_JSON.replace(b"[1, 3]", b"[2]"))
    assert other.retry().chunks == {2}, "of the job that followed in the folder"
    assert not commit_retry(storage, 1, [2], 7)
    assert commit_retry(storage, 2, [1, 3], 5)
    record = json.loads(storage.read("retries/00002.json"))
    assert {**record, "number": 1, "begun_at": began} == json.loads(RETRY_JSON)
    assert datetime.now(UTC) - datetime.fromisoformat(record["begun_at"]) < timedelta(minutes=1)


def test_a_scratch_folder_is_gone_after_its_use_and_so_is_what_others_left_long_ago(tmp_path: Path) -> None:
    with scratch_folder(FolderStorage(tmp_path)) as left, scratch_folder(FolderStorage(tmp_path)) as in_use:
        (left / "labels.parquet").touch()
        os.utime(left, (time.time() - 7200.0,) * 2)
        with scratch_folder(FolderStorage(tmp_path)) as folder:
            assert set(tmp_path.iterdir()) == {in_use, folder}
        assert not folder.exists()
        left.mkdir()
