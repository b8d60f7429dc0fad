import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.errors import ImageError, ImageFault
from models.photo import read_photo
from models.preprocess import MAX_BYTES, PreprocessSpec, opened, preprocess, preprocess_image, whole_rgb
from tests.unit.models.pictures import PAD, encoded


def fault_of(path):
    with pytest.raises(ImageError) as caught:
        read_photo(path)
    assert str(path) in str(caught.value)
    return caught.value.fault


@pytest.mark.parametrize("name", ["shoe.jpg", "a\0b.jpg", "x" * 300, "\ud800.jpg"])
def test_a_missing_or_impossible_file_name_is_missing(tmp_path, name):
    with pytest.raises(ImageError) as caught:
        read_photo(tmp_path / name)
    assert caught.value.fault is ImageFault.MISSING


def test_a_pipe_is_unreadable_and_blocks_nobody(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    faults = []
    reader = Thread(target=lambda: faults.append(fault_of(tmp_path / "pipe.jpg")), daemon=True)
    reader.start()
    reader.join(timeout=10)
    assert faults == [ImageFault.UNREADABLE]


def test_a_folder_and_a_device_without_end_are_unreadable(tmp_path):
    assert [fault_of(place) for place in (tmp_path, Path("/dev/zero"))] == [ImageFault.UNREADABLE] * 2


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


def whole(data):
    with opened(data) as image:
        return whole_rgb(image)


def test_every_fault_of_an_opened_photo_is_an_image_error(quarters):
    with pytest.raises(ImageError, match="KeyError: 'plugin'") as caught, opened(encoded(quarters)):
        {}["plugin"]
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(ImageError, match="ends too early") as caught, opened(encoded(quarters, "BMP")[:-99]) as image:
        image.load()
    assert caught.value.fault is ImageFault.UNREADABLE
    with pytest.raises(ImageError) as caught, opened(encoded(quarters)):
        raise MemoryError
    assert caught.value.fault is ImageFault.TOO_LARGE


@settings(deadline=None)
@given(width=st.integers(1, 200), height=st.integers(1, 200), seed=st.integers(0, 99))
def test_a_whole_photo_is_what_the_network_sees_but_for_its_size(width, height, seed):
    noise = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))
    data = encoded(noise)
    assert np.array_equal(preprocess_image(whole(data), PAD), preprocess(data, PAD))


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_the_first_photo_of_a_process_may_be_of_any_format(tmp_path, kind):
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "photo", format=kind)
    code = (
        "import pathlib, sys; from models.preprocess import PreprocessSpec, preprocess\n"
        "print(preprocess(pathlib.Path(sys.argv[1]).read_bytes(), PreprocessSpec(size=16)).sum())"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "photo"], capture_output=True, text=True, check=True)
    assert int(done.stdout) == preprocess((tmp_path / "photo").read_bytes(), PreprocessSpec(size=16)).sum()
