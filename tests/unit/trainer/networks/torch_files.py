"""Write files of weights like ``torch.save``, without PyTorch: opcode by opcode of pickle's second protocol."""

import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

KINDS = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<f2": "HalfStorage", "<i8": "LongStorage", "<i4": "IntStorage"}
MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True)
class Named:
    """An object that a pickle imports."""

    module: str
    name: str


@dataclass(frozen=True)
class Called:
    function: Named
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Persistent:
    """An object that a pickle only names; its data is elsewhere."""

    parts: tuple[Any, ...]


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + opcodes(value) + b"."


def opcodes(value: Any) -> bytes:
    return WRITES[type(value)](value)


def joined(values: Iterable[Any]) -> bytes:
    return b"".join(map(opcodes, values))


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if value < 1 << 31 else b"\x8a\x0a" + value.to_bytes(10, "little")


WRITES: Mapping[type, Callable[[Any], bytes]] = {
    bool: lambda value: b"\x88" if value else b"\x89",
    int: number,
    str: lambda value: b"X" + struct.pack("<I", len(value)) + value.encode(),
    tuple: lambda value: b"(" + joined(value) + b"t",
    list: lambda value: b"](" + joined(value) + b"e",
    dict: lambda value: b"}(" + joined(part for item in value.items() for part in item) + b"u",
    Named: lambda value: f"c{value.module}\n{value.name}\n".encode(),
    Called: lambda value: joined((value.function, value.arguments)) + b"R",
    Persistent: lambda value: opcodes(value.parts) + b"Q",
}


def tensor(array: Any, key: str = "0", **other: Any) -> Called:
    """A tensor that fills its storage; ``other`` replaces parts of it."""
    array = np.asarray(array)
    strides = tuple(stride // array.itemsize for stride in np.ascontiguousarray(array).reshape(array.shape).strides)
    told = {"count": array.size, "offset": 0, "shape": array.shape, "strides": strides} | other
    kind = Named("torch", KINDS[array.dtype.str])
    storage = Persistent(("storage", kind, key, "cpu", told["count"]))
    hooks = Called(Named("collections", "OrderedDict"))
    parts = (storage, told["offset"], told["shape"], told["strides"], False, hooks)
    return Called(Named("torch._utils", "_rebuild_tensor_v2"), parts)


def old_file(weights: Any, storages: Mapping[str, bytes], itemsize: int = 4) -> bytes:
    """The format of PyTorch up to 1.5."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    data = b"".join(map(pickled, (MAGIC, 1001, system, weights, [*storages])))
    return data + b"".join(struct.pack("<q", len(numbers) // itemsize) + numbers for numbers in storages.values())


def zip_file(weights: Any, storages: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The format of PyTorch since 1.6."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled(weights))
        for key, numbers in storages.items():
            archive.writestr(f"archive/data/{key}", numbers)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


FORMATS = {"old": old_file, "zip": zip_file}


def file_of(arrays: Mapping[str, Any], kind: str = "zip") -> bytes:
    """A file of arrays of ``float32``, by name."""
    arrays = {name: np.asarray(array, "<f4") for name, array in arrays.items()}
    weights = {name: tensor(array, str(place)) for place, (name, array) in enumerate(arrays.items())}
    return FORMATS[kind](weights, {str(place): array.tobytes() for place, array in enumerate(arrays.values())})
