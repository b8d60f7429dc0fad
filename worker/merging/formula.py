"""Cells of a CSV that no spreadsheet takes for a formula.

OWASP, "CSV Injection": a cell that begins with one of a few characters is computed when the file is opened, and may
start a program, or send what is beside it to a stranger. An apostrophe before it makes it text.
"""

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["inert", "inert_cells"]

_BEGINS: Final = re.compile(r"[\s\x00-\x1f\x7f\ufeff\u200b]*[=+\-@＝＋－＠]|[\t\r\n]")
_NUMBER: Final = re.compile(r"[+-][.,]?[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?")


def inert(cell: object) -> object:
    """A cell that starts no formula: a text that would is put behind an apostrophe, anything else stays as it is.

    A text would where it begins with ``=``, ``+``, ``-`` or ``@`` (of full width, too), after blanks or at once, or
    with a tab or a line break. A signed number such as ``-5`` or ``+3.2`` does not count: it is what it says.
    """
    if isinstance(cell, str) and _BEGINS.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def inert_cells(cells: Iterable[object]) -> list[object]:
    """:func:`inert` of each cell."""
    return [inert(cell) for cell in cells]
