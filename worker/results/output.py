"""Where the result goes: checks that all of it can be written there, and has a writer for each format."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from catalogue.catalogue import Catalogue
from catalogue.readers import JSON_FIELD
from models.errors import InputError
from worker.results.cells import csv_lines, inert, json_cells, json_text, text_cells

OUTPUT_SUFFIXES: Final = (".parquet", ".csv", ".jsonl")
_LONGEST_NAME: Final = 200
"""Bytes of a file name: names beside it are longer, and file systems allow 255."""
UNWRITABLE: Final = (pa.ArrowException, ValueError, TypeError, LookupError, OverflowError, RecursionError)
"""Raised by cells that Arrow, Python's times or JSON cannot express."""
Write = Callable[[pa.Table], None]
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)/+(.*)")


def check_output(output: Path, *, excel_safe: bool = False) -> None:
    """Refuse an output that cannot be written.

    Raises:
        InputError: it is a URL; its ending is none of ours, or not .csv with ``excel_safe``; its folder does not exist,
            or cannot be written to.
    """
    url = _URL.match(str(output))
    if url and not Path(url[1]).exists():  # as a path it has lost one of its slashes
        msg = (
            f"Expected a file on this machine as --out, got {url[1]}//{url[2]}; name a local file and copy it "
            "there, or let the queue keep results in S3: hangtag submit --jobs s3://bucket/jobs."
        )
        raise InputError(msg)
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        msg = f"Expected an output that ends in {', '.join(OUTPUT_SUFFIXES)}, got {output}."
        raise InputError(msg)
    if excel_safe and output.suffix.lower() != ".csv":
        msg = (
            f"Expected an output that ends in .csv with --excel-safe, got {output}: spreadsheets run no formulas "
            "in other formats; leave the option out."
        )
        raise InputError(msg)
    if not output.parent.is_dir():
        msg = f"Expected the folder {output.parent} to exist; make it first."
        raise InputError(msg)
    _check_writable(output.parent)
    if len(os.fsencode(output.name)) > _LONGEST_NAME:
        msg = f"Expected the name of --out to have at most {_LONGEST_NAME} bytes, got {output.name[:60]}…; shorten it."
        raise InputError(msg)
    if output.is_dir():
        msg = f"Expected {output} to be a file, it is a folder."
        raise InputError(msg)


def _check_writable(folder: Path) -> None:
    """Try to write a file without a name: not every file system does what its permissions say."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        msg = (
            f"Expected to write in the folder {folder}, the system answered {error.strerror}; name another --out, "
            "make room there, or allow writing."
        )
        raise InputError(msg) from error


def writable(catalogue: Catalogue, suffix: str) -> Catalogue:
    """The same catalogue; each cell is checked as its rows are read, before any photo is labelled.

    The cells of the image column are left: one that is no text fails its row and no other.

    Raises:
        InputError: it has bytes in a column, and the output is text. Reading its rows raises the same where a cell
            cannot be written.
    """
    for field in catalogue.schema:
        if suffix != ".parquet" and holds_bytes(field.type):
            msg = f"The column {field.name} holds bytes, which {suffix} files cannot; name a .parquet --out."
            raise InputError(msg)
    return replace(catalogue, batches=_tried_batches(catalogue, suffix))


@contextmanager
def open_writer(
    path: Path, suffix: str, schema: pa.Schema, harmless: frozenset[str], *, mark: bool = False
) -> Iterator[Write]:
    """A new file, and what writes the next rows into it.

    Cells of ``harmless`` columns start no formula in a CSV; with ``mark`` it has a byte order mark, by which
    spreadsheets know UTF-8.
    """
    if suffix == ".parquet":
        with path.open("xb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            yield writer.write_table
        return
    with path.open("x", encoding="utf-8-sig" if mark and suffix == ".csv" else "utf-8", newline="") as text:
        yield _csv_writer(text, schema, harmless) if suffix == ".csv" else _jsonl_writer(text, schema)


def _csv_writer(file: TextIO, schema: pa.Schema, harmless: frozenset[str]) -> Write:
    def shown(name: str, cells: list[object]) -> list[object]:
        return list(map(inert, cells)) if name in harmless else cells

    def write(table: pa.Table) -> None:
        columns = (shown(name, text_cells(table.column(name))) for name in table.column_names)
        file.writelines(csv_lines(zip(*columns, strict=True)))

    file.writelines(csv_lines([[cell for name in schema.names for cell in shown(name, [name])]]))
    return write


def _jsonl_writer(file: TextIO, schema: pa.Schema) -> Write:
    nested = {field.name for field in schema if field.metadata == JSON_FIELD}

    def write(table: pa.Table) -> None:
        names = table.column_names
        columns = (json_cells(table.column(name), nested=name in nested) for name in names)
        file.writelines(json_text(dict(zip(names, cells, strict=True))) + "\n" for cells in zip(*columns, strict=True))

    return write


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether cells of a type hold bytes, which no text file can."""
    return any(map(_is_bytes, _leaves(kind)))


def _leaves(kind: pa.DataType) -> Iterator[pa.DataType]:
    """The types of all values in a cell, nested ones too."""
    if pa.types.is_dictionary(kind):
        yield from _leaves(kind.value_type)
    elif pa.types.is_nested(kind):
        for number in range(kind.num_fields):
            yield from _leaves(kind.field(number).type)
    else:
        yield kind


def _is_bytes(kind: pa.DataType) -> bool:
    types = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(is_type(kind) for is_type in types)


def _tried_batches(catalogue: Catalogue, suffix: str) -> Iterator[pa.RecordBatch]:
    tries = {field.name: _try_of(field, suffix) for field in catalogue.schema if field.name != catalogue.image_column}
    rows = 0
    for batch in catalogue.batches:
        for name, attempt in tries.items():
            try:
                attempt(batch.column(name))
            except UNWRITABLE as error:
                row, why = _first_unwritable(batch.column(name), attempt) or (1, error)
                msg = (
                    f"Expected cells that {suffix} can hold in the column {name!r} of {catalogue.source}, "
                    f"but the cell in row {rows + row:,} is not one ({str(why)[:200]}); write it as text in UTF-8, "
                    "or leave the column out."
                )
                raise InputError(msg) from error
        rows += batch.num_rows
        yield batch


def _try_of(field: pa.Field, suffix: str) -> Callable[[pa.Array], None]:
    """A function that raises if cells of the column cannot be written."""
    types = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
    )
    nested = field.metadata == JSON_FIELD
    simple = any(is_type(field.type) for is_type in types) and not (nested and suffix == ".jsonl")

    def attempt(cells: pa.Array) -> None:
        cells.validate(full=True)
        if suffix == ".csv" and not simple:
            text_cells(pa.chunked_array([cells]))
        if suffix == ".jsonl" and not simple:
            json_text(json_cells(pa.chunked_array([cells]), nested=nested))

    return attempt


def _first_unwritable(cells: pa.Array, attempt: Callable[[pa.Array], None]) -> tuple[int, Exception] | None:
    """The first row, from 1, whose cell cannot be written by itself, and why."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    for row in range(len(cells)):
        try:
            attempt(cells.take([row]))
        except UNWRITABLE as error:
            return row + 1, error
    return None
