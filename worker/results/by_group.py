"""``by_group.parquet``: the vote on each product; if sure photos of a product disagree, its rows go to review."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalogue.readers import JSON_FIELD
from models.decision import ReviewReason
from models.errors import InputError
from models.whole_file import sync_file
from worker.job.job import Job, images_of
from worker.job.parts import Status, with_leaves
from worker.job.receipt import GroupCounts, SampleRow
from worker.results.vote import Product, ProductStore, Verdict, decide

ROW_GROUP: Final = 65_536
_SHOWN: Final = 6
_PHOTOS: Final = 4
_ALIKE: Final = 2
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

    Raises:
        InputError: its cells are neither text nor whole numbers, or its name is one that ``by_group.parquet`` needs.
    """
    if column is None:
        return
    field = schema.field(column)
    kind = _plain(field.type)
    usable = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_integer)
    if field.metadata == JSON_FIELD or not any(fits(kind) for fits in usable):
        came = "some hold numbers or lists" if field.metadata == JSON_FIELD else f"they hold {field.type}"
        msg = (
            f"Expected text, or whole numbers, in every cell of the --group-column {column}, {came}; write them all as "
            "text, or name another column."
        )
        raise InputError(msg)
    if column in {prefix + name for name in _ADDED.names}:
        msg = (
            f"The --group-column {column} has the name of a column of by_group.parquet; pass another --prefix, as "
            "in --prefix hangtag_."
        )
        raise InputError(msg)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def product_names(rows: pa.Table, column: str) -> pa.ChunkedArray:
    """The product of each row, as text; null if the cell is empty or blank."""
    cells = rows.column(column)
    names = cells.cast(_plain(cells.type)).cast(pa.string())
    return pa.chunked_array([[name if name and name.strip() else None for name in names.to_pylist()]], pa.string())


def write_by_group(job: Job, column: str, store: ProductStore, file: Path, on_product: OnProduct) -> GroupCounts:
    """Write a row for each product, in order of first appearance.

    A dictionary column is written as its values. The columns that we add have the result's prefix.
    """
    kind = _plain(job.chunk_table(0, [column]).schema.field(column).type)
    added = [field.with_name(job.spec.options.prefix + field.name) for field in _ADDED]
    schema, counts = pa.schema([pa.field(column, kind), *added]), Counter[str]()
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        rows = _rows(job, store, counts, on_product)
        while batch := list(islice(rows, ROW_GROUP)):
            names, *columns = zip(*batch, strict=True)
            arrays = [pa.array(cells, field.type) for cells, field in zip(columns, _ADDED, strict=True)]
            named = pa.array(names, pa.string()).cast(kind)
            writer.write_table(pa.Table.from_arrays([named, *arrays], schema=schema))
    sync_file(file)
    return GroupCounts.model_validate({name: counts[name] for name in GroupCounts.model_fields})


def _rows(job: Job, store: ProductStore, counts: Counter[str], on_product: OnProduct) -> Iterator[tuple[Any, ...]]:
    model = job.model.reference
    for product, shares in store.products():
        told = decide(product, shares, job.model.taxonomy or {})
        on_product(product, told)
        counts.update(("products", told.status.value))
        counts["disagreeing"] += told.reason is ReviewReason.DISAGREEMENT
        sizes = (product.photos, product.readable)
        yield product.name, told.label, told.confidence, told.status, told.reason, *sizes, told.agreement, model


class DisagreeingProduct(NamedTuple):
    """A product to look at: its vote, and some of the rows that disagree, at most two of each label."""

    product: Product
    verdict: Verdict
    rows: tuple[SampleRow, ...]


class Disagreements:
    """Sends sure rows to review if another sure photo of their product has another label."""

    def __init__(self, job: Job, column: str, store: ProductStore) -> None:
        self._job, self._column, self._store = job, column, store
        self._rows: dict[str, list[SampleRow]] = {name: [] for name in store.first_disagreeing(_SHOWN)}
        self._told: dict[str, tuple[Product, Verdict]] = {}

    def amended(self, part: pa.Table, rows: pa.Table) -> pa.Table:
        """The results of a chunk, with labeled rows of disagreeing products sent to review."""
        if not self._rows:
            return part
        names = product_names(rows, self._column)
        labeled = pc.equal(part.column("status"), Status.LABELED)
        found = self._store.disagreeing(set(names.filter(labeled).drop_null().to_pylist()))
        if not found:
            return part
        doubtful = pc.and_(labeled, pc.is_in(names, value_set=pa.array(sorted(found), pa.string())))
        self._consider(names.filter(doubtful).to_pylist(), part.filter(doubtful), rows.filter(doubtful))
        changed = {"status": Status.REVIEW, "reason": ReviewReason.DISAGREEMENT}
        for column, value in changed.items():
            cells = pc.if_else(doubtful, pa.scalar(value.value), part.column(column))
            part = part.set_column(part.schema.get_field_index(column), part.schema.field(column), cells)
        return with_leaves(part, doubtful)

    def _consider(self, names: list[str], part: pa.Table, rows: pa.Table) -> None:
        results = part.select(["label", "confidence"]).to_pylist()
        for name, result, image in zip(names, results, images_of(self._job, rows), strict=True):
            shown = self._rows.get(name)
            if shown is None or len(shown) == _PHOTOS or sum(row.label == result["label"] for row in shown) == _ALIKE:
                continue
            said = (result["label"], result["confidence"], None, ReviewReason.DISAGREEMENT)
            shown.append(SampleRow(image, Status.REVIEW, *said))

    def note(self, product: Product, verdict: Verdict) -> None:
        """Keep the vote on a product, if it is one to show."""
        if product.name in self._rows:
            self._told[product.name] = (product, verdict)

    def shown(self) -> tuple[DisagreeingProduct, ...]:
        """The first disagreeing products, once all rows have been amended and all products noted."""
        return tuple(DisagreeingProduct(*self._told[name], tuple(rows)) for name, rows in self._rows.items())
