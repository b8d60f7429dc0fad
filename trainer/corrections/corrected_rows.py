"""Corrects the rows of a result, as Arrow columns, by what reviewers agree on."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from catalogue.photo import Cells
from catalogue.urls import is_elsewhere, is_url, photo_cells
from catalogue.writers import unguarded
from models.errors import InputError
from models.text import label_text
from trainer.corrections.votes import PhotoVotes
from worker.job.job import Job
from worker.job.parts import WORST, Status, result_schema, worst_status

_ADDED: Final = ("reviewed_by", "was", "remark")
_APART: Final = "hangtag_"
_JOINED: Final = "; "


class Correcting:
    """Corrects the rows of one result, table by table, and counts them.

    ``harmless`` columns start no formula in a CSV; ``waits`` says which of the last rows are to be reviewed and have no
    vote.
    """

    def __init__(self, resolved: Mapping[str, PhotoVotes], schema: pa.Schema, result: Path, job: Job) -> None:
        prefix = job.spec.options.prefix
        self._label, self._status, self._sha256 = (prefix + name for name in ("label", "status", "sha256"))
        missing = {self._label, self._status, self._sha256} - set(schema.names)
        if missing:
            msg = f"Expected the columns that hangtag label adds in {result}, it lacks {', '.join(sorted(missing))}."
            raise InputError(msg)
        added = [_free_name(prefix + name, schema.names) for name in _ADDED]
        self.schema = pa.schema([*schema, *(pa.field(name, pa.string()) for name in added)])
        self._own = {prefix + name: name for name in result_schema(tree=True).names}
        self.harmless = frozenset({*self._own, *added})
        self.counts: Counter[str] = Counter()
        self.waits: pa.ChunkedArray = pa.chunked_array([], pa.bool_())
        self._as_read = unguarded if result.suffix.lower() == ".csv" else str
        self._photos = pa.array(list(resolved), pa.string())
        self._votes = _vote_columns(list(resolved.values()))
        by_place = any("/" in photo for photo in resolved)
        self._image = job.spec.image_column if by_place and job.spec.image_column in schema.names else None
        self._root, self._suffix = job.spec.image_root, job.spec.options.image_suffix
        self._cells = Cells(self._root, confined=job.spec.confined)

    def corrected(self, table: pa.Table) -> pa.Table:
        """Some rows of the copy."""
        votes = self._votes_on(table)
        in_conflict = pc.fill_null(votes["in_conflict"], False)
        agreed = pc.and_not(pc.is_valid(votes["in_conflict"]), in_conflict)
        self._count(table, votes.filter(agreed), table.column(self._label).filter(agreed), in_conflict)
        doubtful = pc.equal(table.column(self._status).cast(pa.string()), Status.REVIEW.value)
        self.waits = pc.and_not(pc.fill_null(doubtful, False), pc.or_(agreed, in_conflict))
        nothing = pa.scalar(None, pa.string())
        label, remark = votes["label"], votes["remark"]
        status = pc.if_else(pc.is_valid(remark), Status.REVIEW.value, Status.LABELED.value)
        changed = {"label": label, "status": status, "accepted_label": label, "reason": nothing}
        changed["label_level"] = pa.scalar("0")  # reviewers give classes
        cells = (changed.get(self._own.get(name, "")) for name in table.column_names)
        columns = [
            column if new is None else pc.if_else(agreed, new.cast(column.type), column)
            for new, column in zip(cells, table.columns, strict=True)
        ]
        was = table.column(self._label).cast(pa.string())
        columns += [pc.if_else(agreed, column, nothing) for column in (votes["reviewers"], was, remark)]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def _votes_on(self, table: pa.Table) -> pa.Table:
        numbers = pc.index_in(table.column(self._sha256).cast(pa.string()), value_set=self._photos)
        if self._image:
            cells = photo_cells(table.column(self._image), self._suffix)
            places = pa.array([None if cell is None else self._place(cell) for cell in cells], pa.string())
            numbers = pc.coalesce(numbers, pc.index_in(places, value_set=self._photos))
        return self._votes.take(numbers)

    def _place(self, cell: str) -> str:
        if is_elsewhere(cell) or is_url(self._root):
            return self._cells.url(cell) or cell if cell.startswith("//") else cell
        return os.path.normpath(Path(self._root) / self._cells.name(cell))

    def _count(self, table: pa.Table, votes: pa.Table, labels: pa.ChunkedArray, in_conflict: pa.ChunkedArray) -> None:
        self.counts["rows"] += table.num_rows
        self.counts["in_conflict"] += pc.sum(in_conflict).as_py() or 0
        for label, was in zip(votes["label"].to_pylist(), labels.cast(pa.string()).to_pylist(), strict=True):
            same = was is not None and label == label_text(self._as_read(was))
            self.counts["remarked" if label is None else "confirmed" if same else "changed"] += 1


def correct_worst(table: pa.Table, job: Job) -> pa.Table:
    """The rows with the worst status of all questions, computed again from the corrected ones."""
    names = [f"{question.spec.options.prefix}status" for question in job.questions]
    statuses = worst_status([table.column(name).cast(pa.string()) for name in names])
    place = table.schema.get_field_index(job.spec.options.prefix + WORST)
    field = table.schema.field(place)
    return table.set_column(place, field, statuses.cast(field.type))


def _vote_columns(votes: Sequence[PhotoVotes]) -> pa.Table:
    return pa.table(
        {
            "label": pa.array([one.label for one in votes], pa.string()),
            "remark": pa.array([one.remark for one in votes], pa.string()),
            "reviewers": pa.array([_JOINED.join(one.reviewers) for one in votes], pa.string()),
            "in_conflict": pa.array([one.in_conflict for one in votes], pa.bool_()),
        }
    )


def _free_name(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name = _APART + name
    return name
