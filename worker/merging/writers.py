"""Files that a result is written into, by the ending of their name."""

from abc import abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from worker.merging.cells import json_cells, json_text, text_cells
from worker.merging.csv_rows import CsvRows
from worker.merging.formula import inert_cells
from worker.sources.readers import JSON_FIELD

__all__ = ["OUTPUT_SUFFIXES", "ResultWriter", "open_writer"]

OUTPUT_SUFFIXES: Final = (".parquet", ".csv", ".jsonl")


class ResultWriter(AbstractContextManager["ResultWriter"], Protocol):
    """Writes a result, a table at a time."""

    @abstractmethod
    def write(self, table: pa.Table) -> None:
        """Write the next rows."""


def open_writer(path: Path, suffix: str, schema: pa.Schema, inert: frozenset[str]) -> ResultWriter:
    """A writer of a new file.

    Args:
        path: the file, whatever its name; there must be none yet, nor a link.
        suffix: one of ``OUTPUT_SUFFIXES``.
        schema: of every table.
        inert: columns that start no formula in a CSV, their names included.
    """
    match suffix:
        case ".csv":
            return _CsvWriter(path, schema, inert)
        case ".jsonl":
            return _JsonlWriter(path, schema)
    return _ParquetWriter(path, schema)


class _ParquetWriter:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = path.open("xb")
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with self._file:
            self._writer.close()


class _TextWriter:
    """Shared by CSV and JSONL: a UTF-8 file that is closed at the end."""

    def __init__(self, path: Path) -> None:
        self.file: TextIO = path.open("x", encoding="utf-8", newline="")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()


class _CsvWriter(_TextWriter):
    def __init__(self, path: Path, schema: pa.Schema, inert: frozenset[str]) -> None:
        super().__init__(path)
        self._inert = inert
        self._rows = CsvRows(self.file)
        self._rows.write([[cell for name in schema.names for cell in self._shown(name, [name])]])

    def write(self, table: pa.Table) -> None:
        columns = (self._shown(name, text_cells(table.column(name))) for name in table.column_names)
        self._rows.write(zip(*columns, strict=True))

    def _shown(self, name: str, cells: list[object]) -> list[object]:
        return inert_cells(cells) if name in self._inert else cells


class _JsonlWriter(_TextWriter):
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        super().__init__(path)
        self._nested = {field.name for field in schema if field.metadata == JSON_FIELD}

    def write(self, table: pa.Table) -> None:
        names = table.column_names
        columns = [json_cells(table.column(name), nested=name in self._nested) for name in names]
        for cells in zip(*columns, strict=True):
            self.file.write(json_text(dict(zip(names, cells, strict=True))) + "\n")
