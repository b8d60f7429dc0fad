"""Photos' files: the SHA-256 that each is known by whatever its name, and the faults of those that are no photo."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.errors import ImageError
from models.file_kinds import FIRST_BYTES, other_kind, photo_format, to_save
from models.photo import read_photo

if TYPE_CHECKING:  # it loads PyArrow, which would take memory from the processes that decode
    from trainer.data.dataset import LabeledPhoto

_THREADS: Final = 8
_AT_A_TIME: Final = 1024
_MEANT_FOR_PHOTOS: Final = frozenset(
    {".heic", ".heif", ".svg", ".psd", ".pdf", ".jp2", ".jxl", ".ico", ".tga", ".eps", ".raw", ".cr2", ".nef", ".dng"}
)


class FaultKind(StrEnum):
    """What is wrong with a file; values that :class:`models.errors.ImageFault` also has are spelled as there."""

    TRUNCATED = "truncated"
    UNSUPPORTED = "unsupported"
    WRONG_EXTENSION = "wrong_extension"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    REFUSED = "refused"
    DOWNLOAD = "download"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    CHANGED = "changed"


@dataclass(frozen=True)
class PhotoFault:
    """Why a photo cannot be used; the message is for people."""

    kind: FaultKind
    message: str


def changed(path: Path) -> PhotoFault:
    """The fault of a file that was replaced since its SHA-256 was noted: its label may not fit any more."""
    msg = f"Expected {path} as it was when its SHA-256 was noted, it holds other bytes; check its label and try again."
    return PhotoFault(FaultKind.CHANGED, msg)


def hash_photos(
    photos: "Sequence[LabeledPhoto]", on_photo: Callable[[int, int], None] = lambda done, total: None
) -> "tuple[list[tuple[LabeledPhoto, str]], list[tuple[LabeledPhoto, PhotoFault]]]":
    """The photos that can be used, each with the SHA-256 of its file, and the others, each with the reason."""
    hashed: list[tuple[LabeledPhoto, str]] = []
    unread: list[tuple[LabeledPhoto, PhotoFault]] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(photos), _AT_A_TIME):  # a pool keeps a record of all that it is given
            some = photos[start : start + _AT_A_TIME]
            for done, (photo, answer) in enumerate(zip(some, pool.map(_read, some), strict=True), start=start + 1):
                if isinstance(answer, str):
                    hashed.append((photo, answer))
                else:
                    unread.append((photo, answer))
                on_photo(done, len(photos))
    return hashed, unread


def _read(photo: "LabeledPhoto") -> str | PhotoFault:
    if photo.error is not None:
        return PhotoFault(FaultKind(photo.error.fault), str(photo.error))
    try:
        sha256 = file_sha256(photo.path)
    except ImageError as error:
        return PhotoFault(FaultKind(error.fault), str(error))
    return sha256 if photo.sha256 in {None, sha256} else changed(photo.path)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a photo's file, in hex; an ImageError if it cannot be read."""
    return hashlib.sha256(read_photo(path)).hexdigest()


def holds(path: Path, sha256: str) -> bool:
    """Whether a file can be read and has this SHA-256."""
    try:
        return file_sha256(path) == sha256
    except ImageError:
        return False


def unsupported_fault(data: bytes) -> PhotoFault | None:
    """The fault of a file in a known format that is none of ours; None if its bytes do not tell, or are damaged."""
    known = None if photo_format(data) else other_kind(data)
    return PhotoFault(FaultKind.UNSUPPORTED, known) if known else None


def stray_fault(path: Path) -> PhotoFault | None:
    """The fault of a file whose name does not end like a photo's; None if it is not meant as a photo."""
    try:
        data = read_photo(path)[:FIRST_BYTES]
    except ImageError:
        return None
    suffix = path.suffix.lower()
    if photo := photo_format(data):
        return PhotoFault(FaultKind.WRONG_EXTENSION, f"Its content is {photo}, its name is {path.name}; rename it.")
    if suffix in _MEANT_FOR_PHOTOS:
        return PhotoFault(FaultKind.UNSUPPORTED, other_kind(data) or to_save(f"a file of the kind {suffix}"))
    return None
