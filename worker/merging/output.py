"""Where a person wants a result: whether all of it can be written there, and the writers by format."""

import os
import re
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import InputError
from worker.merging.cells import CsvRows, inert_cells, json_cells, json_text, text_cells
from worker.sources.catalogue import Catalogue
from worker.sources.readers import JSON_FIELD

__all__ = ["OUTPUT_SUFFIXES", "ResultWriter", "check_output", "open_writer", "writable"]

OUTPUT_SUFFIXES: Final = (".parquet", ".csv", ".jsonl")
_LONGEST_NAME: Final = 200
"""Bytes: names beside it are longer, and file systems know 255 at most."""
_UNWRITABLE: Final = (pa.ArrowException, ValueError, TypeError, LookupError, OverflowError, RecursionError)
"""What is raised by cells that Arrow, Python's times or JSON cannot tell."""
_Try = Callable[[pa.Array], object]
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)/+(.*)")


def check_output(output: Path, *, excel_safe: bool = False) -> None:
    """Refuse an output that cannot be written.

    Raises:
        InputError: it is no file of this machine; its ending is not one we write, or no .csv where that is for
            spreadsheets; its folder does not exist, or cannot be written in.
    """
    _check_local(output)
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        msg = f"Expected an output that ends in {', '.join(OUTPUT_SUFFIXES)}, got {output}."
        raise InputError(msg)
    if excel_safe and output.suffix.lower() != ".csv":
        msg = (
            f"Expected an output that ends in .csv with --excel-safe, got {output}: no cell of another format is "
            "taken for a formula; leave the option out."
        )
        raise InputError(msg)
    if not output.parent.is_dir():
        msg = f"Expected the folder {output.parent} to exist; make it first."
        raise InputError(msg)
    _check_writable(output.parent)
    if len(os.fsencode(output.name)) > _LONGEST_NAME:
        msg = (
            f"Expected the name of --output to have at most {_LONGEST_NAME} bytes, got {output.name[:60]}…; shorten it."
        )
        raise InputError(msg)
    if output.is_dir():
        msg = f"Expected {output} to be a file, it is a folder."
        raise InputError(msg)


def _check_local(output: Path) -> None:
    """Refuse a URL; as a path it has lost one of its slashes."""
    url = _URL.match(str(output))
    if url and not Path(url[1]).exists():
        msg = (
            f"Expected a file on this machine as --output, got {url[1]}//{url[2]}; name a local file and copy it "
            "there, or let the queue keep results in S3: hangtag submit --jobs s3://bucket/jobs."
        )
        raise InputError(msg)


def _check_writable(folder: Path) -> None:
    """Write a file without a name: what the permissions say is not what every file system does."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        msg = (
            f"Expected to write in the folder {folder}, the system answered {error.strerror}; name another --output, "
            "or make room or permission there."
        )
        raise InputError(msg) from error


def writable(catalogue: Catalogue, suffix: str) -> Catalogue:
    """The same catalogue, which checks each cell as its rows are read, before any photo is labelled.

    The cells of the image column are left: one that is no text fails its row and no other.

    Raises:
        InputError: it has bytes in a column, and the output is text. Reading its rows raises the same where a cell
            cannot be written.
    """
    for field in catalogue.schema:
        if suffix != ".parquet" and any(map(_is_bytes, _leaves(field.type))):
            msg = f"The column {field.name} holds bytes, which {suffix} cannot; name a .parquet --output."
            raise InputError(msg)
    return replace(catalogue, batches=_tried_batches(catalogue, suffix))


class ResultWriter(AbstractContextManager["ResultWriter"], Protocol):
    """Writes a result, a table at a time."""

    @abstractmethod
    def write(self, table: pa.Table) -> None:
        """Write the next rows."""


def open_writer(path: Path, suffix: str, schema: pa.Schema, inert: frozenset[str]) -> ResultWriter:
    """A writer of a new file."""
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


def _leaves(kind: pa.DataType) -> Iterator[pa.DataType]:
    """The types of the values in a cell, however deep."""
    if pa.types.is_dictionary(kind):
        yield from _leaves(kind.value_type)
    elif pa.types.is_nested(kind):
        for number in range(kind.num_fields):
            yield from _leaves(kind.field(number).type)
    else:
        yield kind


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _tried_batches(catalogue: Catalogue, suffix: str) -> Iterator[pa.RecordBatch]:
    tries = {field.name: _tries(field, suffix) for field in catalogue.schema if field.name != catalogue.image_column}
    rows = 0
    for batch in catalogue.batches:
        for name, attempts in tries.items():
            try:
                _try(batch.column(name), attempts)
            except _UNWRITABLE as error:
                row, why = _first_unwritable(batch.column(name), attempts) or (1, error)
                msg = (
                    f"Expected cells that {suffix} can hold in the column {name!r} of {catalogue.source}, "
                    f"row {rows + row:,} has another ({str(why)[:200]}); write it as text in UTF-8, or leave the "
                    "column out."
                )
                raise InputError(msg) from error
        rows += batch.num_rows
        yield batch


def _tries(field: pa.Field, suffix: str) -> list[_Try]:
    """What shows that a column's cells can be written; simple ones always can, if they are what they say."""
    tries: list[_Try] = [lambda cells: cells.validate(full=True)]
    nested = field.metadata == JSON_FIELD
    if suffix == ".csv" and not _is_simple(field.type):
        tries.append(lambda cells: text_cells(pa.chunked_array([cells])))
    if suffix == ".jsonl" and (nested or not _is_simple(field.type)):
        tries.append(lambda cells: json_text(json_cells(pa.chunked_array([cells]), nested=nested)))
    return tries


def _is_simple(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
    )


def _try(cells: pa.Array, tries: list[_Try]) -> None:
    for attempt in tries:
        attempt(cells)


def _first_unwritable(cells: pa.Array, tries: list[_Try]) -> tuple[int, Exception] | None:
    """The first row, from 1, whose cell cannot be written by itself, and why."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    for row in range(len(cells)):
        try:
            _try(cells.take([row]), tries)
        except _UNWRITABLE as error:
            return row + 1, error
    return None
