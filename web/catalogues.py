"""Catalogues for new jobs: uploads, paths on the server, and previews of the first rows."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import BoundedSemaphore, Thread
from typing import BinaryIO, Final, ParamSpec, TypeVar

import pyarrow as pa

from catalogue.catalogue import NoImageColumnError, check_kind, open_catalogue
from catalogue.photo import DownloadLimits, fault_words
from catalogue.text_file import LIKELY_ENCODINGS, EncodingError
from catalogue.urls import cell_texts, is_url, is_url_or_data, readable
from models.errors import HangtagError, ImageError, ImageFault, InputError
from models.text import one_line
from pages.tiles import data_uri
from web.pictures import fetch_photos
from web.responses import Problem
from web.settings import WebSettings

_WEB: Final = ("http://", "https://")
_ROWS: Final = 6
_LONGEST_CELL: Final = 200
_SIDE: Final = 96
_CATALOGUE_S: Final = 15.0
_WITHIN_S: Final = 6.0
_AT_ONCE: Final = 4
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
ENCODINGS: Final = (*LIKELY_ENCODINGS, "utf-16-le", "utf-16-be")
"""Encodings to choose from if a text catalogue is not UTF-8."""


class Places:
    """The paths on the server that users may read.

    If neither a token nor ``--data`` is set, every path is allowed (``open``). Otherwise, only paths under ``roots``
    are allowed, after links are resolved.
    """

    def __init__(self, settings: WebSettings) -> None:
        self.roots = tuple(folder.resolve() for folder in settings.data or ())
        self._model = settings.model
        self.open = settings.is_personal and not settings.data

    def checked(self, place: str, what: str) -> str:
        """Return the path or URL if users may read it. Raises InputError."""
        if self.open or place.lower().startswith(_WEB):
            return place
        with suppress(OSError, ValueError):
            if not is_url(place) and any(Path(place).resolve().is_relative_to(root) for root in self.roots):
                return str(Path(place).resolve())
        there = ", ".join(map(str, self.roots)) or "none was given"
        msg = f"Expected {what} under a folder of --data ({there}), got {place[:200]!r}."
        raise InputError(msg)

    def checked_model(self, model: str) -> str:
        """Return the model if users may load it. Unless ``open``, a path must be under ``roots``."""
        own = self.open or model == self._model or not Path(model).exists()
        return model if own else self.checked(model, "the model")


class SlowCalls:
    """Runs slow functions in threads, a few at a time."""

    def __init__(self) -> None:
        self._left = BoundedSemaphore(_AT_ONCE)

    async def call(self, function: Callable[_Given, _Result], /, *args: _Given.args, **named: _Given.kwargs) -> _Result:
        """Call the function in a thread. Raises Problem 429 if too many calls run."""
        if not self._left.acquire(blocking=False):
            raise Problem(429, "Several catalogues are being read; try again in a few seconds.", {"retry-after": "5"})
        future: Future[_Result] = Future()

        def run() -> None:
            try:
                try:
                    result = function(*args, **named)
                finally:
                    self._left.release()
                future.set_result(result)
            except BaseException as error:  # noqa: BLE001 - the waiting request gets this error
                future.set_exception(error)

        Thread(target=run, name="catalogue", daemon=True).start()
        return await asyncio.shield(asyncio.wrap_future(future))


@contextmanager
def uploaded(name: str, file: BinaryIO) -> Iterator[Path]:
    """Store an uploaded file in a temporary folder. Errors contain the file's original name.

    Raises:
        InputError: a catalogue cannot have this extension.
    """
    safe = _safe_name(name)
    check_kind(Path(safe).suffix, safe)
    with tempfile.TemporaryDirectory(prefix="hangtag-upload-") as folder:
        place = Path(folder).resolve() / safe
        with place.open("xb") as copy:
            shutil.copyfileobj(file, copy)
        try:
            yield place
        except HangtagError as error:
            error.args = (str(error).replace(str(place), safe).replace(str(place.parent), "the image root"),)
            raise


def _safe_name(name: str) -> str:
    last = Path(name.replace("\\", "/")).name
    stem, suffix = Path(last).stem, Path(last).suffix.lower()
    return f"{_UNSAFE.sub('-', stem).strip('-.')[:80] or 'catalogue'}{_UNSAFE.sub('', suffix)[:12]}"


@dataclass(frozen=True)
class Preview:
    """The first rows of a new job.

    Attributes:
        image_column: the column with the photos, or empty if no column was detected.
        image_root: where relative paths start.
        rows: cells as text. Long cells are shortened.
        photos: the rows' photos or errors. :func:`drawn` replaces the photos with small ``data:`` URIs.
        relative: whether some photos have relative paths.
        refused: why the rows cannot be read, such as an unknown image column. May be empty.
    """

    columns: tuple[str, ...] = ()
    image_column: str = ""
    image_root: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    photos: tuple[bytes | str | ImageError, ...] = ()
    relative: bool = False
    refused: str = ""

    @property
    def has_photos(self) -> bool:
        """Whether a photo can be shown."""
        return any(isinstance(photo, str) for photo in self.photos)

    @property
    def faults(self) -> str:
        """The distinct reasons for missing photos."""
        return fault_words(photo for photo in self.photos if isinstance(photo, ImageError))


def preview(
    source: str,
    image_column: str | None = None,
    image_root: str | None = None,
    encoding: str | None = None,
    allow_hosts: Sequence[str] = (),
    image_suffix: str | None = None,
) -> Preview:
    """Read the first rows and their photos, as a labelling job does.

    Hosts in ``allow_hosts`` may have private addresses.

    Raises:
        InputError: the source cannot be used.
        JobError: the source cannot be downloaded.
    """
    try:
        catalogue = open_catalogue(
            source,
            image_column,
            image_root,
            encoding,
            allow_hosts,
            image_suffix=image_suffix,
            confined=True,
            within_s=_CATALOGUE_S,
        )
    except NoImageColumnError as error:
        return Preview(tuple(error.columns), refused="Choose the column that contains the photos.")
    except EncodingError as error:
        return Preview(refused=str(error).replace(source, Path(source).name))
    first = next(catalogue.batches).slice(0, _ROWS)
    cells = catalogue.photo_cells(first, "backslashreplace")
    return Preview(
        columns=tuple(catalogue.schema.names),
        image_column=catalogue.image_column,
        image_root=catalogue.image_root,
        rows=tuple(zip(*(_texts(column) for column in first.columns), strict=True)),
        photos=_photos(catalogue.image_root, cells, allow_hosts),
        relative=any(cell and not is_url_or_data(cell) for cell in cells),
    )


def _texts(column: pa.Array) -> list[str]:
    try:
        cells = cell_texts(column)
    except (pa.ArrowException, UnicodeDecodeError):
        cells = [None if cell is None else str(cell) for cell in column.to_pylist()]
    return [one_line(readable(cell or ""), _LONGEST_CELL) for cell in cells]


def _photos(root: str, cells: list[str | None], allow_hosts: Sequence[str]) -> tuple[bytes | ImageError, ...]:
    try:
        photos = dict(
            fetch_photos(dict(enumerate(cells)), root, allow_hosts, DownloadLimits(total_s=_WITHIN_S), _WITHIN_S)
        )
    except HangtagError as error:  # for example, without credentials
        return (ImageError(str(error), ImageFault.DOWNLOAD),) * len(cells)
    return tuple(photo for _, photo in sorted(photos.items()))


async def drawn(shown: Preview, draw: Callable[[bytes, int], Awaitable[bytes]]) -> Preview:
    """Replace the preview's photos with thumbnails from ``draw``."""
    return replace(shown, photos=tuple(await asyncio.gather(*(_small(photo, draw) for photo in shown.photos))))


async def _small(photo: bytes | str | ImageError, draw: Callable[[bytes, int], Awaitable[bytes]]) -> str | ImageError:
    if not isinstance(photo, bytes):
        return photo
    try:
        return data_uri(await draw(photo, _SIDE), "jpeg")
    except ImageError as error:
        return error
    except HangtagError as error:  # for example, if a process does not start
        return ImageError(str(error), ImageFault.DOWNLOAD)
