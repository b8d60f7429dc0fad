"""The photos of a product vote on its label. If the photos disagree, their rows go to review.

Memory does not grow with the number of products.
"""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalogue.writers import open_writer
from models.decision import ReviewReason
from models.taxonomy import ancestors
from models.whole_file import sync_file
from worker.job.job import Job
from worker.job.parts import PRODUCT_SCHEMA, Status, with_leaves
from worker.job.receipt import GroupCounts
from worker.job.writer import without_dictionary

ROW_GROUP: Final = 65_536
_UNIT: Final = 2**32
"""Probabilities are summed in integer units of 2**-32. The sums then do not depend on the order of rows."""
_TABLES: Final = """
CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT UNIQUE, rows INT, readable INT, threshold INT, unknown INT,
repeated INT, mix INT);
CREATE TABLE share (product INT, label TEXT, total INT, own INT, sure INT, PRIMARY KEY (product, label)) WITHOUT ROWID;
CREATE TABLE above (label TEXT, node TEXT, PRIMARY KEY (label, node)) WITHOUT ROWID
"""
_COUNT: Final = """
INSERT INTO product (name, rows, readable, threshold, unknown, repeated, mix) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET rows = rows + excluded.rows, readable = readable + excluded.readable,
threshold = threshold + excluded.threshold, unknown = unknown + excluded.unknown,
repeated = repeated + excluded.repeated, mix = mix + excluded.mix RETURNING id
"""
_SHARE: Final = """
INSERT INTO share VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET total = total + excluded.total, own = own + excluded.own, sure = sure + excluded.sure
"""
_DISAGREES: Final = """
EXISTS (SELECT 1 FROM share AS one JOIN share AS other ON other.product = one.product AND other.label > one.label
WHERE one.product = product.id AND one.sure > 0 AND other.sure > 0 AND NOT EXISTS (SELECT 1 FROM above
WHERE (label = one.label AND node = other.label) OR (label = other.label AND node = one.label)))
"""
"""SQL condition: two labeled photos of the product have labels on different branches of the tree."""
_VOTES: Final = """
SELECT id, name, rows, readable, threshold, unknown, repeated, mix, label, total, own, sure
FROM product LEFT JOIN share ON share.product = product.id
"""

_DOUBTS: Final = (ReviewReason.THRESHOLD, ReviewReason.UNKNOWN, ReviewReason.REPEATED, ReviewReason.MIX)
"""Reasons to review a row, in the order of the columns of ``product``."""

_Numbers = npt.NDArray[np.int64]
Parents = Mapping[str, str]
NO_PARENTS: Final[Parents] = MappingProxyType({})


class ClassShare(NamedTuple):
    """A product's votes for a label.

    ``probability``: sum over photos. ``own``: photos with this label. ``sure``: labeled photos with this label.
    """

    label: str
    probability: float
    own: int
    sure: int


class Product(NamedTuple):
    """A product. ``readable``: rows that did not fail. ``doubts``: reason → rows to review."""

    name: str
    rows: int
    readable: int
    doubts: dict[ReviewReason, int]


class ProductVote(NamedTuple):
    """A product's label and status, decided by its photos' vote."""

    label: str | None
    confidence: float | None
    status: Status
    reason: ReviewReason | None
    agreement: float | None

    @property
    def accepted_label(self) -> str | None:
        """The label of a labeled product, else None."""
        return self.label if self.status is Status.LABELED else None


def decide(product: Product, shares: Sequence[ClassShare], parents: Parents = NO_PARENTS) -> ProductVote:
    """Vote on a product's label.

    The label is the class with the highest mean probability over the readable photos. Ties go to the class with more
    photos, then to the first in alphabetical order. The confidence is the mean probability: a lower bound, since
    classes outside ``top_k`` count as 0.

    With a tree of labels (``parents``), labeled photos agree if their labels are on one branch; the product gets the
    lowest label. A label's confidence includes the classes under it. If all photos are labeled but the lowest label
    does not agree with the vote, the product gets the label nearest the root.

    A product goes to review if its labeled photos disagree. The product is labeled if the lowest label of its labeled
    photos agrees with the vote, or if all photos are labeled. Otherwise it goes to review, for the most frequent reason
    of its rows.
    """
    if not product.readable:
        return ProductVote(None, None, Status.FAILED, None, None)
    best = min(shares, key=lambda share: (-share.probability, -share.own, share.label))
    sure, doubts = [share.label for share in shares if share.sure], product.doubts
    status = Status.REVIEW
    reason = max(doubts, key=lambda doubt: (doubts[doubt], doubt is ReviewReason.UNKNOWN), default=None)
    lowest = max(sure, key=lambda label: len(ancestors(parents, label)), default=None)
    label = best.label
    if lowest is not None and not {*sure} <= {lowest, *ancestors(parents, lowest)}:
        reason = ReviewReason.DISAGREEMENT
    elif lowest in {label, *ancestors(parents, label)}:
        status, reason, label = Status.LABELED, None, lowest
    elif sum(share.sure for share in shares) == product.readable:
        status, reason, label = Status.LABELED, None, min(sure, key=lambda label: len(ancestors(parents, label)))
    under = [share for share in shares if label in {share.label, *ancestors(parents, share.label)}]
    confidence, own = sum(share.probability for share in under), sum(share.own for share in under)
    return ProductVote(label, confidence / product.readable, status, reason, own / product.readable)


class ProductStore:
    """Products in order of first appearance, with their votes for each label. ``database`` must be empty.

    ``column`` has the products' names. ``ungrouped``: the number of rows that belong to no product.
    """

    def __init__(self, database: sqlite3.Connection, column: str, parents: Parents = NO_PARENTS) -> None:
        self._database = database
        self.column, self.parents, self.ungrouped = column, parents, 0
        for statement in _TABLES.split(";"):
            database.execute(statement)
        above = ((label, node) for label in parents for node in ancestors(parents, label))
        database.executemany("INSERT INTO above VALUES (?, ?)", above)

    def add(self, results: pa.Table, names: pa.ChunkedArray) -> None:
        """Count results of a part file. ``names``: each row's product, or null."""
        self.ungrouped += names.null_count
        results, encoded = results.filter(names.is_valid()), names.drop_null().combine_chunks().dictionary_encode()
        if not results.num_rows:
            return
        places = encoded.indices.to_numpy().astype(np.int64)
        ids = self._count(results, encoded.dictionary.to_pylist(), places)
        self._database.executemany(_SHARE, _shares(results, ids[places]))
        self._database.executemany(_SHARE, _above_classes(results, ids[places]))

    def _count(self, results: pa.Table, names: list[str], places: _Numbers) -> _Numbers:
        masks = (
            np.ones(len(places), bool),
            ~_is(results, "status", Status.FAILED),
            *(_is(results, "reason", reason) for reason in _DOUBTS),
        )
        columns = [np.bincount(places[mask], minlength=len(names)).tolist() for mask in masks]
        ids = (self._database.execute(_COUNT, row).fetchone()[0] for row in zip(names, *columns, strict=True))
        return np.fromiter(ids, np.int64, len(names))

    def disagreeing(self, names: Iterable[str]) -> set[str]:
        """The products among ``names`` whose labeled photos disagree."""
        query = f"SELECT 1 FROM product WHERE name = ? AND {_DISAGREES}"  # noqa: S608 - constants
        return {name for name in names if self._database.execute(query, (name,)).fetchone()}

    def in_review(self, names: Iterable[str]) -> set[str]:
        """The products among ``names`` whose vote sends them to review."""
        found = (self.products("WHERE name = ?", (name,)) for name in names)
        votes = ((product.name, decide(product, shares, self.parents)) for each in found for product, shares in each)
        return {name for name, vote in votes if vote.status is Status.REVIEW}

    def products(self, where: str = "", values: tuple[str, ...] = ()) -> Iterator[tuple[Product, list[ClassShare]]]:
        """Products with their votes, in order of first appearance. ``where``: an optional SQL condition."""
        query = f"{_VOTES} {where} ORDER BY product.id, share.label"
        for facts, rows in groupby(self._database.execute(query, values), key=lambda row: row[:8]):
            _, name, size, readable, *counts = facts
            doubts = zip(_DOUBTS, counts, strict=True)
            product = Product(name, size, readable, {reason: count for reason, count in doubts if count})
            shares = [row[8:] for row in rows if row[8] is not None]
            yield product, [ClassShare(label, total / _UNIT, own, sure) for label, total, own, sure in shares]


def _shares(results: pa.Table, products: _Numbers) -> Iterator[tuple[Any, ...]]:
    best = results.column("top_k").combine_chunks()
    rows = np.repeat(np.arange(len(best)), pc.fill_null(pc.list_value_length(best), 0).to_numpy())
    named = pc.struct_field(best.flatten(), "label").dictionary_encode()
    labels = named.indices.to_numpy().astype(np.int64)
    own = pc.fill_null(pc.index_in(results.column("label"), value_set=named.dictionary), -1).to_numpy()[rows] == labels
    sure = own & _is(results, "status", Status.LABELED)[rows]
    probabilities = pc.struct_field(best.flatten(), "confidence").to_numpy(zero_copy_only=False).astype(np.float64)
    whole = np.rint(np.nan_to_num(probabilities) * _UNIT)  # NaN counts 0
    pairs, places = np.unique(products[rows] * len(named.dictionary) + labels, return_inverse=True)
    names = np.asarray(named.dictionary.to_pylist(), dtype=object)
    sums = (np.bincount(places, weights=each).astype(np.int64).tolist() for each in (whole, own, sure))
    product, label = np.divmod(pairs, max(1, len(names)))
    return zip(product.tolist(), names[label].tolist(), *sums, strict=True)


def _above_classes(results: pa.Table, products: _Numbers) -> Iterator[tuple[Any, ...]]:
    """Rows for the table ``share``, from labels that are inner tree nodes. Product and label may repeat."""
    rows = zip(products.tolist(), *(results.column(name).to_pylist() for name in ("label", "label_level")), strict=True)
    return ((product, label, 0, 1, 1) for product, label, level in rows if level)


def _is(results: pa.Table, column: str, value: str) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = pc.fill_null(pc.equal(results.column(column), value), False).to_numpy()
    return same


def product_names(rows: pa.Table, column: str) -> pa.ChunkedArray:
    """The product of each row, as text; null if the cell is empty or blank."""
    cells = rows.column(column)
    names = cells.cast(without_dictionary(cells.type)).cast(pa.string())
    return pa.chunked_array([[name if name and name.strip() else None for name in names.to_pylist()]], pa.string())


def write_by_group(job: Job, store: ProductStore, file: Path, disputed: Collection[str] = ()) -> GroupCounts:
    """Write a file with a row for each product, in order of first appearance.

    ``disputed``: products that go to review because reviewers disagree on a photo.
    """
    options, column = job.spec.options, store.column
    kind = without_dictionary(job.chunk_table(0, [column]).schema.field(column).type)
    added = [field.with_name(options.prefix + field.name) for field in PRODUCT_SCHEMA]
    schema, counts = pa.schema([pa.field(column, kind), *added]), Counter[str]()
    escaped = frozenset(schema.names if options.excel_safe else schema.names[1:])
    with open_writer(file, file.suffix, schema, escaped, job.spec.delimiter, mark=options.excel_safe) as write:
        rows = _rows(job, store, counts, disputed)
        while batch := list(islice(rows, ROW_GROUP)):
            names, *columns = zip(*batch, strict=True)
            arrays = [pa.array(cells, field.type) for cells, field in zip(columns, PRODUCT_SCHEMA, strict=True)]
            named = pa.array(names, pa.string()).cast(kind)
            write(pa.Table.from_arrays([named, *arrays], schema=schema))
    sync_file(file)
    of_products = {name: counts[name] for name in ("products", *Status, "disagreeing")}
    return GroupCounts(column=column, ungrouped=store.ungrouped, **of_products)


def _rows(job: Job, store: ProductStore, counts: Counter[str], disputed: Collection[str]) -> Iterator[tuple[Any, ...]]:
    model = job.model.reference
    for product, shares in store.products():
        vote = decide(product, shares, store.parents)
        if product.name in disputed and vote.status is Status.LABELED:
            vote = vote._replace(status=Status.REVIEW, reason=ReviewReason.DISAGREEMENT)
        counts.update(("products", vote.status.value))
        counts["disagreeing"] += vote.reason is ReviewReason.DISAGREEMENT
        decided = (product.name, vote.label, vote.confidence, vote.status, vote.reason, vote.accepted_label)
        yield *decided, product.rows, product.readable, vote.agreement, model


def disagreement_to_review(
    store: ProductStore, part: pa.Table, rows: pa.Table, disputed: Collection[str] = ()
) -> pa.Table:
    """Send labeled rows to review if the photos of their product disagree."""
    names = product_names(rows, store.column)
    labeled = pc.equal(part.column("status"), Status.LABELED)
    disagreeing = {*store.disagreeing(set(names.filter(labeled).drop_null().to_pylist())), *disputed}
    if not disagreeing:
        return part
    doubtful = pc.and_(labeled, pc.is_in(names, value_set=pa.array(sorted(disagreeing), pa.string())))
    return to_review(part, doubtful, ReviewReason.DISAGREEMENT)


def needs_person(
    store: ProductStore, part: pa.Table, rows: pa.Table, disputed: Collection[str] = ()
) -> pa.ChunkedArray:
    """Whether the product of each row in review is in review; null for rows without a product.

    ``disputed``: more products in review.
    """
    names = product_names(rows, store.column)
    doubtful = names.filter(pc.equal(part.column("status"), Status.REVIEW))
    waiting = {*store.in_review(set(doubtful.drop_null().to_pylist())), *disputed}
    return pc.if_else(names.is_valid(), pc.is_in(names, value_set=pa.array(sorted(waiting), pa.string())), None)


def to_review(part: pa.Table, chosen: pa.Array, reason: ReviewReason) -> pa.Table:
    """Send the ``chosen`` rows to review."""
    if not pc.any(chosen).as_py():
        return part
    for name, value in {"status": Status.REVIEW, "reason": reason}.items():
        cells = pc.if_else(chosen, pa.scalar(value.value), part.column(name))
        part = part.set_column(part.schema.get_field_index(name), part.schema.field(name), cells)
    return with_leaves(part, chosen)
