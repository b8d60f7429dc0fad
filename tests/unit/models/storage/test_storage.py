from pathlib import Path

from models.storage.storage import FolderStorage
from models.whole_file import replace_file


def test_nothing_is_left_beside_a_commit(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    storage.commit("a", b"one")
    storage.commit("a", b"two")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_names_are_those_of_whole_files(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    storage.commit("parts/a", b"")
    (tmp_path / "parts" / ".b.tmp").touch()
    assert (storage.names("parts"), storage.names("nowhere")) == (["a"], [])


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    replace_file(file, b"one")
    replace_file(file, b"two")
    assert file.read_bytes() == b"two"
    assert [file.name for file in tmp_path.iterdir()] == ["receipt.json"]
