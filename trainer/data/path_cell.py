"""A file's path in a cell of a CSV in UTF-8, whatever bytes its name has."""

import os
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

__all__ = ["cell_path", "path_cell"]

_QUOTED: Final = "file:///"


def path_cell(path: Path) -> str:
    """The path as it stands; one that text would not bring back is a ``file:///`` URI (RFC 8089), its bytes quoted.

    That are absolute paths with bytes that are no UTF-8, with line breaks and the like, or with blanks at an end.
    """
    text = str(path)
    if path.is_absolute() and (not text.isprintable() or text != text.strip()):
        return f"file://{quote_from_bytes(os.fsencode(path))}"
    return text


def cell_path(cell: str) -> Path:
    """The inverse of :func:`path_cell`."""
    if cell.startswith(_QUOTED):
        return Path(os.fsdecode(unquote_to_bytes(cell.removeprefix("file://"))))
    return Path(cell)
