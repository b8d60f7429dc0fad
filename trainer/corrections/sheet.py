"""A file that a person has reviewed photos in: a ``review.csv`` with their marks, or rows of ``corrections.csv``."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from models.errors import InputError
from trainer.corrections.guarded import unguarded
from trainer.corrections.store import refuse_rows
from trainer.corrections.word import COLUMNS, Word, parse_word
from worker.sources.catalogue import IMAGE_COLUMNS
from worker.sources.readers import Reader, read_delimited

__all__ = ["Sheet", "SheetOptions", "read_sheet"]

_CORRECTED: Final = "corrected"
_TOP_K: Final = "top_k"
_BEST: Final = re.compile(r"(.+?) [0-9]\.[0-9]{2}(?:; |$)")
"""A label that ``review.csv`` names, the likeliest one first."""


@dataclass(frozen=True)
class SheetOptions:
    """What a file does not say by itself.

    Attributes:
        reviewer: who speaks in rows that name nobody.
        image_column: that names the photos; the obvious one where it is not given.
        image_root: where relative paths start; the file's folder where it is not given.
        prefix: before the names of the columns that Hangtag has added.
        new_labels: labels that are new on purpose, though they look like typing errors of known ones.
    """

    reviewer: str | None = None
    image_column: str | None = None
    image_root: Path | None = None
    prefix: str = ""
    new_labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """What a file says.

    Attributes:
        rows: how many it has.
        timed: words of rows that say when.
        untimed: words of the others, as of the file's own time.
        silent: rows in which nobody has said anything.
        named: labels that the model gave some row, likely or not.
    """

    rows: int
    timed: tuple[Word, ...]
    untimed: tuple[Word, ...]
    silent: int
    named: frozenset[str] = frozenset()


def read_sheet(path: Path, options: SheetOptions, now: datetime) -> Sheet:
    """Read a file row by row; it is used as a whole, or not at all.

    A row says something where its cell under ``corrected`` does; without such a column, where ``label`` is another than
    the first of ``top_k``; without that either, always.

    Raises:
        InputError: it is missing or no CSV, a column is missing, or rows cannot be used: each is named with its reason.
    """
    if not path.is_file():
        msg = f"Expected corrections in a CSV file at {path}, found none; check the path."
        raise InputError(msg)
    reader = read_delimited(path)
    columns = _columns(path, reader.schema.names, options)
    own_time = min(datetime.fromtimestamp(path.stat().st_mtime, UTC), now)
    folder = (options.image_root or path.parent).absolute()
    defaults = {"reviewer": options.reviewer or "", "at": own_time.isoformat()}
    timed: list[Word] = []
    untimed: list[Word] = []
    wrong: list[tuple[int, str]] = []
    named: set[str] = set()
    rows = 0
    for rows, cells in enumerate(_cells(reader, columns), start=1):
        named.update(_BEST.findall(cells.get(_TOP_K, "")))
        said = _said(cells)
        if said is None:
            continue
        given = {name: text for name, text in said.items() if text.strip()}
        try:
            word = parse_word({**defaults, **given}, folder)
            _check_said(word, now)
            (timed if "at" in given else untimed).append(word)
        except ValueError as error:
            hint = "; pass --reviewer NAME" if "expected a reviewer" in str(error) else ""
            wrong.append((rows, f"{error}{hint}"))
    if wrong:
        raise refuse_rows(path, wrong, "none was imported, so mend these and import the file again")
    return Sheet(rows, tuple(timed), tuple(untimed), rows - len(timed) - len(untimed), frozenset(named))


def _check_said(word: Word, now: datetime) -> None:
    if word.is_ahead(now):
        msg = f"expected a time that has been, got {word.at.isoformat()} in at"
        raise ValueError(msg)


def _cells(reader: Reader, columns: Mapping[str, str]) -> Iterator[dict[str, str]]:
    for batch in reader.batches:
        for row in batch.to_pylist():
            yield {column: unguarded(row[name]) for column, name in columns.items()}


def _columns(path: Path, names: Sequence[str], options: SheetOptions) -> dict[str, str]:
    """What is known of a row → the column that says it."""
    wanted = {name: f"{options.prefix}{name}" for name in (*COLUMNS, _TOP_K) if name != "image"}
    found = {name: column for name, column in wanted.items() if column in names}
    image = _image_column(path, names, options.image_column)
    if image is not None and image not in found.values():
        found["image"] = image
    if _CORRECTED in names:
        found[_CORRECTED] = _CORRECTED
    lacks_label = not {"label", _CORRECTED} & set(found)
    if lacks_label or not {"image", "sha256"} & set(found):
        what = "a column label or corrected" if lacks_label else "a column sha256, or one that names the photos"
        msg = f"Expected {what} in {path}, found {', '.join(names)}; name it so, or pass --prefix or --image-column."
        raise InputError(msg)
    return found


def _image_column(path: Path, names: Sequence[str], wanted: str | None) -> str | None:
    if wanted is not None and wanted not in names:
        msg = f"Expected a column {wanted!r} in {path}, found {', '.join(names)}."
        raise InputError(msg)
    by_name = {name.lower(): name for name in reversed(names)}
    return wanted or next((by_name[known] for known in IMAGE_COLUMNS if known in by_name), None)


def _said(cells: dict[str, str]) -> dict[str, str] | None:
    """What a row says, with its label under ``label`` and what it was before under ``was``; none where it is silent."""
    before = cells.get("was") or _best(cells.get(_TOP_K, ""))
    if _CORRECTED in cells:
        corrected = cells[_CORRECTED].strip()
        return {**cells, "label": corrected, "was": before or cells.get("label", "")} if corrected else None
    if _TOP_K in cells and cells.get("label", "").strip() == before.strip():
        return None
    return {**cells, "was": before}


def _best(top_k: str) -> str:
    found = _BEST.match(top_k)
    return found[1] if found else ""
