import os
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from models.errors import ImageError, ImageFault
from models.photo import read_photo
from models.preprocess import MAX_BYTES


def fault_of(path):
    with pytest.raises(ImageError) as caught:
        read_photo(path)
    assert str(path) in str(caught.value)
    return caught.value.fault


def test_a_photos_bytes_are_read_whole(tmp_path):
    photo = tmp_path / "shoe.jpg"
    photo.write_bytes(bytes(range(256)) * 1000)
    assert read_photo(photo) == bytes(range(256)) * 1000


def test_nothing_there_is_missing(tmp_path):
    assert fault_of(tmp_path / "shoe.jpg") is ImageFault.MISSING


def test_a_path_through_a_file_is_missing(tmp_path):
    (tmp_path / "shoe.jpg").touch()
    assert fault_of(tmp_path / "shoe.jpg" / "left.jpg") is ImageFault.MISSING


@pytest.mark.parametrize("name", ["a\0b.jpg", "x" * 300, "\ud800.jpg"])
def test_a_name_that_no_file_can_have_is_missing(tmp_path, name):
    with pytest.raises(ImageError) as caught:
        read_photo(tmp_path / name)
    assert caught.value.fault is ImageFault.MISSING


def test_a_link_to_nothing_is_missing(tmp_path):
    (tmp_path / "shoe.jpg").symlink_to(tmp_path / "gone.jpg")
    assert fault_of(tmp_path / "shoe.jpg") is ImageFault.MISSING


def test_a_link_to_a_photo_is_read(tmp_path):
    (tmp_path / "original.jpg").write_bytes(b"photo")
    (tmp_path / "shoe.jpg").symlink_to(tmp_path / "original.jpg")
    assert read_photo(tmp_path / "shoe.jpg") == b"photo"


def test_a_folder_is_unreadable(tmp_path):
    assert fault_of(tmp_path) is ImageFault.UNREADABLE


def test_a_pipe_is_unreadable_and_blocks_nobody(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    faults = []
    reader = Thread(target=lambda: faults.append(fault_of(tmp_path / "pipe.jpg")), daemon=True)
    reader.start()
    reader.join(timeout=10)
    assert faults == [ImageFault.UNREADABLE]


def test_a_device_without_end_is_unreadable():
    assert fault_of(Path("/dev/zero")) is ImageFault.UNREADABLE


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that cannot be read at its start")
def test_a_photo_whose_disk_fails_is_worth_another_try():
    assert fault_of(Path("/proc/self/mem")) is ImageFault.MISSING


@pytest.mark.parametrize(("extra", "refused"), [(0, False), (1, True)])
def test_one_byte_over_the_limit_is_too_large(tmp_path, extra, refused):
    photo = tmp_path / "huge.jpg"
    photo.touch()
    os.truncate(photo, MAX_BYTES + extra)
    if refused:
        assert fault_of(photo) is ImageFault.TOO_LARGE
    else:
        assert len(read_photo(photo)) == MAX_BYTES


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_photo_that_we_may_not_read_is_refused(tmp_path):
    photo = tmp_path / "secret.jpg"
    photo.write_bytes(b"photo")
    photo.chmod(0)
    assert fault_of(photo) is ImageFault.REFUSED


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo], ids=["file", "folder", "pipe"])
def test_whatever_is_there_is_closed_again(tmp_path, make):
    place = tmp_path / "shoe.jpg"
    make(place)
    with suppress(ImageError, OSError):
        read_photo(place)
    assert place.resolve() not in [handle.resolve() for handle in Path("/proc/self/fd").iterdir()]
