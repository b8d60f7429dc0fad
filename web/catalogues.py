"""Catalogues for new jobs: uploads, places on the server, and previews of their first rows."""

import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from catalogue.catalogue import NoImageColumnError, check_kind, open_catalogue
from catalogue.photo import Limits, fault_words
from catalogue.text_file import EncodingError
from catalogue.urls import cell_texts, is_elsewhere, is_url
from models.errors import HangtagError, ImageError, ImageFault, InputError
from models.text import one_line
from pages.tiles import data_uri
from web.pictures import drawn_picture, fetch_photos
from web.settings import WebSettings

_WEB: Final = ("http://", "https://")
_PREFIX: Final = "hangtag-uploads-"
_KEPT_S: Final = 6 * 3600.0
_ROWS: Final = 6
_LONGEST_CELL: Final = 200
_SIDE: Final = 96
_WITHIN_S: Final = 6.0
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_FIELDS: Final = {
    "--encoding": "Encoding",
    "--group-column": "Product column",
    "--image-column": "Photo column",
    "--image-root": "Image root",
    "--job": "Name",
    "--precision": "Precision",
}
"""Options of the commands → fields of the form."""
ENCODINGS: Final = {
    "cp1252": "Western Europe, Excel",
    "iso8859_2": "Central Europe",
    "cp1250": "Central Europe, Excel",
    "cp1251": "Cyrillic, Excel",
    "koi8_r": "Cyrillic",
    "cp1253": "Greek, Excel",
    "cp1254": "Turkish, Excel",
    "cp1255": "Hebrew, Excel",
    "cp1256": "Arabic, Excel",
    "gb18030": "Chinese",
    "big5": "Chinese, traditional",
    "cp932": "Japanese, Excel",
    "euc_jp": "Japanese",
    "cp949": "Korean, Excel",
    "mac_roman": "Western Europe, Mac",
    "cp850": "Western Europe, DOS",
    "utf-16-le": "Unicode, 2 bytes",
    "utf-16-be": "Unicode, 2 bytes, reversed",
}
"""Encodings that a text catalogue may have instead of UTF-8 → where they are usual."""


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
        """A place that may be read.

        Raises:
            InputError: it lies elsewhere.
        """
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


class Uploads:
    """Uploaded catalogues, kept for some hours in the folder for temporary files until a job is made of them."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def keep(self, name: str, pieces: Iterable[bytes]) -> str:
        """Write a file, and give its token; of its name only harmless characters are kept.

        Raises:
            InputError: no catalogue has such an ending.
        """
        safe = _safe_name(name)
        check_kind(Path(safe).suffix, safe)
        _forget_old()
        if self._folder is None or not self._folder.is_dir():
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        token = secrets.token_hex(12)
        place = self._folder / token / safe
        place.parent.mkdir()
        with place.open("xb") as file:
            for piece in pieces:
                file.write(piece)
        return token

    def path(self, token: str) -> Path:
        """The file.

        Raises:
            InputError: it is not here any more.
        """
        place = self._folder / token if self._folder and re.fullmatch(r"[0-9a-f]{24}", token) else None
        found = next(place.iterdir(), None) if place and place.is_dir() else None
        if found is None:
            msg = "Expected a file that was sent, it is not here any more; choose it again."
            raise InputError(msg)
        return found

    def forget(self, token: str) -> None:
        """Remove a file, if it is here."""
        with suppress(InputError):
            shutil.rmtree(self.path(token).parent, ignore_errors=True)

    def close(self) -> None:
        """Remove all of them."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _forget_old() -> None:
    """Remove uploads of hours ago, also those of servers of this user that were killed."""
    before = time.time() - _KEPT_S
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()  # a link, or a folder of somebody else, may lead anywhere
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            for old in [one for one in (*folder.iterdir(), folder) if one.lstat().st_mtime < before]:
                shutil.rmtree(old, ignore_errors=True)


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

    source: str
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
        return Preview(source, tuple(error.columns), refused="Which column names the photo? Choose it.")
    except EncodingError as error:
        return Preview(source, refused=str(error))
    first = next(catalogue.batches).slice(0, _ROWS)
    cells = cell_texts(first.column(catalogue.image_column))
    return Preview(
        source=catalogue.source,
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
    return [one_line(cell or "", _LONGEST_CELL) for cell in cells]


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


@contextmanager
def in_words_of_the_form(upload: Path | None = None) -> Iterator[None]:
    """Let errors name fields of the form instead of options, and an upload by its name alone."""
    try:
        yield
    except HangtagError as error:
        error.args = (form_words(str(error), upload),)
        raise


def form_words(text: str, upload: Path | None = None) -> str:
    """A message of the commands, for a person who sees the form."""
    for place in {upload, upload.resolve()} if upload else ():
        text = text.replace(str(place), place.name).replace(str(place.parent), "the image root")
    options = "|".join(_FIELDS)
    for command, word in {"Pass": "Choose", "pass": "choose"}.items():
        text = re.sub(rf"\b{command} (?=[^.;]*(?:{options})\b)", f"{word} ", text)
    return re.sub(rf"(?:{options})\b", lambda option: f"“{_FIELDS[option[0]]}”", text)
