"""Reads PyTorch's weights files (``.pth``) without PyTorch, and never runs code from them.

A pickle describes the tensors. The tensors' bytes follow the pickle (until PyTorch 1.5), or pickle and bytes are
members of a ZIP archive (``torch/serialization.py``).
"""

import pickle
import struct
from collections.abc import Iterable, Mapping
from io import BytesIO
from math import prod
from operator import index
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from models.errors import InputError

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
"""Arrays by tensor name."""

_OPCODES: Final = b"\x80.(cRbQqrhjNJKM\x88\x89\x8aGX]ae)\x85\x86\x87t}su"
"""Allowed pickle opcodes."""
_MAGIC: Final = 0x1950A86A20F9469CFC6C
_UNREADABLE: Final = (
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    *(BadZipFile, EOFError, struct.error, pickle.UnpicklingError),
    DeprecationWarning,  # raised for an invalid escape in the pickle, if warnings are errors
)


def read_torch_weights(path: Path) -> Arrays:
    """Read a dictionary of tensors. Raises InputError if the file is damaged or contains anything else."""
    data = path.read_bytes()
    try:
        weights, storages = (_read_zip if data.startswith(b"PK") else _read_old)(data)
        for nested in ("state_dict", "model"):
            weights = weights.get(nested, weights)
        tensors = {name.removeprefix("module."): part for name, part in weights.items() if isinstance(part, _Tensor)}
        _check(sum(prod(tensor.shape) for tensor in tensors.values()) <= len(data), "tensors larger than the file")
        return {name: _array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}
    except _UNREADABLE as error:
        msg = (
            f"Expected weights from torch.save in {path}, but the file is damaged or contains more than tensors "
            f"({str(error)[:100]}); get it again, or save the model's state_dict()."
        )
        raise InputError(msg) from error


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _read_old(data: bytes) -> tuple[Any, Mapping[str, memoryview]]:
    file = BytesIO(data)
    kinds: dict[str, np.dtype[Any]] = {}
    magic, _version, _system, weights, keys = (_Unpickler(file, kinds).load() for _ in range(5))
    _check(magic == _MAGIC, "another beginning")
    _check(all(isinstance(key, str) for key in keys), "a storage without a name")
    storages, place = {}, file.tell()
    for key in keys:
        (count,) = struct.unpack_from("<q", data, place)
        start, place = place + 8, place + 8 + count * kinds[key].itemsize
        _check(start <= place <= len(data), "fewer bytes than the numbers need")
        storages[key] = memoryview(data)[start:place]
    return weights, storages


def _read_zip(data: bytes) -> tuple[Any, Mapping[str, bytes]]:
    with ZipFile(BytesIO(data)) as archive:
        members = archive.infolist()
        _check(all(member.compress_type == ZIP_STORED for member in members), "compressed members")
        _check(sum(member.file_size for member in members) <= len(data), "members larger than the archive")
        (pickled,) = [member.filename for member in members if member.filename.endswith("/data.pkl")]
        folder = f"{pickled.removesuffix('.pkl')}/"
        names = [member.filename for member in members if member.filename.startswith(folder)]
        storages = {name.removeprefix(folder): archive.read(name) for name in names}
        return _Unpickler(BytesIO(archive.read(pickled)), {}).load(), storages


def _array(tensor: _Tensor, storage: bytes | memoryview) -> npt.NDArray[Any]:
    values = np.frombuffer(storage, tensor.storage.dtype)
    last = tensor.offset + sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True))
    inside = min(tensor.offset, *tensor.shape, *tensor.strides, 0) >= 0 and last < len(values)
    _check(inside, "a tensor outside its storage")
    strides = [stride * values.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides)


class _Dict(dict[Any, Any]):
    def __setitem__(self, key: object, value: object) -> None:
        _check(isinstance(key, str | int), "a key that is not a name")  # hashing nested tuples may crash Python
        super().__setitem__(key, value)


class _Unpickler(pickle._Unpickler):  # pickle's C code allocates any size that a file claims (CPython issue 115952)
    """Reads a dictionary of tensors, and refuses everything else. Stores each storage's dtype in ``kinds``."""

    dispatch: ClassVar[Any] = {code: pickle._Unpickler.dispatch[code] for code in _OPCODES} | {
        pickle.EMPTY_DICT[0]: lambda self: self.append(_Dict()),
        pickle.BUILD[0]: lambda self: self.stack.pop(),
    }

    def __init__(self, file: BytesIO, kinds: dict[str, np.dtype[Any]]) -> None:
        super().__init__(file)
        self._kinds = kinds

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a function or a dtype
        return _NAMES[f"{module} {name}"]

    def persistent_load(self, pid: Any) -> "_Storage":  # noqa: ANN401
        _, dtype, key, *_ = pid
        _check(isinstance(dtype, np.dtype) and isinstance(key, str), "a storage without a type or name")
        self._kinds[key] = dtype
        return _Storage(key, dtype)


def _rebuild(storage: _Storage, offset: int, shape: Iterable[int], strides: Iterable[int], *_: object) -> _Tensor:
    return _Tensor(storage, index(offset), tuple(map(index, shape)), tuple(map(index, strides)))


def _check(fine: bool, problem: str) -> None:
    if not fine:
        raise ValueError(problem)


_NAMES: Final[Mapping[Any, Any]] = MappingProxyType(
    {
        "collections OrderedDict": lambda: _Dict(),  # noqa: PLW0108 - _Dict(items) would skip the check of keys
        "torch._utils _rebuild_tensor_v2": _rebuild,
        "torch FloatStorage": np.dtype("<f4"),
        "torch DoubleStorage": np.dtype("<f8"),
        "torch HalfStorage": np.dtype("<f2"),
        "torch LongStorage": np.dtype("<i8"),
        "torch IntStorage": np.dtype("<i4"),
    }
)
