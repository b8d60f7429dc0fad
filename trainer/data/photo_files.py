"""Photos' files: the SHA-256 that each is known by whatever its name, and the faults of those that are no photo."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from catalogue.photo import Photo, Wanted
from catalogue.photos import Photos, open_photos
from catalogue.urls import scheme_of, shown
from models.errors import ImageError, InputError
from models.file_kinds import FIRST_BYTES, is_text, other_kind, photo_format, to_save
from models.photo import read_photo
from models.text import one_line
from models.whole_file import write_beside
from trainer.data.dataset import Dataset, LabeledPhoto

if TYPE_CHECKING:
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


_CUT: Final = 300
"""Characters of a URL that a message of its download shows."""
_LONGEST: Final = 2000
_NAME: Final = 100
"""Characters of a URL's path that the name of its file shows."""
_DIGITS: Final = 16
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9-]+")


def fetch_photos(
    dataset: Dataset, allow_hosts: Sequence[str] | None, cache: Path, advance: Callable[[int, int], None]
) -> Dataset:
    """The data set with the photos from elsewhere on this machine, or with the reason why they are not.

    They are fetched as a worker fetches them, each URL once, into ``photos/`` in the cache. ``allow_hosts`` are
    ``HOST:PORT`` of hosts whose addresses are not public; ``advance`` is told (fetched, to fetch).
    """
    cells = [photo.cell for photo in dataset.photos if photo.cell is not None]
    if not cells:
        return dataset
    root = dataset.table.image_root if dataset.table else str(dataset.source.parent)
    with closing(open_photos(root, allow_hosts or ())) as photos:
        places = {cell: _place(cache / "photos", photos.url_of(cell) or cell) for cell in dict.fromkeys(cells)}
        try:
            failures = _fetch(photos, {cell: place for cell, place in places.items() if not _is_here(place)}, advance)
        except OSError as error:
            msg = f"Expected to keep photos in {cache}, got {error}; set XDG_CACHE_HOME to a folder with room."
            raise InputError(msg) from error

    def brought(photo: LabeledPhoto) -> LabeledPhoto:
        if photo.cell is None:
            return photo
        return replace(photo, path=places[photo.cell], error=failures.get(photo.cell))

    return replace(dataset, photos=tuple(map(brought, dataset.photos)))


def _fetch(photos: Photos, places: Mapping[str, Path], advance: Callable[[int, int], None]) -> dict[str, ImageError]:
    cells, failures = list(places), dict[str, ImageError]()
    for photo in photos.bring([Wanted(0, number, cell) for number, cell in enumerate(cells)], advance):
        cell = cells[photo.wanted.row]
        if isinstance(photo.outcome, bytes):
            places[cell].parent.mkdir(parents=True, exist_ok=True)
            write_beside(places[cell], photo.outcome).replace(places[cell])
        elif photo.outcome is not None:
            failures[cell] = ImageError(failure(photos, photo), photo.outcome.fault)
    return failures


def failure(photos: Photos, photo: Photo) -> str:
    """Why a photo could not be had, in a line that anybody may read: without what its URL is signed with."""
    url, message = photos.url_of(photo.wanted.cell), str(photo.outcome)
    return one_line(message.replace(url[:_CUT], shown(url[:_CUT])) if url else message, _LONGEST)


def _place(folder: Path, url: str) -> Path:
    """The file of a URL's photo, whose name shows the URL without its signature, and no ending, which may be wrong."""
    digest = hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
    if scheme_of(url) == "data":
        return folder / "data" / digest
    host, _, path = shown(url).partition("://")[2].partition("/")
    return folder / _UNUSUAL.sub("_", host)[:_NAME] / f"{_UNUSUAL.sub('_', path)[-_NAME:]}-{digest}"


def _is_here(place: Path) -> bool:
    """Whether the cache has a photo; what is text is an error that its host may have mended since."""
    try:
        with place.open("rb") as file:
            return not is_text(file.read(FIRST_BYTES))
    except FileNotFoundError:
        return False
