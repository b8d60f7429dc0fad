"""Parts into one result: every catalogue row once, in the catalogue's order, with the catalogue's columns."""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import InputError, JobError
from models.whole_file import sync_file
from worker.csv_rows import CsvRows
from worker.job import Job, images_of
from worker.parts import read_part
from worker.readers import JSON_FIELD
from worker.results import RESULT_SCHEMA

__all__ = ["OUTPUT_SUFFIXES", "check_columns", "check_output", "merge_parts"]

ROW_GROUP: Final = 65_536


OnPart = Callable[[pa.Table, list[str | None]], None]


class _Writer(AbstractContextManager["_Writer"], Protocol):
    def write(self, table: pa.Table) -> None: ...


class _ParquetWriter:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._writer.close()


class _TextWriter:
    """Shared by CSV and JSONL: a UTF-8 file that is closed at the end."""

    def __init__(self, path: Path) -> None:
        self.file: TextIO = path.open("w", encoding="utf-8", newline="")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()


class _CsvWriter(_TextWriter):
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        super().__init__(path)
        self._rows = CsvRows(self.file)
        self._rows.write([schema.names])

    def write(self, table: pa.Table) -> None:
        self._rows.write(zip(*(_text_cells(column) for column in table.columns), strict=True))


class _JsonlWriter(_TextWriter):
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        super().__init__(path)
        self._nested = {field.name for field in schema if field.metadata == JSON_FIELD}

    def write(self, table: pa.Table) -> None:
        columns = [_json_cells(name, table.column(name), self._nested) for name in table.column_names]
        for cells in zip(*columns, strict=True):
            record = dict(zip(table.column_names, cells, strict=True))
            self.file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")


def _text_cells(column: pa.ChunkedArray) -> list[Any]:
    cells = _plain_cells(column)
    if pa.types.is_nested(column.type):
        return [None if cell is None else json.dumps(cell, ensure_ascii=False, default=str) for cell in cells]
    return cells


def _json_cells(name: str, column: pa.ChunkedArray, nested: set[str]) -> list[Any]:
    cells = _plain_cells(column)
    if name in nested:
        return [json.loads(cell) if cell is not None else None for cell in cells]
    if pa.types.is_floating(column.type):
        return [cell if cell is None or math.isfinite(cell) else None for cell in cells]  # JSON has no such numbers
    return cells


def _plain_cells(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.string())
    cells: list[Any] = column.to_pylist()
    if pa.types.is_float32(column.type):
        return [None if cell is None else _short(cell) for cell in cells]
    if column.type == RESULT_SCHEMA.field("top_k").type:
        return [cell and [{**best, "confidence": _short(best["confidence"])} for best in cell] for cell in cells]
    return cells


def _short(value: float) -> float:
    """The shortest decimal that is the same float32."""
    return float(str(np.float32(value)))


_WRITERS: Final[dict[str, Callable[[Path, pa.Schema], _Writer]]] = {
    ".parquet": _ParquetWriter,
    ".csv": _CsvWriter,
    ".jsonl": _JsonlWriter,
}
OUTPUT_SUFFIXES: Final = tuple(_WRITERS)


def check_output(output: Path) -> None:
    """Refuse an output that cannot be written.

    Raises:
        InputError: its ending is not one we write, or its folder does not exist.
    """
    if output.suffix.lower() not in _WRITERS:
        msg = f"Expected an output that ends in {', '.join(OUTPUT_SUFFIXES)}, got {output}."
        raise InputError(msg)
    if not output.parent.is_dir():
        msg = f"Expected the folder {output.parent} to exist; make it first."
        raise InputError(msg)
    if not os.access(output.parent, os.W_OK):
        msg = f"Expected to write in the folder {output.parent}, the system refuses; name another --output."
        raise InputError(msg)
    if output.is_dir():
        msg = f"Expected {output} to be a file, it is a folder."
        raise InputError(msg)


def check_columns(schema: pa.Schema, output: Path) -> None:
    """Refuse a catalogue whose cells the output's format cannot hold.

    Raises:
        InputError: it has bytes in a column, and the output is text.
    """
    if output.suffix.lower() == ".parquet":
        return
    for field in schema:
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            msg = f"The column {field.name} holds bytes, which {output.suffix} cannot; name a .parquet --output."
            raise InputError(msg)


def merge_parts(job: Job, output: Path, on_part: OnPart) -> None:
    """Write a job's result beside its place and rename it into it.

    Args:
        job: a job whose every chunk is done.
        output: ends in one of ``OUTPUT_SUFFIXES``.
        on_part: called with the results of each chunk, and the photos they are of, in order.

    Raises:
        JobError: a part is missing, is another job's, or its rows are not the chunk's.
    """
    schema = _output_schema(job)
    temporary = output.with_name(f".{output.name}.tmp")
    try:
        with _WRITERS[output.suffix.lower()](temporary, schema) as writer:
            rows = _write_rows(_joined(job, schema, on_part), writer)
        if rows != job.spec.rows:
            msg = f"The job has {job.spec.rows} rows, its parts hold {rows}; nothing was written. Please report this."
            raise JobError(msg)
        sync_file(temporary)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)


def _write_rows(tables: Iterator[pa.Table], writer: _Writer) -> int:
    """Write tables in runs of ``ROW_GROUP`` rows: a row group a chunk would make a long footer and a slow file."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        if sum(map(len, held)) >= ROW_GROUP:
            writer.write(pa.concat_tables(held).combine_chunks())
            held = []
    if held:
        writer.write(pa.concat_tables(held).combine_chunks())
    return rows


def _joined(job: Job, schema: pa.Schema, on_part: OnPart) -> Iterator[pa.Table]:
    for table, part in _chunks(job):
        on_part(part, images_of(job, table))
        yield pa.Table.from_arrays([*table.columns, *part.select(RESULT_SCHEMA.names).columns], schema=schema)


def _output_schema(job: Job) -> pa.Schema:
    prefix = job.spec.options.prefix
    added = [field.with_name(prefix + field.name) for field in RESULT_SCHEMA]
    return pa.schema([*job.chunk_table(0).schema, *added])


def _chunks(job: Job) -> Iterator[tuple[pa.Table, pa.Table]]:
    keys = job.part_keys()
    for chunk in range(job.spec.chunks):
        if chunk not in keys:
            msg = f"Chunk {chunk} has no part; run the same command again."
            raise JobError(msg)
        part = read_part(job.storage, keys[chunk], job.spec.id, job.rows_in_chunk(chunk))
        yield job.chunk_table(chunk), part
