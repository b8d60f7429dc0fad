"""A folder in S3, with a server that may fail; a job there ends like a job on disk."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.catalogue import open_catalogue
from models.errors import JobError
from models.storage.object_storage import ObjectStorage
from models.storage.storage import FolderStorage, Storage
from worker.job.job import Job
from worker.job.receipt import PAGE_FILE, finished_receipt
from worker.results.finish import RESULT_FILE, finish_job

from .jobs import label_here
from .s3_server import Fault, Kind, S3Server


class TestFaults:
    def test_a_listing_shows_what_others_wrote(self, s3: S3Server, in_s3: ObjectStorage, bucket: str) -> None:
        assert in_s3.names("parts") == []
        s3.put(f"/{bucket}/jobs/spring/parts/a", b"theirs")
        assert in_s3.names("parts") == ["a"]
        assert in_s3.exists("parts/a")

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("PUT", status=503, code="SlowDown"),
            Fault("PUT", status=500, code="InternalError"),
            Fault("PUT", status=409, code="ConditionalRequestConflict"),
            Fault("PUT", status=409, code="OperationAborted"),
        ],
        ids=lambda fault: fault.code,
    )
    def test_a_passing_refusal_is_tried_again(self, s3: S3Server, in_s3: ObjectStorage, fault: Fault) -> None:
        s3.fail(fault, fault)
        assert in_s3.commit("a", b"one")
        assert s3.faults_left() == 0
        assert in_s3.read("a") == b"one"

    def test_a_conflict_with_a_winner_is_lost(self, s3: S3Server, in_s3: ObjectStorage) -> None:
        in_s3.commit("a", b"one")
        s3.fail(Fault("PUT", status=409, code="ConditionalRequestConflict"))
        assert not in_s3.commit("a", b"two")
        assert s3.faults_left() == 0

    def test_a_commit_whose_answer_is_lost_was_ours(self, s3: S3Server, in_s3: ObjectStorage) -> None:
        s3.fail(Fault("PUT", Kind.DONE_BUT_REFUSED))
        assert in_s3.commit("a", b"one")
        assert not in_s3.commit("a", b"one")

    def test_an_answer_that_breaks_off_is_asked_for_again(self, s3: S3Server, in_s3: ObjectStorage) -> None:
        in_s3.commit("a", b"one")
        s3.fail(Fault("GET", Kind.CUT_SHORT), Fault("GET", Kind.CUT_SHORT))
        assert in_s3.read("a") == b"one"
        assert s3.faults_left() == 0

    def test_what_does_not_pass_ends_as_an_error(self, s3: S3Server, in_s3: ObjectStorage) -> None:
        tries = 50
        s3.fail(*[Fault("PUT", status=409, code="ConditionalRequestConflict")] * tries)
        with pytest.raises(JobError, match="ConditionalRequestConflict"):
            in_s3.commit("a", b"one")
        assert 1 < tries - s3.faults_left() < 20

    def test_tries_are_not_multiplied(
        self, s3: S3Server, in_s3: ObjectStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
        s3.fail(*[Fault("GET", status=503, code="SlowDown")] * 50)
        with pytest.raises(JobError, match="SlowDown"):
            in_s3.read("a")
        assert s3.faults_left() == 48

    def test_a_failed_upload_keeps_the_file(self, s3: S3Server, in_s3: ObjectStorage, tmp_path: Path) -> None:
        file = tmp_path / "labels.parquet"
        file.write_bytes(b"rows")
        s3.fail(Fault("PUT", status=403, code="AccessDenied"))
        with pytest.raises(JobError, match="AccessDenied"):
            in_s3.upload("labels.parquet", file)
        assert file.read_bytes() == b"rows"


FORKS = """
import os, signal, sys
from models.storage.object_storage import ObjectStorage

storage = ObjectStorage(sys.argv[1])
assert storage.commit("parent", b"before")
child = os.fork()
if child == 0:
    signal.alarm(20)
    good = storage.read("parent") == b"before" and storage.commit("child", b"one")
    os._exit(0 if good else 1)
print("child", os.waitpid(child, 0)[1], "parent", storage.read("child"), storage.names(""))
"""


def test_a_forked_child_has_a_connection_of_its_own(in_s3: ObjectStorage) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", FORKS, in_s3.place],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "child 0 parent b'one' ['child', 'parent']\n", done.stderr
    assert "ResourceWarning" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_job_in_s3_ends_as_one_in_a_folder(
    in_s3: ObjectStorage, tmp_path: Path, catalogue: Path, bundle: Path
) -> None:
    results = [whole_job(storage, catalogue, bundle) for storage in (FolderStorage(tmp_path / "job"), in_s3)]
    assert results[0].num_rows > 200
    assert results[0] == results[1]


def whole_job(storage: Storage, catalogue: Path, bundle: Path) -> pa.Table:
    check_finished(label_here(storage, open_catalogue(catalogue), bundle))
    return pq.read_table(storage.source(RESULT_FILE))


def check_finished(job: Job) -> None:
    receipt = finish_job(job)
    assert finished_receipt(job) == receipt
    assert receipt.output == f"{job.storage.place}/{RESULT_FILE}"
    assert job.storage.read(PAGE_FILE).startswith(b"<!doctype html>")
    assert not list(job.storage.scratch.rglob(".finish-*"))
