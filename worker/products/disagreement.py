"""Products whose photos disagree: no row of them is labeled, and some are shown to a person."""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from models.decision import ReviewReason
from worker.job import Job, images_of
from worker.products.by_group import product_names
from worker.products.store import ProductStore
from worker.products.vote import Product, Verdict
from worker.receipt import SampleRow
from worker.results import Status

__all__ = ["DisagreeingProduct", "Disagreements"]

_SHOWN: Final = 6
_PHOTOS: Final = 4
_ALIKE: Final = 2


@dataclass(frozen=True)
class DisagreeingProduct:
    """A product to look at: what is said of it, and some of the rows that disagree, two of one label at most."""

    product: Product
    verdict: Verdict
    rows: tuple[SampleRow, ...]


class Disagreements:
    """Sends to review what was sure by itself, where another photo of the product was as sure of another label.

    Args:
        job: whose products they are.
        column: of the catalogue, which names them.
        store: all of the job's rows.
    """

    def __init__(self, job: Job, column: str, store: ProductStore) -> None:
        self._job = job
        self._column = column
        self._store = store
        self._rows: dict[str, list[SampleRow]] = {name: [] for name in store.first_disagreeing(_SHOWN)}
        self._told: dict[str, tuple[Product, Verdict]] = {}

    def amended(self, part: pa.Table, rows: pa.Table) -> pa.Table:
        """The results of a chunk, with labeled rows of disagreeing products sent to review.

        Args:
            part: the results, as the part holds them.
            rows: the catalogue's.
        """
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
        return part

    def _consider(self, names: list[str], part: pa.Table, rows: pa.Table) -> None:
        results = part.select(["label", "confidence"]).to_pylist()
        for name, result, image in zip(names, results, images_of(self._job, rows), strict=True):
            shown = self._rows.get(name)
            if shown is None or len(shown) == _PHOTOS or sum(row.label == result["label"] for row in shown) == _ALIKE:
                continue
            said = (result["label"], result["confidence"], None, ReviewReason.DISAGREEMENT)
            shown.append(SampleRow(image, Status.REVIEW, *said))

    def note(self, product: Product, verdict: Verdict) -> None:
        """Keep what is said of a product, if it is one to be shown."""
        if product.name in self._rows:
            self._told[product.name] = (product, verdict)

    def shown(self) -> tuple[DisagreeingProduct, ...]:
        """The first disagreeing products, once all rows have been amended and all products noted."""
        return tuple(DisagreeingProduct(*self._told[name], tuple(rows)) for name, rows in self._rows.items())
