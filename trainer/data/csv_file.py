"""The small CSV files of a run, whole or absent; file names that are no UTF-8 keep their bytes."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from models.whole_file import replace_file
from worker.merging.csv_rows import CsvRows

__all__ = ["write_rows"]


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a header and rows."""
    text = io.StringIO(newline="")
    writer = CsvRows(text)
    writer.write([header])
    writer.write(rows)
    replace_file(path, text.getvalue().encode(errors="surrogateescape"))
