"""Tests of a folder in S3 that need no bucket."""

import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest

from models.errors import InputError, JobError
from models.storage.object_storage import ObjectStorage
from tests.integration.s3_server import lead_to


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ObjectStorage:
    lead_to("http://127.0.0.1:1", monkeypatch, tmp_path)
    return ObjectStorage("s3://box/jobs")


@pytest.fixture
def silent_server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        end = Timer(10, server.close)
        end.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        end.cancel()


@pytest.mark.parametrize("url", ["s3://", "s3:///jobs", "s3://box//jobs", "https://box/jobs"])
def test_what_is_no_url_of_s3_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="s3://bucket/folder"):
        ObjectStorage(url)


def test_scratch_is_in_the_cache(session_cache: Path) -> None:
    storage = ObjectStorage("s3://box/jobs")
    assert storage.scratch.parent == session_cache / "hangtag" / "jobs"
    assert storage.scratch.is_dir()
    assert len(storage.scratch.name) == 16


def test_a_cache_that_cannot_be_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(JobError, match="XDG_CACHE_HOME"):
        _ = ObjectStorage("s3://box/jobs").scratch


def test_no_credentials(storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(JobError, match=r"got NoCredentialsError.*AWS_ACCESS_KEY_ID"):
        storage.read("a")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "nonsense"])
def test_no_server(storage: ObjectStorage, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(JobError, match=rf"{endpoint}.*AWS_ENDPOINT_URL"):
        storage.commit("a", b"")


@pytest.mark.parametrize(
    "ask", [lambda storage: storage.read("a"), lambda storage: storage.commit("a", b"")], ids=["read", "commit"]
)
def test_a_server_that_says_nothing(storage, ask, monkeypatch, silent_server) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", silent_server)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("models.storage.object_storage.READ_TIMEOUT_S", 1)
    with pytest.raises(JobError, match="ReadTimeoutError"):
        ask(storage)
