"""``by_group.parquet``: what is said of each product."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from models.decision import ReviewReason
from models.errors import InputError
from models.whole_file import sync_file
from worker.job import Job
from worker.products.store import ProductStore
from worker.products.vote import Product, Verdict, decide
from worker.receipt import GroupCounts
from worker.sources.readers import JSON_FIELD

__all__ = ["check_group_column", "product_names", "write_by_group"]

ROW_GROUP: Final = 65_536
_ADDED: Final = pa.schema(
    [
        ("label", pa.string()),
        ("confidence", pa.float32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("photos", pa.int64()),
        ("readable", pa.int64()),
        ("agreement", pa.float32()),
        ("model", pa.string()),
    ]
)

OnProduct = Callable[[Product, Verdict], None]


def check_group_column(schema: pa.Schema, column: str | None, prefix: str) -> None:
    """Refuse a column that cannot say which rows are of one product.

    Args:
        schema: of the catalogue.
        column: which it has; none where nobody named one.
        prefix: of the columns that labelling adds.

    Raises:
        InputError: its cells are neither text nor whole numbers, or its name is one that ``by_group.parquet`` needs.
    """
    if column is None:
        return
    field = schema.field(column)
    kind = _plain(field.type)
    if field.metadata == JSON_FIELD or not (_is_text(kind) or pa.types.is_integer(kind)):
        came = "some hold numbers or lists" if field.metadata == JSON_FIELD else f"they hold {field.type}"
        msg = (
            f"Expected text, or whole numbers, in every cell of the --group-column {column}, {came}; write them all as "
            "text, or name another column."
        )
        raise InputError(msg)
    if column in {prefix + name for name in _ADDED.names}:
        msg = (
            f"The --group-column is called {column}, as a column that by_group.parquet adds; pass another --prefix, as "
            "in --prefix hangtag_."
        )
        raise InputError(msg)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def product_names(rows: pa.Table, column: str) -> pa.ChunkedArray:
    """The product of each of some catalogue rows, as text; null where the cell is empty or blank."""
    cells = rows.column(column)
    names = cells.cast(_plain(cells.type)).cast(pa.string())
    return pa.chunked_array([[name if name and name.strip() else None for name in names.to_pylist()]], pa.string())


def write_by_group(job: Job, column: str, store: ProductStore, file: Path, on_product: OnProduct) -> GroupCounts:
    """Write a row a product, in order of first appearance.

    Args:
        job: whose products they are.
        column: of the catalogue, which names them.
        store: all of the job's rows.
        file: a new one.
        on_product: called with each product.
    """
    schema, counts = _schema(job, column), Counter[str]()
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        rows = _rows(job, store, counts, on_product)
        while batch := list(islice(rows, ROW_GROUP)):
            writer.write_table(_table(batch, schema))
    sync_file(file)
    return GroupCounts.model_validate({name: counts[name] for name in GroupCounts.model_fields})


def _rows(job: Job, store: ProductStore, counts: Counter[str], on_product: OnProduct) -> Iterator[tuple[Any, ...]]:
    model = job.spec.model.reference
    for product, shares in store.products():
        told = decide(product, shares)
        on_product(product, told)
        counts.update(("products", told.status.value))
        counts["disagreeing"] += told.reason is ReviewReason.DISAGREEMENT
        sizes = (product.photos, product.readable)
        yield product.name, told.label, told.confidence, told.status, told.reason, *sizes, told.agreement, model


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    names, *columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _ADDED, strict=True)]
    return pa.Table.from_arrays([pa.array(names, pa.string()).cast(schema[0].type), *arrays], schema=schema)


def _schema(job: Job, column: str) -> pa.Schema:
    """The group column, a dictionary as its values; and what is added, its names prefixed as those of the result."""
    kind = _plain(job.chunk_table(0, [column]).schema.field(column).type)
    added = [field.with_name(job.spec.options.prefix + field.name) for field in _ADDED]
    return pa.schema([pa.field(column, kind), *added])
