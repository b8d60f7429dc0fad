"""The reader of Parquet, in which a few bytes may expand to gigabytes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalogue.readers import BATCH_CHARACTERS, BATCH_ROWS, Reader
from models.errors import InputError

PARQUET_BUFFER: Final = 1024 * 1024
MAX_BATCH_BYTES: Final = 256 * 1024 * 1024
"""Bytes of a batch of Parquet, once its repeated values are expanded."""

FREE_VALUES: Final = 10_000_000
VALUES_A_BYTE: Final = 100
FREE_BYTES: Final = 1024 * 1024 * 1024
BYTES_A_BYTE: Final = 1000
"""The most that a Parquet file may expand to, and how much for each of its bytes beyond that. Paths compress less."""


def read_parquet(path: Path, name: str | None = None) -> Reader:
    """A Parquet file; its columns keep their types.

    It is read through a small buffer: row groups may be of any size, and are not held as a whole. A value that a few
    bytes repeat a million times is refused, or read a few rows at a time.

    Raises:
        InputError: it is not Parquet, or would fill the memory.
    """
    called = name or str(path)
    try:
        file = _parquet(path)
        schema = file.schema_arrow.remove_metadata()
        _check_expansion(file.metadata, path.stat().st_size, called)
        rows, repeated = _batch_rows(file.metadata), _repeated_texts(file.metadata)
        if "_view" in str(schema.types):  # Arrow makes none of them of a dictionary
            rows = min([rows, *(MAX_BATCH_BYTES // size for size in repeated.values())])
        elif repeated:
            file = _parquet(path, list(repeated))
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        msg = f"Expected a Parquet file at {called}, got {error}."
        raise InputError(msg) from error
    return Reader(schema, _row_batches(file, schema, max(1, rows), called))


def _parquet(path: Path, dictionaries: list[str] | None = None) -> pq.ParquetFile:
    """The open file; columns in ``dictionaries`` are read as dictionaries, with each text once."""
    return pq.ParquetFile(path, buffer_size=PARQUET_BUFFER, pre_buffer=False, read_dictionary=dictionaries)


def _columns(metadata: pq.FileMetaData) -> Iterator[list[pq.ColumnChunkMetaData]]:
    """Each column's row groups."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    for number in range(metadata.num_columns):
        yield [group.column(number) for group in groups]


def _check_expansion(metadata: pq.FileMetaData, file_bytes: int, name: str) -> None:
    """Refuse a small file that claims to hold more than any catalogue of its size can."""
    columns = list(_columns(metadata))
    values = max((sum(chunk.num_values for chunk in column) for column in columns), default=0)
    size = sum(chunk.total_uncompressed_size for column in columns for chunk in column)
    if values > max(FREE_VALUES, VALUES_A_BYTE * file_bytes) or size > max(FREE_BYTES, BYTES_A_BYTE * file_bytes):
        msg = (
            f"Expected a catalogue in {name}, its {file_bytes:,} bytes expand to {values:,} cells in a column and "
            f"{size:,} bytes; write it again without such repetition."
        )
        raise InputError(msg)


def _repeated_texts(metadata: pq.FileMetaData) -> dict[str, int]:
    """Column → bytes of its dictionary, for columns of which one expanded batch might fill the memory."""
    sizes = {
        chunk.path_in_schema: max(each.total_uncompressed_size for each in column if each.has_dictionary_page)
        for column in _columns(metadata)
        for chunk in column
        if chunk.physical_type == "BYTE_ARRAY" and chunk.has_dictionary_page
    }
    return {path: size for path, size in sizes.items() if size * min(BATCH_ROWS, metadata.num_rows) > MAX_BATCH_BYTES}


def _batch_rows(metadata: pq.FileMetaData) -> int:
    """How many rows a batch may have, by the average size of a row."""
    characters: int = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(BATCH_ROWS, BATCH_CHARACTERS * rows // max(1, characters)))


def _row_batches(file: pq.ParquetFile, schema: pa.Schema, rows: int, name: str) -> Iterator[pa.RecordBatch]:
    try:
        for batch in file.iter_batches(rows):
            for piece in _pieces(batch, name):
                columns = [column.cast(field.type) for column, field in zip(piece.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
    except (pa.ArrowException, OSError) as error:
        msg = f"Expected to read the Parquet file {name}, got {error}; write it again."
        raise InputError(msg) from error


def _pieces(batch: pa.RecordBatch, name: str) -> Iterator[pa.RecordBatch]:
    """A batch in pieces that fit the memory."""
    size = sum(map(_unfolded_bytes, batch.columns))
    if size <= MAX_BATCH_BYTES:
        yield batch
    elif batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _pieces(batch.slice(0, half), name)
        yield from _pieces(batch.slice(half), name)
    else:
        msg = f"Expected rows of at most {MAX_BATCH_BYTES:,} bytes in {name}, one has {size:,}; leave columns out."
        raise InputError(msg)


def _unfolded_bytes(column: pa.Array) -> int:
    """Bytes of a column once each cell has its own text, instead of sharing a dictionary's."""
    kind = column.type
    if pa.types.is_dictionary(kind) and _is_text(kind.value_type):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
        return int((pc.sum(lengths).as_py() or 0) + column.indices.nbytes)
    if pa.types.is_struct(kind):
        return sum(map(_unfolded_bytes, column.flatten()))
    if pa.types.is_map(kind):
        kind = pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
        column = column.cast(kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _unfolded_bytes(column.flatten()) + 8 * len(column)
    return int(column.nbytes)


def _is_text(kind: pa.DataType) -> bool:
    types = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_type(kind) for is_type in types)
