import numpy as np
import pytest

from models.errors import InputError
from models.whole_file import read_arrays, write_arrays

PIXELS, LABELS = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3), np.array([4])


@pytest.fixture
def path(tmp_path):
    write_arrays(tmp_path / "new" / "kept.npz", pixels=PIXELS, labels=LABELS)
    return tmp_path / "new" / "kept.npz"


def test_arrays_are_read_as_they_were_written(path):
    found = read_arrays(path, "pixels")
    assert (list(found), found["pixels"].dtype) == (["pixels", "labels"], np.uint8)
    assert np.array_equal(found["pixels"], PIXELS)
    assert list(read_arrays(path, "pixels", "labels")) == ["labels"]


def spoil_cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def spoil_pickled(path):
    with path.open("wb") as file:
        np.savez(file, pixels=np.array([{}], object), labels=LABELS)


def spoil_gone(path):
    path.unlink()


@pytest.mark.parametrize("spoil", [spoil_cut, spoil_pickled, spoil_gone])
def test_what_cannot_be_read_is_refused_with_what_to_do(path, spoil):
    spoil(path)
    with pytest.raises(InputError, match=r"kept\.npz.*fetch it"):
        read_arrays(path, "the pixels", "pixels", advice="fetch it")


def test_an_array_that_is_not_there_is_named(path):
    with pytest.raises(InputError, match="heights"):
        read_arrays(path, "photos", "heights")
