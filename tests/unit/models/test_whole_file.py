import errno
import os
from pathlib import Path

import pytest

from models.errors import InputError, system_words
from models.whole_file import Link, link_new, naming_full_disk, open_lock, replacing


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    file = tmp_path / "victim"
    file.write_text("precious")
    return file


def test_a_file_is_whole_or_absent_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    final = tmp_path / "out.csv"
    with pytest.raises(FileNotFoundError), replacing(final) as temporary:
        temporary.write_bytes((tmp_path / "gone").read_bytes())
    assert list(tmp_path.iterdir()) == []
    with replacing(final) as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_temporary_names_are_distinct_and_a_killed_writers_files_are_removed(tmp_path: Path) -> None:
    names, number = set(), "0123456789abcdef" * 2
    left = tmp_path / f".[a].csv.{number}.tmp"
    of_others = [tmp_path / f".{name}.{number}.tmp" for name in ("a.csv", "[a].csv.2.csv")]
    for place in (left, *of_others):
        place.touch()
    for _ in range(2):
        with replacing(tmp_path / "[a].csv") as temporary:
            assert not left.exists()
            names.add(temporary.name)
            temporary.touch()
    assert len(names) == 2
    assert set(tmp_path.iterdir()) == {*of_others, tmp_path / "[a].csv"}


def test_a_lock_is_no_link_and_empties_nothing(tmp_path: Path, victim: Path) -> None:
    with open_lock(tmp_path / "lock"), open_lock(victim):
        pass
    assert (tmp_path / "lock").read_text() == ""
    (tmp_path / "link").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        open_lock(tmp_path / "link")
    assert victim.read_text() == "precious"


def losing_the_reply(temporary: Path, final: Path) -> None:
    """Act like NFS that makes the link, loses the reply and tries again."""
    os.link(temporary, final)
    os.link(temporary, final)


def answering(number: int) -> Link:
    def link(temporary: Path, final: Path) -> None:
        raise OSError(number, os.strerror(number), str(temporary), None, str(final))

    return link


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / ".mine.tmp"
    file.write_bytes(b"mine")
    return file


def test_a_link_whose_reply_is_lost_is_ours(file: Path, tmp_path: Path) -> None:
    assert link_new(file, tmp_path / "a", losing_the_reply)
    assert (tmp_path / "a").read_bytes() == b"mine"


def test_a_name_that_somebody_else_has_is_not(file: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"theirs")
    for link in (os.link, losing_the_reply):
        assert not link_new(file, tmp_path / "a", link)
    assert (tmp_path / "a").read_bytes() == b"theirs"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_hard_links_is_named(file: Path, tmp_path: Path, number: int) -> None:
    with pytest.raises(
        InputError, match=rf"hard links under {tmp_path}.*{os.strerror(number)}.*exFAT.*move that folder"
    ):
        link_new(file, tmp_path / "a", answering(number))


def test_a_full_disk_is_named_by_the_folder_that_needs_room(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="No space") as raised, replacing(tmp_path / "shop" / "labels.csv"):
        raise full
    assert system_words(raised.value) == (
        f"The disk that holds {tmp_path / 'shop'} is full (No space left on device); make room there, and try again."
    )
    other = OSError(errno.EIO, os.strerror(errno.EIO))
    with pytest.raises(OSError, match="Input/output"), naming_full_disk(tmp_path):
        raise other
    assert (other.filename, system_words(other).startswith("The system refused")) == (None, True)


def test_a_file_that_may_not_be_read_is_not_called_unwritable() -> None:
    assert "its permissions" in system_words(PermissionError(errno.EACCES, "Permission denied", "products.csv"))
