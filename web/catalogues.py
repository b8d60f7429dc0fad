"""Catalogues for new jobs: uploads, places on the server, and previews of their first rows."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa

from catalogue.catalogue import NoImageColumnError, check_kind, open_catalogue
from catalogue.photo import Limits, fault_words
from catalogue.text_file import LIKELY_ENCODINGS, EncodingError
from catalogue.urls import cell_texts, is_elsewhere, is_url, readable
from models.errors import HangtagError, ImageError, ImageFault, InputError
from models.text import one_line
from pages.tiles import data_uri
from web.pictures import drawn_picture, fetch_photos
from web.settings import WebSettings

_WEB: Final = ("http://", "https://")
_ROWS: Final = 6
_LONGEST_CELL: Final = 200
_SIDE: Final = 96
_WITHIN_S: Final = 6.0
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
ENCODINGS: Final = (*LIKELY_ENCODINGS, "utf-16-le", "utf-16-be")
"""Encodings that a text catalogue may have instead of UTF-8."""


class Places:
    """The places of the server that people may name.

    Without a token and ``--data`` everything that the server's user may read, since only this machine can ask;
    otherwise the folders of ``--data``, links followed. URLs of the web are fetched as the worker fetches them.

    Attributes:
        roots: the folders.
        open: whether people may name every place.
    """

    def __init__(self, settings: WebSettings) -> None:
        self.roots = tuple(folder.resolve() for folder in settings.data or ())
        self._model = settings.model
        self.open = settings.is_personal and not settings.data

    def checked(self, place: str, what: str) -> str:
        """A place that may be read. Raises InputError."""
        if self.open or place.lower().startswith(_WEB):
            return place
        with suppress(OSError, ValueError):
            if not is_url(place) and any(Path(place).resolve().is_relative_to(root) for root in self.roots):
                return str(Path(place).resolve())
        there = ", ".join(map(str, self.roots)) or "none was given"
        msg = f"Expected {what} under a folder of --data ({there}), got {place[:200]!r}; name a place there."
        raise InputError(msg)

    def checked_model(self, model: str) -> str:
        """A model that may be used: a name of the registry, the model that the server was started with, or as above."""
        own = self.open or model == self._model or not Path(model).exists()
        return model if own else self.checked(model, "the model")


@contextmanager
def uploaded(name: str, file: BinaryIO) -> Iterator[Path]:
    """A file that was sent, in a folder of its own until the block ends; errors name it as it was sent.

    Raises:
        InputError: no catalogue has such an ending.
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
    """The last part of a name, in letters, digits, ``.``, ``_`` and ``-``; its ending is kept."""
    last = Path(name.replace("\\", "/")).name
    stem, suffix = Path(last).stem, Path(last).suffix.lower()
    return f"{_UNSAFE.sub('-', stem).strip('-.')[:80] or 'catalogue'}{_UNSAFE.sub('', suffix)[:12]}"


@dataclass(frozen=True)
class Preview:
    """The first rows that a job would read.

    Attributes:
        image_column: the column with the photos; empty if a person must choose it.
        image_root: where relative paths start.
        rows: cells as text, cut if they are long.
        photos: of these rows, as small ``data:`` URIs, or why there is none.
        relative: whether a photo is named by a relative path.
        refused: what a person must choose before there are rows.
    """

    columns: tuple[str, ...] = ()
    image_column: str = ""
    image_root: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    photos: tuple[str | ImageError, ...] = ()
    relative: bool = False
    refused: str = ""

    @property
    def has_photos(self) -> bool:
        """Whether a photo can be shown."""
        return any(isinstance(photo, str) for photo in self.photos)

    @property
    def faults(self) -> str:
        """Why rows have no photo, each reason once."""
        return fault_words(photo for photo in self.photos if isinstance(photo, ImageError))


def preview(
    source: str,
    image_column: str | None = None,
    image_root: str | None = None,
    encoding: str | None = None,
    allow_hosts: Sequence[str] = (),
) -> Preview:
    """Read the first rows and their photos, as labelling would; ``allow_hosts`` may be asked though they are private.

    Raises:
        InputError: the source cannot be used.
        JobError: it is elsewhere and does not come.
    """
    try:
        catalogue = open_catalogue(source, image_column, image_root, encoding, allow_hosts, confined=True)
    except NoImageColumnError as error:
        return Preview(tuple(error.columns), refused="Which column names the photo? Choose it.")
    except EncodingError as error:
        return Preview(refused=str(error).replace(source, Path(source).name))
    first = next(catalogue.batches).slice(0, _ROWS)
    cells = cell_texts(first.column(catalogue.image_column))
    return Preview(
        columns=tuple(catalogue.schema.names),
        image_column=catalogue.image_column,
        image_root=catalogue.image_root,
        rows=tuple(zip(*(_texts(column) for column in first.columns), strict=True)),
        photos=_photos(catalogue.image_root, cells, allow_hosts),
        relative=any(cell and not is_elsewhere(cell) for cell in cells),
    )


def _texts(column: pa.Array) -> list[str]:
    try:
        cells = cell_texts(column)
    except (pa.ArrowException, UnicodeDecodeError):
        cells = [None if cell is None else str(cell) for cell in column.to_pylist()]
    return [one_line(readable(cell or ""), _LONGEST_CELL) for cell in cells]


def _photos(root: str, cells: list[str | None], allow_hosts: Sequence[str]) -> tuple[str | ImageError, ...]:
    try:
        photos = dict(fetch_photos(dict(enumerate(cells)), root, allow_hosts, Limits(total_s=_WITHIN_S), _WITHIN_S))
    except HangtagError as error:  # such as credentials that this machine lacks
        return (ImageError(str(error), ImageFault.DOWNLOAD),) * len(cells)
    return tuple(_small(photo) if isinstance(photo, bytes) else photo for _, photo in sorted(photos.items()))


def _small(photo: bytes) -> str | ImageError:
    try:
        return data_uri(drawn_picture(photo, _SIDE), "jpeg")
    except ImageError as error:
        return error
