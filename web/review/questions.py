"""A job's doubtful rows as questions, one a distinct photo, held as columns: 200,000 take some tens of megabytes."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, reduce
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from models.bundle import Bundle, read_manifest
from models.decision import ReviewReason
from models.errors import HangtagError
from models.taxonomy import ancestors
from worker.job.job import Job, images_of
from worker.job.parts import Status, with_leaves
from worker.job.receipt import REVIEW_FILE

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
        ("said", pa.string()),
        ("given", pa.string()),
    ]
)
_MOSTLY: Final = 0.5
_EXAMPLES: Final = 3


@dataclass(frozen=True)
class Questions:
    """Questions in the order of the catalogue; a question is a place in the table.

    Attributes:
        table: a row a question: the result, ``row`` (the first with that photo, from 0), ``rows``, ``products``,
            ``said`` (the class that the catalogue itself names) and ``given`` (the row's label). ``label`` is the
            likeliest class where a tree gave the row a label above it: reviewers give classes.
        classes: that a photo may be given: the model's, in its order.
        examples: class → rows that were labeled as it, the surest first.
        bundle: the model's, if it is here.
        said_by: the column of the catalogue that names classes; none if there is none.
        parents: of the model's tree of labels, label → the one above it; empty without one.
    """

    table: pa.Table
    classes: tuple[str, ...]
    examples: dict[str, tuple[int, ...]]
    said_by: str | None
    bundle: Bundle | None = None
    parents: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def get(self, question: int) -> dict[str, Any]:
        """All columns of a question."""
        found: dict[str, Any] = self.table.slice(question, 1).to_pylist()[0]
        return found

    @cached_property
    def by_sha256(self) -> dict[str, int]:
        """SHA-256 of a photo → its question."""
        return {sha256: place for place, sha256 in enumerate(self.table.column("sha256").to_pylist())}

    @cached_property
    def labels(self) -> npt.NDArray[np.object_]:
        """What the model guessed."""
        return np.array(self.table.column("label").to_pylist(), dtype=object)

    @cached_property
    def given(self) -> npt.NDArray[np.object_]:
        """The label that each row was given."""
        return np.array(self.table.column("given").to_pylist(), dtype=object)

    def is_right(self, question: int, label: str) -> bool:
        """Whether a row's label is the class that a reviewer gave, or above it."""
        return self.given[question] in {label, *ancestors(self.parents, label)}

    @cached_property
    def confidence(self) -> npt.NDArray[np.float32]:
        """How sure it was; what is not a number counts as least sure."""
        found = self.table.column("confidence").fill_null(-1.0).to_numpy()
        return np.asarray(np.nan_to_num(found, nan=-1.0), np.float32)

    @cached_property
    def rows(self) -> Rows:
        """How many rows of the catalogue have the photo."""
        return np.asarray(self.table.column("rows").to_numpy())

    @cached_property
    def products(self) -> Rows:
        """How many products have it; 0 where no column names products."""
        return np.asarray(self.table.column("products").to_numpy())

    @cached_property
    def contradicted(self) -> npt.NDArray[np.bool_]:
        """Whether the catalogue itself names another class than the model."""
        said = self.table.column("said")
        return np.asarray(pc.fill_null(pc.not_equal(said, self.table.column("label")), False).to_numpy())

    @cached_property
    def draw(self) -> npt.NDArray[np.float64]:
        """A number from 0 to 1 that a photo's bytes alone decide, for choosing some of the questions."""
        return np.array([int(sha256[:12], 16) / 16**12 for sha256 in self.by_sha256], dtype=np.float64)


def load_questions(job: Job, rows: Sequence[int] | None = None) -> Questions:
    """Read what a job has labelled up to now.

    Args:
        job: it may still run.
        rows: to ask about (from 0), whatever became of them, but failed ones. Default: all that went to review.

    Raises:
        JobError: a part is damaged.
    """
    bundle = _bundle(job)
    classes = bundle.manifest.labels if bundle else _named_classes(job)
    claim = _Claim(job, classes)
    wanted = _listed(job) if rows is None else np.array(sorted(rows), np.int64)
    found = [_SCHEMA.empty_table()]
    examples = _Examples()
    for chunk, part in _parts(job):
        found.append(_doubtful(job, chunk, part, wanted, claim, all=rows is not None))
        examples.add(chunk * job.spec.chunk_rows, part)
    table, parents = _distinct(pa.concat_tables(found)), job.model.taxonomy or {}
    return Questions(table, classes, examples.best(), claim.column, bundle, parents)


def doubtful_photos(job: Job) -> Iterator[tuple[str | None, ...]]:
    """For each row whose worst status is review, in the catalogue's order, the photo to review of each question.

    It is a SHA-256; empty if the photo is known by its path only; None if the question does not doubt the row.

    Raises:
        JobError: a part is damaged.
    """
    listed = [_listed(question) for question in job.questions]
    for chunk, key in sorted(job.part_keys().items()):
        parts = [question.part(chunk, key, ["status", "sha256"]) for question in job.questions]
        numbers = np.arange(parts[0].num_rows, dtype=np.int64) + chunk * job.spec.chunk_rows
        failed = reduce(pc.or_, (pc.equal(part.column("status"), Status.FAILED) for part in parts))
        photos = []
        for part, mine in zip(parts, listed, strict=True):
            doubted = pc.or_(pc.equal(part.column("status"), Status.REVIEW), pa.array(np.isin(numbers, mine)))
            doubted = pc.and_not(doubted, failed)
            photos.append(pc.if_else(doubted, pc.fill_null(part.column("sha256"), ""), None).to_pylist())
        yield from (row for row in zip(*photos, strict=True) if any(photo is not None for photo in row))


def _parts(job: Job) -> Iterator[tuple[int, pa.Table]]:
    """Chunk and results, one after the other."""
    for chunk, key in sorted(job.part_keys().items()):
        part = job.part(chunk, key)
        names = [name for name in (*_RESULTS, "status") if name in part.column_names]
        yield chunk, with_leaves(part).select(names).append_column("given", part.column("label"))


def _listed(job: Job) -> Rows:
    """Rows that went to review since their product's photos disagree: the list of doubtful rows tells, parts do not."""
    nothing = np.array([], np.int64)
    if job.spec.options.group_column is None or not job.storage.exists(REVIEW_FILE):
        return nothing
    prefix = job.spec.options.prefix
    listed = pyarrow.csv.read_csv(
        io.BytesIO(job.storage.read(REVIEW_FILE)),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=[f"{prefix}row", f"{prefix}reason"],
            column_types={f"{prefix}row": pa.int64(), f"{prefix}reason": pa.string()},
        ),
    )
    of_products = pc.equal(listed.column(1), ReviewReason.DISAGREEMENT.value)
    return np.sort(listed.column(0).filter(of_products).to_numpy()) - 1


def _doubtful(job: Job, chunk: int, part: pa.Table, wanted: Rows, claim: "_Claim", *, all: bool) -> pa.Table:
    """The questions of a chunk, repeats of a photo among them."""
    numbers = np.arange(part.num_rows, dtype=np.int64) + chunk * job.spec.chunk_rows
    listed = np.isin(numbers, wanted, assume_unique=True)
    status = part.column("status")
    mine = pa.array(listed) if all else pc.or_(pc.equal(status, Status.REVIEW), pa.array(listed))
    mine = pc.and_(mine, pc.is_valid(part.column("sha256")))
    mine = pc.and_(mine, pc.is_valid(part.column("label")))
    chosen = part.filter(mine)
    if not chosen.num_rows:
        return _SCHEMA.empty_table()
    kept = np.asarray(pc.indices_nonzero(mine).to_numpy(), np.int64)
    reason = chosen.column("reason") if "reason" in chosen.column_names else pa.nulls(len(kept), pa.string())
    if not all:
        reason = pc.if_else(pa.array(listed[kept]), ReviewReason.DISAGREEMENT.value, reason)
    group = job.spec.options.group_column
    columns = list(dict.fromkeys(filter(None, (group, claim.reads))))
    catalogue = job.chunk_table(chunk, columns).take(kept) if columns else None
    nothing = pa.nulls(len(kept), pa.string())
    return pa.table(
        {
            **{name: chosen.column(name) for name in _RESULTS[:-1]},
            "reason": reason,
            "row": pa.array(numbers[kept]),
            "product": catalogue.column(group).cast(pa.string()) if catalogue is not None and group else nothing,
            "said": claim.classes_of(catalogue) if catalogue is not None and claim.reads else nothing,
            "given": chosen.column("given"),
        },
        schema=_SCHEMA,
    )


def _distinct(table: pa.Table) -> pa.Table:
    """A row a photo, with how many rows and products have it."""
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


def _bundle(job: Job) -> Bundle | None:
    """The model's bundle, if it is here as it was."""
    pin = job.model
    for folder in (Path(pin.path), job.home.scratch.parent / "_bundles" / pin.digest):
        with suppress(HangtagError, OSError):
            bundle = read_manifest(folder)
            if bundle.digest == pin.digest:
                return bundle
    return None


def _named_classes(job: Job) -> tuple[str, ...]:
    """The classes that the results name."""
    named: set[str] = set()
    for chunk, key in job.part_keys().items():
        part = job.part(chunk, key, ["top_k"])
        best = pc.struct_field(pc.list_flatten(part.column("top_k")), "label")
        named.update(pc.unique(best).drop_null().to_pylist())
    return tuple(sorted(named))


class _Examples:
    """Some labeled rows of each class, the surest; equal photos are equally sure, and only one of them counts."""

    def __init__(self) -> None:
        self._found: dict[str, dict[float, int]] = {}

    def add(self, first: int, part: pa.Table) -> None:
        """Take the labeled rows of a part whose first row is ``first``."""
        labeled = pc.equal(part.column("status"), Status.LABELED)
        sure = part.select(["label", "confidence"]).filter(labeled)
        rows = pc.indices_nonzero(labeled).to_pylist()
        for row, label, confidence in zip(rows, *(column.to_pylist() for column in sure.columns), strict=True):
            best = self._found.setdefault(label, {})
            if len(best) < _EXAMPLES or confidence > min(best):
                best.setdefault(confidence, first + row)
                if len(best) > _EXAMPLES:
                    del best[min(best)]

    def best(self) -> dict[str, tuple[int, ...]]:
        """Class → rows, the surest first."""
        return {label: tuple(rows[sure] for sure in sorted(rows, reverse=True)) for label, rows in self._found.items()}


class _Claim:
    """Finds what the catalogue itself says that a photo shows: a column of class names, or the photo's folder.

    Args:
        job: whose first chunk tells which column it is.
        classes: of the model.
    """

    def __init__(self, job: Job, classes: Sequence[str]) -> None:
        self._job = job
        self._known = {name.casefold(): name for name in reversed(classes)}
        self._folder = False
        self.reads: str | None = None
        self.column: str | None = None
        if not job.spec.chunks:
            return
        first = job.chunk_table(0)
        for name in (*first.column_names, None):
            self._folder = name is None
            self.reads = name or job.spec.image_column
            if self.classes_of(first).null_count < _MOSTLY * first.num_rows:
                self.column = name or "folder"
                return
        self.reads = None

    def classes_of(self, table: pa.Table) -> pa.Array:
        """The class that each row names; null where it names none."""
        column = table.column(self.reads)
        if self._folder:
            cells = [PurePosixPath(cell or "").parent.name for cell in images_of(self._job, table)]
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            cells = column.to_pylist()
        else:
            return pa.nulls(table.num_rows, pa.string())
        return pa.array([self._known.get(cell.strip().casefold()) if cell else None for cell in cells], pa.string())
