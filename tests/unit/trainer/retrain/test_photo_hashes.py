import hashlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.retrain.photo_hashes import NO_FILE, PhotoHashes

LATER_NS = 60_000_000_000


def later() -> int:
    """A clock by which every file was written a minute ago."""
    return time.time_ns() + LATER_NS


def hashed(cache: Path, *paths: Path, clock=later) -> tuple[list[str], int]:
    """The SHA-256s of files, and how many of them had to be read."""
    hashes = PhotoHashes(cache, clock)
    found = hashes.of(paths, lambda done, total: None)
    hashes.save()
    return [found[path] for path in paths], hashes.read


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cycles" / "hashes.json"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / os.fsdecode(b"b\xe9ret.jpg")
    path.parent.mkdir()
    path.write_bytes(b"one")
    return path


def test_a_file_that_is_as_it_was_is_not_read_again(cache: Path, photo: Path) -> None:
    assert hashed(cache, photo) == ([sha256(b"one")], 1)
    assert hashed(cache, photo) == ([sha256(b"one")], 0)


def test_a_file_that_was_away_is_not_read_again(cache: Path, photo: Path) -> None:
    hashed(cache, photo)
    photo.parent.rename(photo.parent.with_name("away"))
    assert hashed(cache, photo)[0] == [NO_FILE]
    photo.parent.with_name("away").rename(photo.parent)
    assert hashed(cache, photo) == ([sha256(b"one")], 0)


def test_a_file_that_was_only_just_written_is_read_again(cache: Path, photo: Path) -> None:
    assert hashed(cache, photo, clock=time.time_ns) == ([sha256(b"one")], 1)
    assert hashed(cache, photo) == ([sha256(b"one")], 1)
    assert hashed(cache, photo) == ([sha256(b"one")], 0)


def test_a_file_that_changes_while_it_is_read_is_not_remembered(cache: Path, photo: Path) -> None:
    def writes() -> int:  # the clock is asked when the file has been looked at and not yet read
        photo.write_bytes(photo.read_bytes() + b"+")
        return later()

    hashes = PhotoHashes(cache, writes)
    assert hashes.of([photo], lambda done, total: None) == {photo: sha256(b"one+")}
    hashes.save()
    assert hashed(cache, photo) == ([sha256(b"one+")], 1)


def test_where_no_file_can_be_read_there_is_no_hash(cache: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    paths = [tmp_path / "none.jpg", tmp_path, tmp_path / "pipe", tmp_path / ("x" * 300)]
    assert hashed(cache, *paths) == ([NO_FILE] * 4, 0)


@pytest.mark.parametrize("text", [b"no JSON", b"[1]", b'{"/a.jpg": 1}', b"[" * 200_000])
def test_without_a_cache_that_can_be_read_files_are_read(cache: Path, photo: Path, text: bytes) -> None:
    cache.parent.mkdir()
    cache.write_bytes(text)
    assert hashed(cache, photo) == ([sha256(b"one")], 1)
    assert hashed(cache, photo) == ([sha256(b"one")], 0)


class Files:
    """Three files that are written, exchanged and removed, each change at a time of its own, as the system tells it."""

    def __init__(self, folder: Path) -> None:
        self.paths = [folder / name for name in "abc"]
        self._beside = folder / "beside"
        self._last_ns = 0

    def truth(self) -> list[str]:
        return [sha256(path.read_bytes()) if path.exists() else NO_FILE for path in self.paths]

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        while path.stat().st_ctime_ns <= self._last_ns:  # a few milliseconds: the clock of a disk ticks slowly
            path.touch()
        self._last_ns = path.stat().st_ctime_ns

    def change(self, path: Path, data: bytes, how: str) -> None:
        if how == "remove" or not path.exists():
            path.unlink(missing_ok=True)
            if how == "write":
                self.write(path, data)
            return
        before = path.stat()
        if how == "replace":
            self.write(self._beside, data)
            self._beside.replace(path)
        else:
            self.write(path, data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as unpacking and copying do
        self._last_ns = path.stat().st_ctime_ns


changes = st.tuples(
    st.integers(0, 2), st.binary(min_size=1, max_size=2), st.sampled_from(["write", "replace", "remove"])
)


@settings(deadline=None, max_examples=20)
@given(st.lists(changes, max_size=12))
def test_whatever_happens_to_files_their_hashes_are_those_of_their_bytes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bytes, str]]
) -> None:
    """With a clock by which nothing is fresh: all that is known is relied on, and only what changed is read."""
    files = Files(tmp_path_factory.mktemp("files"))
    for path in files.paths:
        files.write(path, b"xy")
    cache = files.paths[0].with_name("hashes.json")
    hashed(cache, *files.paths)
    for number, data, how in steps:
        files.change(files.paths[number], data, how)
        found, read = hashed(cache, *files.paths)
        assert found == files.truth()
        gone = sum(not path.exists() for path in files.paths)
        assert read <= 1 + gone
