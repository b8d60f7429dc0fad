"""Rows of a result, as Arrow columns, with what reviewers say of their photos."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from catalogue.urls import cell_texts, is_elsewhere, is_url
from models.errors import InputError
from trainer.corrections.rows_file import unguarded
from trainer.corrections.verdicts import Verdict
from worker.job.columns import WORST, result_schema
from worker.job.job import Job
from worker.job.parts import Status
from worker.results.merge import worst_status

_ADDED: Final = ("reviewed_by", "was", "remark")
_APART: Final = "hangtag_"
_JOINED: Final = "; "
_OF_ALL_VERSIONS: Final = ("label", "confidence", "status", "error", "error_message", "top_k", "model")


class Correcting:
    """Gives the rows of one result what reviewers say.

    Attributes:
        schema: of the copy.
        harmless: columns whose cells start no formula in a CSV.
        counts: rows so far, by what became of them.
        waits: of the rows corrected last, which wait for a person who speaks of them.
    """

    def __init__(self, verdicts: dict[str, Verdict], schema: pa.Schema, result: Path, job: Job | None) -> None:
        self._prefix = job.spec.options.prefix if job else _prefix_of(schema.names, result)
        self._label, self._status, self._sha256 = (self._prefix + name for name in ("label", "status", "sha256"))
        missing = {self._label, self._status, self._sha256} - set(schema.names)
        if missing:
            msg = f"Expected the columns that hangtag label adds in {result}, it lacks {', '.join(sorted(missing))}."
            raise InputError(msg)
        self._added = [_free_name(self._prefix + name, schema.names) for name in _ADDED]
        self.schema = pa.schema([*schema, *(pa.field(name, pa.string()) for name in self._added)])
        own, theirs = result_schema(tree=True).names, job.chunk_table(0).schema.names if job else ()
        self._own = {self._prefix + name: name for name in own if self._prefix + name not in theirs}
        self.harmless = frozenset({*self._own, *self._added})
        self.counts: Counter[str] = Counter()
        self.waits: pa.ChunkedArray = pa.chunked_array([], pa.bool_())
        self._as_read = unguarded if result.suffix.lower() == ".csv" else str
        self._verdicts = _VerdictColumns(verdicts)
        self._image = job.spec.image_column if job and job.spec.image_column in schema.names else None
        self._root = job.spec.image_root if job else ""

    def corrected(self, table: pa.Table) -> pa.Table:
        """Some rows of the copy."""
        said = self._said(table)
        self._count(table, said)
        if not pc.any(said.agreed).as_py():
            empty = pa.nulls(table.num_rows, pa.string())
            return pa.Table.from_arrays([*table.columns, empty, empty, empty], schema=self.schema)
        before = table.column(self._label)
        status = pc.if_else(pc.is_valid(said.remark), Status.REVIEW.value, Status.LABELED.value)
        nothing = pa.scalar(None, pa.string())
        changed = {"label": said.label, "status": status, "accepted_label": said.label, "reason": nothing}
        changed["label_level"] = pa.scalar("0")  # reviewers give classes
        was = pc.if_else(said.agreed, before.cast(pa.string()), nothing)
        given = (changed.get(self._own.get(name, "")) for name in table.column_names)
        columns = [
            column if cells is None else pc.if_else(said.agreed, cells.cast(column.type), column)
            for cells, column in zip(given, table.columns, strict=True)
        ]
        added = (said.names, was, said.remark)
        columns += [pc.if_else(said.agreed, column, nothing) for column in added]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _said(self, table: pa.Table) -> "_Said":
        places = self._places(table) if self._image and self._verdicts.of_places else None
        return self._verdicts.of(table.column(self._sha256).cast(pa.string()), places)

    def _places(self, table: pa.Table) -> pa.Array:
        cells = cell_texts(table.column(self._image or ""))
        return pa.array([None if cell is None else self._place(cell) for cell in cells], pa.string())

    def _place(self, cell: str) -> str:
        """A photo's place as a vote names it."""
        return cell if is_elsewhere(cell) or is_url(self._root) else os.path.normpath(Path(self._root) / cell)

    def _count(self, table: pa.Table, said: "_Said") -> None:
        numbers = pc.indices_nonzero(said.agreed)
        now, remarks = said.label.take(numbers).to_pylist(), said.remark.take(numbers).to_pylist()
        before = table.column(self._label).cast(pa.string()).take(numbers).to_pylist()
        self.counts["rows"] += table.num_rows
        for label, remark, was in zip(now, remarks, before, strict=True):
            same = was is not None and label == self._as_read(was)
            self.counts["remarked" if remark is not None else "confirmed" if same else "changed"] += 1
        silent = pc.and_(pc.invert(said.agreed), pc.invert(said.in_conflict))
        doubtful = pc.equal(table.column(self._status).cast(pa.string()), Status.REVIEW.value)
        self.counts["in_conflict"] += pc.sum(said.in_conflict).as_py() or 0
        self.waits = pc.and_(silent, pc.fill_null(doubtful, False))


class WorstStatus:
    """Writes each row's worst status again, where a question's was corrected."""

    def __init__(self, job: Job, schema: pa.Schema) -> None:
        self._questions = [f"{question.spec.options.prefix}status" for question in job.questions]
        self._place = schema.get_field_index(job.spec.options.prefix + WORST)

    def again(self, table: pa.Table) -> pa.Table:
        """The rows with that column."""
        statuses = worst_status([table.column(name).cast(pa.string()) for name in self._questions])
        field = table.schema.field(self._place)
        return table.set_column(self._place, field, statuses.cast(field.type))

    def is_review(self, table: pa.Table) -> pa.ChunkedArray:
        """Whether that column sends a row to review."""
        return pc.equal(table.column(self._place).cast(pa.string()), Status.REVIEW.value)


@dataclass(frozen=True)
class _Said:
    """What is said of some rows; each is a column of them.

    Attributes:
        agreed: whether there is a label or a remark on which all agree.
    """

    agreed: pa.Array
    in_conflict: pa.Array
    label: pa.Array
    remark: pa.Array
    names: pa.Array


class _VerdictColumns:
    """Verdicts as Arrow columns, to be looked up for many rows at once.

    Attributes:
        of_places: whether some photo is known by its place only.
    """

    def __init__(self, verdicts: dict[str, Verdict]) -> None:
        self._photos = pa.array(list(verdicts), pa.string())
        found = list(verdicts.values())
        self._label = _texts([one.label for one in found])
        self._remark = _texts([one.remark for one in found])
        self._names = _texts([_JOINED.join(one.reviewers) for one in found])
        self._in_conflict = pa.array([one.in_conflict for one in found], pa.bool_())
        self.of_places = any("/" in photo for photo in verdicts)

    def of(self, sha256: pa.ChunkedArray, places: pa.Array | None) -> _Said:
        """What is said of rows whose photos have these SHA-256, and lie at these places."""
        numbers = pc.index_in(sha256, value_set=self._photos).combine_chunks()
        if places is not None:
            numbers = pc.coalesce(numbers, pc.index_in(places, value_set=self._photos))
        in_conflict = pc.fill_null(self._in_conflict.take(numbers), False)
        agreed = pc.and_not(pc.is_valid(numbers), in_conflict)
        return _Said(agreed, in_conflict, *(one.take(numbers) for one in (self._label, self._remark, self._names)))


def _texts(cells: Sequence[Any]) -> pa.Array:
    return pa.array(cells, pa.string())


def _prefix_of(names: Sequence[str], result: Path) -> str:
    """The prefix of the columns that labelling added.

    Raises:
        InputError: there are none, or of several labellings.
    """
    known = set(names)
    prefixes = list(_prefixes(names, known))
    if len(prefixes) != 1:
        what = "none" if not prefixes else f"those of {len(prefixes)} labellings"
        msg = (
            f"Expected the columns of one run of hangtag label in {result}, found {what}; put the result's .job "
            "folder beside it."
        )
        raise InputError(msg)
    return prefixes[0]


def _prefixes(names: Sequence[str], known: set[str]) -> Iterator[str]:
    for name in names:
        prefix = name.removesuffix("sha256")
        if name.endswith("sha256") and {prefix + column for column in _OF_ALL_VERSIONS} <= known:
            yield prefix


def _free_name(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name = _APART + name
    return name
