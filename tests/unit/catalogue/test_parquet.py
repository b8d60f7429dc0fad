"""Parquet files that would fill the memory, and such as only look so."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue import parquet
from catalogue.readers import read_parquet
from models.errors import InputError


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fiftieth of the memory, so that no test needs all of it."""
    monkeypatch.setattr(parquet, "MAX_BATCH_BYTES", 5_000_000)
    monkeypatch.setattr(parquet, "FREE_VALUES", 200_000)


def written(file: Path, table: pa.Table) -> Path:
    pq.write_table(table, file, compression="zstd", store_schema=False)
    return file


REPEATED = {
    "a text": lambda cells: cells,
    "in lists": lambda cells: pa.ListArray.from_arrays(pa.array(range(len(cells) + 1), pa.int32()), cells),
    "in maps": lambda cells: pa.MapArray.from_arrays(pa.array(range(len(cells) + 1), pa.int32()), cells.indices, cells),
    "in structs": lambda cells: pa.StructArray.from_arrays([cells], ["a"]),
}


@pytest.mark.parametrize("kind", REPEATED)
def test_a_text_that_parquet_repeats_does_not_fill_the_memory(tmp_path: Path, kind: str) -> None:
    rows = 4096
    cells = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * 4_000])
    file = written(tmp_path / "a.parquet", pa.table({"image": ["a.jpg"] * rows, "more": REPEATED[kind](cells)}))
    assert file.stat().st_size < 20_000, "of 16 MB"
    first = next(iter(read_parquet(file).batches))
    assert first.nbytes < 5_000_000
    assert first.schema.types == pq.read_schema(file).types


UNFOLDING = {
    "cells": lambda: pa.table({"image": pa.nulls(400_000, pa.string())}),
    "a cell": lambda: pa.table({"image": ["a.jpg"], "more": ["x" * 6_000_000]}),
}


@pytest.mark.parametrize(("kind", "said"), [("cells", "expand to 400,000 cells"), ("a cell", "one has 6,000,")])
def test_a_small_parquet_that_unfolds_to_gigabytes_is_refused(tmp_path: Path, kind: str, said: str) -> None:
    file = written(tmp_path / "a.parquet", UNFOLDING[kind]())
    with pytest.raises(InputError, match=said):
        list(read_parquet(file).batches)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.json_()], ids=str)
def test_texts_that_are_read_as_dictionaries_come_out_as_they_are(tmp_path: Path, kind: pa.DataType) -> None:
    texts = pa.array([f'"{row:0200}"' for row in range(6000)])
    table = pa.table({"image": ["a.jpg"] * len(texts), "a.b": texts.cast(kind)})
    pq.write_table(table, tmp_path / "a.parquet")
    reader = read_parquet(tmp_path / "a.parquet")
    assert pa.Table.from_batches(list(reader.batches), reader.schema).equals(pq.read_table(tmp_path / "a.parquet"))
