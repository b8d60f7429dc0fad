"""The products of a catalogue, gathered from its rows; memory does not grow with them."""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.decision import ReviewReason
from worker.products.vote import ClassShare, Product
from worker.results import Status

__all__ = ["ProductStore"]

_UNIT: Final = 2**32
"""Probabilities are added up as whole numbers of this part, so that no order of rows gives another sum."""
_TABLES: Final = """
CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT UNIQUE, photos INT, readable INT, threshold INT, unknown INT);
CREATE TABLE share (product INT, label TEXT, total INT, own INT, sure INT, PRIMARY KEY (product, label)) WITHOUT ROWID;
"""
_COUNT: Final = """
INSERT INTO product (name, photos, readable, threshold, unknown) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET photos = photos + excluded.photos, readable = readable + excluded.readable,
threshold = threshold + excluded.threshold, unknown = unknown + excluded.unknown RETURNING id
"""
_SHARE: Final = """
INSERT INTO share VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET total = total + excluded.total, own = own + excluded.own, sure = sure + excluded.sure
"""
_DISAGREES: Final = "(SELECT count(*) FROM share WHERE product = product.id AND sure > 0) > 1"
_ALL: Final = """
SELECT id, name, photos, readable, threshold, unknown, label, total, own, sure
FROM product LEFT JOIN share ON share.product = product.id ORDER BY product.id, share.label
"""

_Numbers = npt.NDArray[np.int64]


class ProductStore:
    """Products in order of first appearance, each with what its photos say of every class.

    Args:
        database: an empty one of its own.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        for statement in filter(str.strip, _TABLES.split(";")):
            database.execute(statement)

    def add(self, results: pa.Table, names: pa.ChunkedArray) -> None:
        """Count rows.

        Args:
            results: of some rows, as parts hold them.
            names: the product of each, as text; null for a row of none.
        """
        results, encoded = results.filter(names.is_valid()), names.drop_null().combine_chunks().dictionary_encode()
        places = encoded.indices.to_numpy().astype(np.int64)
        ids = self._count(results, encoded.dictionary.to_pylist(), places)
        if results.num_rows:
            self._database.executemany(_SHARE, _shares(results, ids[places]))

    def _count(self, results: pa.Table, names: list[str], places: _Numbers) -> _Numbers:
        """The id of each name, after its rows have been counted."""
        columns = [
            np.bincount(places[mask], minlength=len(names)).tolist()
            for mask in (
                np.ones(len(places), bool),
                _is(results, "status", Status.FAILED, False),
                _is(results, "reason", ReviewReason.THRESHOLD),
                _is(results, "reason", ReviewReason.UNKNOWN),
            )
        ]
        found = (self._database.execute(_COUNT, row).fetchone()[0] for row in zip(names, *columns, strict=True))
        return np.fromiter(found, np.int64, len(names))

    def disagreeing(self, names: Iterable[str]) -> set[str]:
        """Those of some products whose sure photos have two labels."""
        query = f"SELECT 1 FROM product WHERE name = ? AND {_DISAGREES}"  # noqa: S608 - of constants
        return {name for name in names if self._database.execute(query, (name,)).fetchone()}

    def first_disagreeing(self, count: int) -> list[str]:
        """The first such products of all."""
        query = f"SELECT name FROM product WHERE {_DISAGREES} ORDER BY id LIMIT ?"  # noqa: S608 - of constants
        return [name for (name,) in self._database.execute(query, (count,))]

    def products(self) -> Iterator[tuple[Product, list[ClassShare]]]:
        """Every product with what is said of it, in order of first appearance."""
        for (_, *facts), rows in groupby(self._database.execute(_ALL), key=lambda row: row[:6]):
            shares = [
                ClassShare(label, total / _UNIT, own, sure) for *_, label, total, own, sure in rows if label is not None
            ]
            yield _product(*facts), shares


def _product(name: str, photos: int, readable: int, threshold: int, unknown: int) -> Product:
    doubts = {ReviewReason.THRESHOLD: threshold, ReviewReason.UNKNOWN: unknown}
    return Product(name, photos, readable, {reason: count for reason, count in doubts.items() if count})


def _shares(results: pa.Table, products: _Numbers) -> Iterator[tuple[Any, ...]]:
    """Rows of the table ``share``, each product and label once."""
    best = results.column("top_k").combine_chunks()
    rows = np.repeat(np.arange(len(best)), pc.fill_null(pc.list_value_length(best), 0).to_numpy())
    named = pc.struct_field(best.flatten(), "label").dictionary_encode()
    labels = named.indices.to_numpy().astype(np.int64)
    own = pc.fill_null(pc.index_in(results.column("label"), value_set=named.dictionary), -1).to_numpy()[rows] == labels
    sure = own & _is(results, "status", Status.LABELED)[rows]
    pairs, places = np.unique(products[rows] * len(named.dictionary) + labels, return_inverse=True)
    names = np.asarray(named.dictionary.to_pylist(), dtype=object)
    sums = (np.bincount(places, weights=each).astype(np.int64).tolist() for each in (_whole(best), own, sure))
    product, label = np.divmod(pairs, max(1, len(names)))
    return zip(product.tolist(), names[label].tolist(), *sums, strict=True)


def _whole(best: pa.ListArray) -> _Numbers:
    """Probabilities as whole numbers of :data:`_UNIT`; what is no number counts 0."""
    probabilities = pc.struct_field(best.flatten(), "confidence").to_numpy(zero_copy_only=False)
    numbers: _Numbers = np.rint(np.nan_to_num(probabilities.astype(np.float64)) * _UNIT).astype(np.int64)
    return numbers


def _is(results: pa.Table, column: str, value: str, wanted: bool = True) -> npt.NDArray[np.bool_]:
    """Where a column has a value, or has not; a null has none."""
    same: npt.NDArray[np.bool_] = pc.fill_null(pc.equal(results.column(column), value), False).to_numpy()
    return same if wanted else ~same
