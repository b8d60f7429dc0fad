import os
from pathlib import Path

import pytest

from worker.queue.inbox.files import Kind, look_into


def touch(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def kinds(folder: Path, *, deep: bool = True) -> dict[str, Kind]:
    return {file.path: file.kind for file in look_into(folder, deep=deep).files}


def test_catalogues_are_in_the_folder_itself_and_photos_anywhere(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", "b.TSV", "c.jsonl", "d.ndjson", "e.parquet", "f.txt", "old/a.csv", "g.xlsx", "h")
    touch(tmp_path, "1.jpg", "cam/2.PNG", "cam/left/3.webp")
    catalogues = dict.fromkeys(("a.csv", "b.TSV", "c.jsonl", "d.ndjson", "e.parquet", "f.txt"), Kind.CATALOGUE)
    photos = dict.fromkeys(("1.jpg", "cam/2.PNG", "cam/left/3.webp"), Kind.PHOTO)
    others = dict.fromkeys(("g.xlsx", "h", "old/a.csv"), Kind.OTHER)
    assert kinds(tmp_path) == catalogues | photos | others
    assert list(kinds(tmp_path)) == sorted(catalogues | photos | others)


def test_a_look_that_is_not_deep_stays_in_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", "cam/1.jpg")
    assert kinds(tmp_path, deep=False) == {"a.csv": Kind.CATALOGUE}


UNFINISHED = (
    ".a.csv",
    ".a.csv.Xy12",
    "~$a.csv",
    "a.csv~",
    "a.csv.part",
    "a.csv.PARTIAL",
    "a.csv.filepart",
    "a.csv.tmp",
    "a.csv.temp",
    "a.csv.crdownload",
    "a.csv.download",
    ".cam/1.jpg",
    "~cam/1.jpg",
    "cam.tmp/1.jpg",
)


@pytest.mark.parametrize("path", UNFINISHED)
def test_what_is_hidden_or_not_whole_by_its_name_is_not_seen(tmp_path: Path, path: str) -> None:
    touch(tmp_path, path)
    assert kinds(tmp_path) == {}


def test_size_time_and_inode_are_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image\n")
    os.utime(tmp_path / "a.csv", ns=(1, 1_700_000_000_123_456_789))
    (file,) = look_into(tmp_path).files
    assert (file.size, file.mtime_ns) == (6, 1_700_000_000_123_456_789)
    assert file.inode == (tmp_path / "a.csv").stat().st_ino


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/tonight.csv", "inbox/a.csv")
    inbox = tmp_path / "inbox"
    (inbox / "linked.csv").symlink_to(tmp_path / "elsewhere" / "tonight.csv")
    (inbox / "gone.csv").symlink_to(tmp_path / "gone.csv")
    (inbox / "round").symlink_to(inbox)
    os.mkfifo(inbox / "pipe.csv")
    assert kinds(inbox) == {"a.csv": Kind.CATALOGUE, "linked.csv": Kind.CATALOGUE}


def test_a_name_that_is_not_utf8_is_no_photo(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.jpg")).touch()
    assert list(kinds(tmp_path).values()) == [Kind.OTHER]


def test_a_sub_folder_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """Its path is too long for the system, whoever runs the tests: root may open any other."""
    touch(tmp_path, "a.csv")
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=here)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    look = look_into(tmp_path)
    assert [file.path for file in look.files] == ["a.csv"]
    ((folder, reason),) = look.unreadable.items()
    assert folder.startswith("xxx")
    assert "too long" in reason


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        look_into(tmp_path / "none")
