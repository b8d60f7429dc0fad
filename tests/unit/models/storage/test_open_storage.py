import sys
from pathlib import Path

import pytest

from models.errors import InputError, MissingExtraError
from models.storage.object_storage import ObjectStorage
from models.storage.storage import FolderStorage, open_storage


def test_a_path_is_a_folder_wherever_one_goes_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_storage("jobs/") == open_storage(f"{tmp_path}/jobs") == FolderStorage(tmp_path / "jobs")


def test_a_url_is_a_place_in_s3() -> None:
    assert open_storage("s3://box/jobs") == ObjectStorage("s3://box/jobs")


@pytest.mark.parametrize("place", ["", "gs://box/jobs", "https://box.example/jobs", "S3://box/jobs", "://jobs"])
def test_another_scheme_is_refused(place: str) -> None:
    with pytest.raises(InputError, match="a folder's path or an s3://bucket/folder URL"):
        open_storage(place)


def test_without_s3fs_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "models.storage.object_storage")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hangtag\[s3\]'"):
        open_storage("s3://box/jobs")


def test_a_folder_needs_no_s3fs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "models.storage.object_storage")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert open_storage(str(tmp_path)) == FolderStorage(tmp_path)


def test_names_are_those_of_whole_files(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    storage.commit("parts/a", b"")
    (tmp_path / "parts" / ".b.tmp").touch()
    assert (storage.names("parts"), storage.names("nowhere")) == (["a"], [])
