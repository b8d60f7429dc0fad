"""Writes the small CSV files of a run atomically. File names need not be UTF-8."""

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from catalogue.writers import csv_lines, escape_formula
from models.whole_file import replace_file
from trainer.request import TABLE_SUFFIXES

_QUOTED: Final = "file:///"


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a header and rows. Cells that would start a formula are escaped; ``unescape_formula`` reverses this."""
    text = "".join(csv_lines(chain([header], map(guarded_cells, rows))))
    replace_file(path, text.encode(errors="surrogateescape"))


def guarded_cells(row: Iterable[object]) -> list[object]:
    """The cells of a row, escaped if they would start a formula."""
    return [escape_formula(str(cell)) if isinstance(cell, str | Path) else cell for cell in row]


def path_cell(path: Path) -> str:
    """Format a path for a CSV. A path that CSV would change becomes a ``file:///`` URI (RFC 8089)."""
    text = str(path)
    if path.is_absolute() and (not text.isprintable() or text != text.strip()):
        return path.as_uri()
    return text


def cell_path(cell: str) -> Path:
    """The inverse of :func:`path_cell`."""
    if cell.startswith(_QUOTED):
        return Path(os.fsdecode(unquote_to_bytes(cell.removeprefix("file://"))))
    return Path(cell)


def data_folder(data: Path) -> Path:
    """The folder to which paths are relative: the folder of the photos or of their table."""
    return data.parent if data.suffix.lower() in TABLE_SUFFIXES and not data.is_dir() else data


def path_in(data: Path, path: Path) -> str:
    """A path relative to the data's folder, or the full path of a photo outside the folder."""
    folder = data_folder(data)
    place = path if path.is_relative_to(folder) else path.parent.resolve() / path.name
    return str(place.relative_to(folder) if place.is_relative_to(folder) else path)
