"""The photos of a job that need review. Each distinct photo is a question."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.bundle import Bundle
from models.decision import ReviewReason
from models.taxonomy import ancestors
from worker.job.job import Job, images_of
from worker.job.model import bundle_of
from worker.job.parts import Status, with_leaves
from worker.results.end_review import read_end_reviews

Rows = npt.NDArray[np.int64]

_RESULTS: Final = ("label", "confidence", "top_k", "sha256", "model", "reason")
_SCHEMA: Final = pa.schema(
    [
        ("label", pa.string()),
        ("confidence", pa.float32()),
        ("top_k", pa.list_(pa.struct([("label", pa.string()), ("confidence", pa.float32())]))),
        ("sha256", pa.string()),
        ("model", pa.string()),
        ("reason", pa.string()),
        ("row", pa.int64()),
        ("product", pa.string()),
        ("catalogue_class", pa.string()),
        ("row_label", pa.string()),
    ]
)
_MOSTLY: Final = 0.5
_EXAMPLES: Final = 3


@dataclass(frozen=True)
class Questions:
    """The distinct photos for review, in the order of the catalogue. A question is a photo's row number in ``table``.

    Attributes:
        table: one row per question. ``row``: the photo's first row in the catalogue, from 0. ``rows`` and
            ``products``: how many rows and products have this photo. ``catalogue_class``: the catalogue's own class.
            ``row_label``: the label in the result. ``label`` is always a class, but ``row_label`` may group classes.
        examples: rows labeled with each class, most confident first.
        catalogue_column: the column of the catalogue with the classes, or ``folder``. None if the catalogue has no
            classes.
        bundle: the model's bundle, if it is on this machine.
        parents: the parent of each label in the model's tree; may be empty.
    """

    table: pa.Table
    classes: tuple[str, ...]
    examples: dict[str, tuple[int, ...]]
    catalogue_column: str | None
    bundle: Bundle | None = None
    parents: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def get(self, question: int) -> dict[str, Any]:
        """The table row of one question."""
        columns: dict[str, Any] = self.table.slice(question, 1).to_pylist()[0]
        return columns

    @cached_property
    def by_sha256(self) -> dict[str, int]:
        """Maps each photo's SHA-256 to its question."""
        return {sha256: place for place, sha256 in enumerate(self.table.column("sha256").to_pylist())}

    @cached_property
    def labels(self) -> npt.NDArray[np.object_]:
        """The model's class for each photo."""
        return np.array(self.table.column("label").to_pylist(), dtype=object)

    def is_right(self, question: int, label: str) -> bool:
        """Whether the result's label is the reviewer's class or one of its ancestors."""
        return self.table.column("row_label")[question].as_py() in {label, *ancestors(self.parents, label)}

    @cached_property
    def confidence(self) -> npt.NDArray[np.float32]:
        """The model's confidence, or -1 if it is null or NaN."""
        confidence = self.table.column("confidence").fill_null(-1.0).to_numpy()
        return np.asarray(np.nan_to_num(confidence, nan=-1.0), np.float32)

    @cached_property
    def rows(self) -> Rows:
        """Number of the catalogue's rows with this photo."""
        return np.asarray(self.table.column("rows").to_numpy())

    @cached_property
    def products(self) -> Rows:
        """Number of products with this photo, or 0 without a product column."""
        return np.asarray(self.table.column("products").to_numpy())

    @cached_property
    def repeated(self) -> npt.NDArray[np.bool_]:
        """Whether the photo needs review because many rows have this photo."""
        repeated = pc.equal(self.table.column("reason"), ReviewReason.REPEATED.value)
        return np.asarray(pc.fill_null(repeated, False).to_numpy())

    @cached_property
    def contradicted(self) -> npt.NDArray[np.bool_]:
        """Whether the catalogue's own class differs from the model's class."""
        differs = pc.not_equal(self.table.column("catalogue_class"), self.table.column("label"))
        return np.asarray(pc.fill_null(differs, False).to_numpy())

    @cached_property
    def draw(self) -> npt.NDArray[np.float64]:
        """A pseudo-random number from 0 to 1 that depends only on the photo's bytes."""
        return np.array([int(sha256[:12], 16) / 16**12 for sha256 in self.by_sha256], dtype=np.float64)


def load_questions(job: Job, rows: Sequence[int] | None = None) -> Questions:
    """Read the rows that need review. The job may be unfinished. Raises JobError.

    Args:
        job: a finished or a running job.
        rows: indices of rows to review; failed rows are left out. Default: all rows with the status
        review.
    """
    bundle = bundle_of(job)
    classes = bundle.manifest.labels if bundle else _named_classes(job)
    names = _CatalogueClasses(job, classes)
    end, wanted = read_end_reviews(job), None if rows is None else np.array(sorted(rows), np.int64)
    tables = [_SCHEMA.empty_table()]
    examples = _Examples()
    for chunk, part in _parts(job):
        ended = end.reasons_of(chunk * job.spec.chunk_rows, part.num_rows)
        tables.append(_chosen(job, chunk, part, wanted, ended, names))
        examples.add(chunk * job.spec.chunk_rows, part, ended)
    table, parents = _distinct(pa.concat_tables(tables)), job.model.taxonomy or {}
    return Questions(table, classes, examples.best(), names.column, bundle, parents)


def _parts(job: Job) -> Iterator[tuple[int, pa.Table]]:
    for chunk, key in sorted(job.part_keys().items()):
        part = job.part(chunk, key)
        names = [name for name in (*_RESULTS, "status") if name in part.column_names]
        yield chunk, with_leaves(part).select(names).append_column("row_label", part.column("label"))


def _chosen(
    job: Job,
    chunk: int,
    part: pa.Table,
    wanted: Rows | None,
    ended: pa.Array,
    names: "_CatalogueClasses",
) -> pa.Table:
    numbers = np.arange(part.num_rows, dtype=np.int64) + chunk * job.spec.chunk_rows
    if wanted is None:
        mask = pc.or_(pc.equal(part.column("status"), Status.REVIEW), ended.is_valid())
    else:
        mask = pa.array(np.isin(numbers, wanted, assume_unique=True))
    mask = pc.and_(pc.and_(mask, pc.is_valid(part.column("sha256"))), pc.is_valid(part.column("label")))
    results = part.filter(mask)
    if not results.num_rows:
        return _SCHEMA.empty_table()
    places = np.asarray(pc.indices_nonzero(mask).to_numpy(), np.int64)
    nothing = pa.nulls(len(places), pa.string())
    reason = results.column("reason") if "reason" in results.column_names else nothing
    reason = pc.coalesce(ended.take(places), reason)
    group = job.spec.options.group_column
    columns = list(dict.fromkeys(filter(None, (group, names.reads))))
    catalogue = job.chunk_table(chunk, columns).take(places) if columns else None
    return pa.table(
        {
            **{name: results.column(name) for name in _RESULTS[:-1]},
            "reason": reason,
            "row": pa.array(numbers[places]),
            "product": catalogue.column(group).cast(pa.string()) if catalogue is not None and group else nothing,
            "catalogue_class": names.of(catalogue) if catalogue is not None and names.reads else nothing,
            "row_label": results.column("row_label"),
        },
        schema=_SCHEMA,
    )


def _distinct(table: pa.Table) -> pa.Table:
    placed = table.append_column("place", pa.array(np.arange(table.num_rows)))
    counts = placed.group_by("sha256", use_threads=False).aggregate(
        [("place", "min"), ("place", "count"), ("product", "count_distinct")]
    )
    counts = counts.sort_by("place_min")
    first = table.take(counts.column("place_min")).drop_columns(["product"])
    return (
        first.append_column("rows", counts.column("place_count"))
        .append_column("products", counts.column("product_count_distinct"))
        .combine_chunks()
    )


def _named_classes(job: Job) -> tuple[str, ...]:
    named: set[str] = set()
    for chunk, key in job.part_keys().items():
        part = job.part(chunk, key, ["top_k"])
        best = pc.struct_field(pc.list_flatten(part.column("top_k")), "label")
        named.update(pc.unique(best).drop_null().to_pylist())
    return tuple(sorted(named))


class _Examples:
    """The labeled rows with the highest confidence, for each class. Equal photos count once."""

    def __init__(self) -> None:
        self._best: dict[str, dict[float, int]] = {}

    def add(self, first: int, part: pa.Table, ended: pa.Array) -> None:
        labeled = pc.and_not(pc.equal(part.column("status"), Status.LABELED), ended.is_valid())
        sure = part.select(["label", "confidence"]).filter(labeled)
        rows = pc.indices_nonzero(labeled).to_pylist()
        for row, label, confidence in zip(rows, *(column.to_pylist() for column in sure.columns), strict=True):
            best = self._best.setdefault(label, {})
            if len(best) < _EXAMPLES or confidence > min(best):
                best.setdefault(confidence, first + row)
                if len(best) > _EXAMPLES:
                    del best[min(best)]

    def best(self) -> dict[str, tuple[int, ...]]:
        return {label: tuple(rows[sure] for sure in sorted(rows, reverse=True)) for label, rows in self._best.items()}


class _CatalogueClasses:
    """Reads the catalogue's own classes from a column or from folder names.

    Args:
        job: the first chunk of this job decides which column contains the classes.
        classes: the model's classes.
    """

    def __init__(self, job: Job, classes: Sequence[str]) -> None:
        self._job = job
        self._classes = {name.casefold(): name for name in reversed(classes)}
        self._by_folder = False
        self.reads: str | None = None
        self.column: str | None = None
        if not job.spec.chunks:
            return
        first = job.chunk_table(0)
        for name in (*first.column_names, None):
            self._by_folder = name is None
            self.reads = name or job.spec.image_column
            if self.of(first).null_count < _MOSTLY * first.num_rows:
                self.column = name or "folder"
                return
        self.reads = None

    def of(self, table: pa.Table) -> pa.Array:
        column = table.column(self.reads)
        if self._by_folder:
            cells = [PurePosixPath(cell or "").parent.name for cell in images_of(self._job, table)]
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            cells = column.to_pylist()
        else:
            return pa.nulls(table.num_rows, pa.string())
        return pa.array([self._classes.get(cell.strip().casefold()) if cell else None for cell in cells], pa.string())
