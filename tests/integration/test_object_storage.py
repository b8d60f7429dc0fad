"""Both storages keep one contract, and a job in S3 ends as it does in a folder."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.classifier import load
from models.errors import InputError, JobError
from worker.catalogue import open_catalogue
from worker.chunk import run_chunk
from worker.finish import PAGE_FILE, RESULT_FILE, finish_job, finished_receipt
from worker.job import Job, JobOptions, ModelPin, open_job
from worker.job_writer import create_job
from worker.object_storage import ObjectStorage
from worker.open_storage import open_storage
from worker.storage import FolderStorage, Storage

from .s3_server import PAGE_KEYS, Fault, Kind, S3Server, open_s3_server

KEYS = ["plain", "with space", "žluťoučký 靴.parquet", "50%+1&a=b#c?d", "a'b\"c"]


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    with open_s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Server:
    """An S3 that this test's environment leads to, and nothing else."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": s3_process.endpoint,
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    s3_process.fail()
    return s3_process


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """A bucket of this test's own."""
    name = f"box-{uuid4().hex}"
    s3.put(f"/{name}")
    return name


@pytest.fixture
def in_s3(bucket: str) -> ObjectStorage:
    return ObjectStorage(f"s3://{bucket}/jobs/spring")


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return FolderStorage(tmp_path / "spring")
    return request.getfixturevalue("in_s3")


class TestContract:
    def test_the_first_commit_wins(self, storage: Storage) -> None:
        assert storage.commit("parts/a", b"one")
        assert not storage.commit("parts/a", b"two")
        assert storage.read("parts/a") == b"one"

    def test_of_many_commits_at_once_exactly_one_wins(self, storage: Storage) -> None:
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda i: storage.commit("a", str(i).encode()), range(24)))
        assert sum(won) == 1
        assert storage.read("a") == str(won.index(True)).encode()

    def test_equal_bytes_are_committed_once(self, storage: Storage) -> None:
        assert storage.commit("cancelled", b"")
        assert not storage.commit("cancelled", b"")
        assert storage.exists("cancelled")

    def test_what_is_replaced_is_gone(self, storage: Storage) -> None:
        storage.replace("receipt.json", b"one")
        storage.replace("receipt.json", b"two")
        assert storage.read("receipt.json") == b"two"
        assert storage.names("") == ["receipt.json"]

    def test_an_upload_moves_the_file(self, storage: Storage) -> None:
        storage.replace("labels.parquet", b"old")
        file = storage.scratch / ".labels.tmp"
        file.write_bytes(b"new")
        storage.upload("labels.parquet", file)
        assert storage.read("labels.parquet") == b"new"
        assert not file.exists()

    def test_an_upload_of_no_file_changes_nothing(self, storage: Storage) -> None:
        storage.replace("labels.parquet", b"old")
        with pytest.raises(FileNotFoundError, match="none"):
            storage.upload("labels.parquet", storage.scratch / "none")
        assert storage.read("labels.parquet") == b"old"

    def test_what_is_deleted_can_be_committed_again(self, storage: Storage) -> None:
        storage.commit("a", b"one")
        storage.delete("a")
        storage.delete("a")
        assert not storage.exists("a")
        assert storage.commit("a", b"two")

    def test_a_key_that_is_not_there(self, storage: Storage) -> None:
        storage.commit("there", b"")
        assert not storage.exists("her")
        with pytest.raises(FileNotFoundError, match="nowhere"):
            storage.read("nowhere")
        with pytest.raises(FileNotFoundError, match="nowhere"):
            pq.ParquetFile(storage.source("nowhere"))

    def test_entries_have_names_and_times(self, storage: Storage) -> None:
        before = time.time() - 1  # S3 counts whole seconds
        keys = [f"{number:06d}.r0.parquet" for number in range(2 * PAGE_KEYS + 1)]
        for key in keys:
            storage.commit(f"parts/{key}", b"")
        storage.commit("partsofothers/a", b"")
        entries = storage.entries("parts")
        assert sorted(entry.name for entry in entries) == keys
        assert all(before <= entry.modified <= time.time() for entry in entries)
        assert sorted(storage.names("parts")) == keys

    def test_each_listing_is_new(self, storage: Storage) -> None:
        names = []
        for key in ("a", "b"):
            storage.commit(f"parts/{key}", b"")
            names.append(sorted(storage.names("parts")))
        assert names == [["a"], ["a", "b"]]

    def test_a_folder_that_is_not_there_has_no_names(self, storage: Storage) -> None:
        assert storage.names("parts") == storage.entries("parts") == storage.folders() == []

    def test_hidden_names_are_not_listed(self, storage: Storage) -> None:
        for key in ("parts/.a.tmp", "parts/a", ".hidden/a"):
            storage.commit(key, b"")
        assert storage.names("parts") == ["a"]
        assert storage.folders() == ["parts"]

    def test_folders_are_in_order_and_files_are_none(self, storage: Storage) -> None:
        for name in "gcaebdf":
            storage.commit(f"{name}/job.json", b"")
            storage.commit(f"{name}/parts/1", b"")
        storage.commit("file", b"")
        assert storage.folders() == list("abcdefg")

    def test_a_child_is_a_folder_of_its_parent(self, storage: Storage) -> None:
        child = storage.child("summer")
        child.commit("parts/a", b"one")
        assert storage.read("summer/parts/a") == b"one"
        assert storage.folders() == ["summer"]
        assert child.folders() == ["parts"]
        assert child.place == f"{storage.place}/summer"

    @pytest.mark.parametrize("key", KEYS)
    def test_any_name_is_a_key(self, storage: Storage, key: str) -> None:
        assert storage.commit(f"parts/{key}", key.encode())
        assert not storage.commit(f"parts/{key}", b"")
        assert storage.names("parts") == [key]
        assert storage.read(f"parts/{key}") == key.encode()

    def test_pyarrow_reads_the_source(self, storage: Storage) -> None:
        table = pa.table({"image": ["a.jpg", "b.jpg"]})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        storage.commit("rows", sink.getvalue().to_pybytes())
        assert pq.ParquetFile(storage.source("rows")).read() == table

    def test_storages_of_one_place_are_equal(self, storage: Storage) -> None:
        again, other = open_storage(storage.place + "/"), storage.child("a")
        assert storage == again
        assert hash(storage) == hash(again)
        assert storage != other
        assert len({storage, again, other}) == 2

    def test_scratch_is_a_folder_of_this_machine(self, storage: Storage) -> None:
        assert storage.scratch == open_storage(storage.place).scratch
        assert storage.scratch != storage.child("a").scratch
        (storage.child("a").scratch / "note").parent.mkdir(parents=True, exist_ok=True)


class TestPlace:
    @pytest.mark.parametrize("url", ["s3://", "s3:///jobs", "s3://box//jobs", "https://box/jobs"])
    def test_what_is_no_url_of_s3_is_refused(self, url: str) -> None:
        with pytest.raises(InputError, match="s3://bucket/folder"):
            ObjectStorage(url)

    def test_a_whole_bucket_is_a_folder(self, bucket: str) -> None:
        storage = open_storage(f"s3://{bucket}/")
        assert storage.place == f"s3://{bucket}"
        assert storage.commit("a", b"")
        assert storage.child("spring").commit("job.json", b"{}")
        assert storage.names("") == ["a"]
        assert storage.folders() == ["spring"]
        assert storage.read("spring/job.json") == b"{}"

    def test_scratch_is_in_the_cache(
        self, session_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        storage = ObjectStorage("s3://box/jobs")
        assert storage.scratch.parent == session_cache / "hangtag" / "jobs"
        assert storage.scratch.is_dir()
        assert len(storage.scratch.name) == 16
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert storage.scratch.parent == tmp_path / ".cache" / "hangtag" / "jobs"

    def test_a_cache_that_cannot_be_is_said(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        with pytest.raises(JobError, match="XDG_CACHE_HOME"):
            _ = ObjectStorage("s3://box/jobs").scratch


class TestFaults:
    def test_a_writer_that_is_not_ours_wins(self, s3: S3Server, in_s3: ObjectStorage, bucket: str) -> None:
        s3.put(f"/{bucket}/jobs/spring/a", b"theirs")
        assert not in_s3.commit("a", b"ours")
        assert in_s3.read("a") == b"theirs"

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

    def test_more_tries_are_made_than_three(self, s3: S3Server, in_s3: ObjectStorage) -> None:
        s3.fail(*[Fault("HEAD", status=503)] * 3)
        assert not in_s3.exists("a")
        assert s3.faults_left() == 0

    def test_a_failed_upload_keeps_the_file(self, s3: S3Server, in_s3: ObjectStorage, tmp_path: Path) -> None:
        file = tmp_path / "labels.parquet"
        file.write_bytes(b"rows")
        s3.fail(Fault("PUT", status=403, code="AccessDenied"))
        with pytest.raises(JobError, match="AccessDenied"):
            in_s3.upload("labels.parquet", file)
        assert file.read_bytes() == b"rows"


ASKS = {
    "exists": lambda storage: storage.exists("a"),
    "read": lambda storage: storage.read("a"),
    "commit": lambda storage: storage.commit("a", b""),
    "replace": lambda storage: storage.replace("a", b""),
    "delete": lambda storage: storage.delete("a"),
    "names": lambda storage: storage.names("a"),
    "folders": lambda storage: storage.folders(),
}


class TestErrors:
    @pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS.keys())
    def test_no_bucket(self, s3: S3Server, ask) -> None:
        with pytest.raises(JobError, match=r"s3://nobody-has-this/jobs.* NoSuchBucket.*the bucket's name"):
            ask(ObjectStorage("s3://nobody-has-this/jobs"))

    @pytest.mark.parametrize(
        ("method", "ask"), [("GET", "read"), ("PUT", "commit"), ("GET", "names"), ("HEAD", "exists")]
    )
    def test_access_denied(self, s3: S3Server, in_s3: ObjectStorage, method: str, ask: str) -> None:
        s3.fail(Fault(method, status=403, code="AccessDenied"))
        with pytest.raises(JobError, match=r"S3 answered (AccessDenied|403).*AWS_ACCESS_KEY_ID"):
            ASKS[ask](in_s3)

    def test_no_credentials(self, in_s3: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(JobError, match=r"got NoCredentialsError.*AWS_ACCESS_KEY_ID"):
            in_s3.read("a")

    @pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "nonsense"])
    def test_no_server(self, in_s3: ObjectStorage, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(JobError, match=rf"{endpoint}.*AWS_ENDPOINT_URL"):
            in_s3.commit("a", b"")

    def test_a_name_that_no_bucket_has(self, s3: S3Server) -> None:
        with pytest.raises(JobError, match="the bucket's name"):
            ObjectStorage("s3://no such bucket/jobs").read("a")

    @pytest.mark.parametrize("ask", ["read", "commit"])
    def test_a_server_that_says_nothing(
        self, in_s3: ObjectStorage, ask: str, monkeypatch: pytest.MonkeyPatch, silent_server: str
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", silent_server)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr("worker.object_storage.READ_TIMEOUT_S", 1)
        with pytest.raises(JobError, match="ReadTimeoutError"):
            ASKS[ask](in_s3)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes what it is sent, and does not answer; whoever still waits after ten seconds is cut off."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        end = Timer(10, server.close)
        end.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        end.cancel()


FORKS = """
import os, signal, sys
from worker.object_storage import ObjectStorage

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
    """The result of a job that is created, opened again, labelled and finished."""
    classifier = load(bundle)
    pin = ModelPin(path=str(bundle), reference=classifier.reference, variant="float32", digest=classifier.digest)
    create_job(storage, open_catalogue(catalogue), pin, JobOptions(), chunk_rows=32)
    job = open_job(open_storage(storage.place))
    assert job
    for chunk in job.missing_chunks():
        assert run_chunk(job, chunk, classifier)
        assert not run_chunk(job, chunk, classifier)
    check_finished(job)
    return pq.read_table(storage.source(RESULT_FILE))


def check_finished(job: Job) -> None:
    receipt = finish_job(job)
    assert finished_receipt(job) == receipt
    assert receipt.output == f"{job.storage.place}/{RESULT_FILE}"
    assert job.storage.read(PAGE_FILE).startswith(b"<!doctype html>")
    assert not list(job.storage.scratch.rglob(".finish-*"))
