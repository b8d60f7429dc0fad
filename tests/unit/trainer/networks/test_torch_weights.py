import struct
import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from tests.unit.trainer.networks.torch_files import (
    FORMATS,
    MAGIC,
    Called,
    Named,
    file_of,
    old_file,
    pickled,
    tensor,
    zip_file,
)
from trainer.networks.torch_weights import read_torch_weights

NUMBERS = np.arange(24, dtype="<f4").reshape(2, 3, 4)
STORED = {"0": NUMBERS.tobytes()}


@pytest.fixture(params=FORMATS.values(), ids=FORMATS)
def write(request, tmp_path):
    """Writes weights and storages into a file of either format."""

    def into_file(weights, storages=STORED, **options):
        path = tmp_path / "weights.pth"
        path.write_bytes(request.param(weights, storages, **options))
        return path

    return into_file


def test_tensors_are_read_as_they_were_written(write):
    path = write({"a": tensor(NUMBERS), "b": tensor(NUMBERS[1, 2], offset=20), "c": tensor(NUMBERS[0, 0, 0])})
    read = read_torch_weights(path)
    assert np.array_equal(read["a"], NUMBERS)
    assert np.array_equal(read["b"], NUMBERS[1, 2])
    assert (read["c"].shape, read["c"]) == ((), 0)


def test_a_tensor_may_lie_across_its_storage(write):
    """For example, in channels-last format."""
    path = write({"a": tensor(NUMBERS, shape=(4, 2, 3), strides=(1, 12, 4))})
    assert np.array_equal(read_torch_weights(path)["a"], NUMBERS.transpose(2, 0, 1))


@pytest.mark.parametrize("kind", ["<f2", "<f8", "<i4", "<i8"])
def test_numbers_keep_their_type(kind, tmp_path):
    array = np.arange(3, dtype=kind)
    path = tmp_path / "weights.pth"
    path.write_bytes(old_file({"a": tensor(array)}, {"0": array.tobytes()}, array.itemsize))
    assert read_torch_weights(path)["a"].dtype == kind
    path.write_bytes(zip_file({"a": tensor(array)}, {"0": array.tobytes()}))
    assert np.array_equal(read_torch_weights(path)["a"], array)


@pytest.mark.parametrize("nest", [lambda weights: {"epoch": 3, "state_dict": weights}, lambda weights: weights])
def test_the_weights_of_a_checkpoint_are_found(write, nest):
    assert list(read_torch_weights(write(nest({"module.a": tensor(NUMBERS), "step": 7})))) == ["a"]


DEEP = (b"\x80\x02)" + b"\x85" * 100_000) + b"."
"""A tuple in a tuple in a tuple … that no one may hash."""
HUGE = 1 << 40
REFUSED = {
    "code": {"a": Called(Named("os", "system"), ("touch hacked",))},
    "a class": Called(Named("torch.nn.modules", "Module")),
    "a list": [tensor(NUMBERS)],
    "a number": 7,
    "a key that is no name": {("a",): tensor(NUMBERS)},
    "another storage": {"a": tensor(NUMBERS, "1")},
    "larger than its storage": {"a": tensor(NUMBERS, shape=(2, 3, 5))},
    "after its end": {"a": tensor(NUMBERS, offset=1)},
    "before its beginning": {"a": tensor(NUMBERS, offset=-1)},
    "backwards": {"a": tensor(NUMBERS, shape=(2, 2), strides=(-5, 10))},
    "endless": {"a": tensor(NUMBERS, shape=(HUGE,), strides=(0,))},
    "sides that are no numbers": {"a": tensor(NUMBERS, shape=(("a",), 1 << 30), strides=(0, 0))},
    "much from one": {f"{i}": tensor(NUMBERS, shape=(20, 24), strides=(0, 1)) for i in range(30)},
}


@pytest.mark.parametrize("weights", REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused(write, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(weights)
    tracemalloc.start()
    with pytest.raises(InputError, match=f"{path}, but the file is damaged or contains more than tensors"):
        read_torch_weights(path)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


LONG = struct.pack("<Q", HUGE)
HOSTILE = {
    "of nothing": b"",
    "of a page": b"<html>",
    "a long text": b"\x80\x02X" + LONG[:4] + b"a.",
    "long bytes": b"\x80\x02\x8e" + LONG + b"a.",
    "a far memo": pickled({})[:-1] + b"r\xff\xff\xff\xff.",
    "nothing on the stack": b"\x80\x02u.",
    "a deep tuple": DEEP,
    "a deep tuple for a dictionary": b"\x80\x02ccollections\nOrderedDict\n]"
    + b")"
    + b"\x85" * 2_000_000
    + b"N\x86a\x85R.",
    "a deep tuple as a key": b"\x80\x02}" + DEEP[2:-1] + b"Ns.",
    "a deep tuple for a storage": b"".join(map(pickled, (MAGIC, 1001, {}, {}))) + b"\x80\x02]" + DEEP[2:-1] + b"a.",
}


@pytest.mark.rest
@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_pickle_is_refused_without_much_memory(data, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(InputError, match=f"{path}"):
        read_torch_weights(path)
    assert tracemalloc.get_traced_memory()[1] < (32 << 20) + 64 * len(data)
    tracemalloc.stop()


def test_a_count_that_the_file_does_not_have_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    whole = old_file({"a": tensor(NUMBERS)}, STORED)
    for count in (-1, 23, 25, HUGE):
        path.write_bytes(whole[: -8 - NUMBERS.nbytes] + struct.pack("<q", count) + STORED["0"])
        with pytest.raises(InputError, match="damaged"):
            read_torch_weights(path)


def test_a_compressed_archive_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(zip_file({"a": tensor(NUMBERS)}, {"0": bytes(1 << 20)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(InputError, match="compressed"):
        read_torch_weights(path)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch") / "weights.pth"


@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(scratch, kind, data):
    whole = bytearray(file_of({"a.weight": NUMBERS, "b": np.ones(3)}, kind))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    scratch.write_bytes(whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))])
    with suppress(InputError):
        assert all(isinstance(array, np.ndarray) for array in read_torch_weights(scratch).values())
