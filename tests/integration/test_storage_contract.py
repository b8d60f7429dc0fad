"""The shared behaviour of both storages: a folder, and a folder in S3."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.storage.storage import FolderStorage, Storage

from .s3_server import PAGE_KEYS


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return FolderStorage(tmp_path / "spring")
    return request.getfixturevalue("in_s3")


def test_the_first_commit_wins(storage: Storage) -> None:
    assert storage.commit("parts/a", b"one")
    assert not storage.commit("parts/a", b"two")
    assert storage.read("parts/a") == b"one"


def test_of_many_commits_at_once_exactly_one_wins(storage: Storage) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: storage.commit("a", str(i).encode()), range(64)))
    assert sum(won) == 1
    assert storage.read("a") == str(won.index(True)).encode()


def test_what_is_replaced_is_gone(storage: Storage) -> None:
    storage.replace("receipt.json", b"one")
    storage.replace("receipt.json", b"two")
    assert storage.read("receipt.json") == b"two"
    assert storage.names("") == ["receipt.json"]


def test_an_upload_moves_the_file(storage: Storage) -> None:
    storage.replace("labels.parquet", b"old")
    file = storage.scratch / ".labels.tmp"
    file.write_bytes(b"new")
    storage.upload("labels.parquet", file)
    assert storage.read("labels.parquet") == b"new"
    assert not file.exists()


def test_what_is_deleted_can_be_committed_again(storage: Storage) -> None:
    storage.commit("a", b"one")
    storage.delete("a")
    storage.delete("a")
    assert not storage.exists("a")
    assert storage.commit("a", b"two")


def test_clearing_a_folder_removes_everything_in_it(storage: Storage) -> None:
    for number in range(2 * PAGE_KEYS + 1):
        storage.commit(f"1/{number}", b"")
    for key in ("1/golden/a.jpg", "1/.a.tmp", "10/a", "a"):
        storage.commit(key, b"")
    storage.clear("1")
    storage.clear("1")
    assert storage.names("1") == storage.names("1/golden") == []
    assert storage.folders() == ["10"]
    assert storage.exists("a")
    assert not storage.exists("1/.a.tmp")


def test_only_what_is_on_a_disk_is_a_folder_of_this_machine(storage: Storage) -> None:
    storage.commit("1/a", b"one")
    folder = storage.on_disk("1")
    assert (folder / "a").read_bytes() == b"one" if folder else storage.place.startswith("s3://")


def test_a_key_that_is_not_there(storage: Storage) -> None:
    storage.commit("there", b"")
    assert not storage.exists("her")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        storage.read("nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        pq.ParquetFile(storage.source("nowhere"))


def test_entries_have_names_and_times(storage: Storage) -> None:
    before = time.time() - 1  # S3 counts whole seconds
    keys = [f"{number:06d}.r0.arrow" for number in range(2 * PAGE_KEYS + 1)]
    for key in keys:
        storage.commit(f"parts/{key}", b"")
    storage.commit("partsofothers/a", b"")
    entries = storage.entries("parts")
    assert sorted(entry.name for entry in entries) == keys
    assert all(before <= entry.modified <= time.time() for entry in entries)
    assert sorted(storage.names("parts")) == keys


def test_pyarrow_reads_the_source(storage: Storage) -> None:
    table = pa.table({"image": ["a.jpg", "b.jpg"]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    storage.commit("rows", sink.getvalue().to_pybytes())
    assert pq.ParquetFile(storage.source("rows")).read() == table
