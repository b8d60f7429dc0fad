"""PyTorch's files of weights (``.pth``), read without PyTorch: no code in such a file is ever run.

A file is a pickle that names arrays, and the arrays' bytes: one after the other (until PyTorch 1.5), or as members of
a ZIP archive (torch/serialization.py). The unpickler knows the few names that a dictionary of tensors needs.
"""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from models.errors import InputError

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_TYPES: Final = MappingProxyType(
    {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4"}
)
Arrays = dict[str, npt.NDArray[Any]]


def read_torch_weights(path: Path) -> Arrays:
    """Read a dictionary of tensors, name → array; InputError where the file is damaged, or holds anything else."""
    data = path.read_bytes()
    try:
        weights = _read_zip(data) if data.startswith(b"PK") else _read_old(data)
    except (pickle.UnpicklingError, EOFError, BadZipFile, KeyError, ValueError, TypeError, struct.error) as error:
        msg = f"Expected weights that torch.save wrote in {path}, it is damaged or holds more than tensors ({error})."
        raise InputError(msg) from error
    for nested in ("state_dict", "model"):
        weights = weights.get(nested, weights) if isinstance(weights, Mapping) else {}
    return {name: array for name, array in weights.items() if isinstance(array, np.ndarray)}


class _Storage(NamedTuple):
    """Numbers that a tensor shows a part of; in an old file they come after all tensors."""

    values: npt.NDArray[Any]


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: BytesIO, numbers: Mapping[str, bytes] | None = None) -> None:
        super().__init__(data)
        self.storages: dict[str, _Storage] = {}
        self._numbers = numbers

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a function or a name
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                return _tensor
            case "torch", _ if name in _TYPES:
                return name
        msg = f"{module}.{name} is no tensor"
        raise pickle.UnpicklingError(msg)

    def persistent_load(self, pid: Sequence[Any]) -> _Storage:
        _, kind, key, _, count, *_ = pid
        if key not in self.storages:
            if self._numbers is None:
                values = np.zeros(count, _TYPES[kind])
            else:
                values = np.frombuffer(self._numbers[key], _TYPES[kind], count)
            self.storages[key] = _Storage(values)
        return self.storages[key]


def _tensor(
    storage: _Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_: object
) -> npt.NDArray[Any]:
    values, bytes_each = storage.values[offset:], storage.values.itemsize
    last = sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if min(shape, default=1) > 0 and not 0 <= last < len(values):
        msg = f"a tensor of shape {tuple(shape)} is larger than its numbers"
        raise ValueError(msg)
    return np.lib.stride_tricks.as_strided(values, shape, [stride * bytes_each for stride in strides])


def _read_old(data: bytes) -> Any:  # noqa: ANN401 - what a pickle holds
    file = BytesIO(data)
    if _Unpickler(file).load() != _MAGIC:
        msg = "it does not begin as such a file does"
        raise ValueError(msg)
    for _ in ("version", "system"):
        _Unpickler(file).load()
    tensors = _Unpickler(file)
    weights = tensors.load()
    for key in _Unpickler(file).load():
        values = tensors.storages[key].values
        (count,) = struct.unpack("<q", file.read(8))
        if count != len(values):
            msg = f"{count} numbers where {len(values)} are named"
            raise ValueError(msg)
        values[:] = np.frombuffer(file.read(values.nbytes), values.dtype)
    return weights


def _read_zip(data: bytes) -> Any:  # noqa: ANN401
    with ZipFile(BytesIO(data)) as archive:
        (index,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        folder = index.removesuffix("data.pkl") + "data/"
        names = [name for name in archive.namelist() if name.startswith(folder)]
        numbers = {name.removeprefix(folder): archive.read(name) for name in names}
        return _Unpickler(BytesIO(archive.read(index)), numbers).load()
