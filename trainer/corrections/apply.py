"""Corrections come back into a result: a copy of it with what reviewers say."""

import fcntl
import os
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from models.errors import InputError, JobError
from models.storage.storage import FolderStorage, open_storage
from models.whole_file import open_lock, replacing
from trainer.corrections.rows_file import unguarded
from trainer.corrections.store import CorrectionStore
from trainer.corrections.verdicts import Verdict, read_verdicts, record_audit
from worker.finish import RESULT_FILE
from worker.job import Job, open_job
from worker.jobs import Jobs
from worker.label import job_folder
from worker.merging.merge import in_runs, worst_status
from worker.merging.output import OUTPUT_SUFFIXES, UNWRITABLE, check_output, holds_bytes, open_writer
from worker.places import cell_texts, is_elsewhere, is_url
from worker.receipt import Audit, job_receipt
from worker.results import WORST, Status, result_schema
from worker.scratch import scratch_folder
from worker.sources.parquet import read_parquet
from worker.sources.readers import Reader, read_delimited, read_jsonl

__all__ = ["CORRECTED_FILE", "CorrectedResult", "Labels", "apply_corrections", "apply_to_job", "copy_of", "find_labels"]

CORRECTED_FILE: Final = "labels.corrected.parquet"
_ADDED: Final = ("reviewed_by", "was", "remark")
_COPY: Final = ".corrected"
_APART: Final = "hangtag_"
_JOINED: Final = "; "
_OF_ALL_VERSIONS: Final = ("label", "confidence", "status", "error", "error_message", "top_k", "model")


@dataclass(frozen=True)
class Labels:
    """A result that corrections are for.

    Attributes:
        job: that made it; none where its folder is gone.
        result: the file of ``hangtag label``; none where the result lies in a queued job's own place.
    """

    job: Job | None
    result: Path | None


@dataclass(frozen=True)
class CorrectedResult:
    """What reviewers changed in a result.

    Attributes:
        output: the corrected copy: its path, or its URL.
        rows: in the result, and so in the copy.
        changed: rows that have another label now, ``confirmed`` rows whose label a reviewer gave, too.
        remarked: rows that reviewers gave a remark instead of a label.
        in_conflict: rows on which reviewers do not agree, left as they were. Of a job with named models, a row counts
            for each of its questions here and in the three before.
        left: rows to review on which nobody has spoken.
        audit: of labeled rows drawn at random; None if nobody has asked for one.
    """

    output: str
    rows: int
    changed: int
    confirmed: int
    remarked: int
    in_conflict: int
    left: int
    audit: Audit | None = None

    @property
    def reviewed(self) -> int:
        """Rows on which reviewers agree."""
        return self.changed + self.confirmed + self.remarked


def find_labels(name: str, jobs: str) -> Labels:
    """The result that a person names: by its path, by its ``.job`` folder, or by the name of a job in ``jobs``.

    Raises:
        InputError: there is no such result or job.
        JobError: the job is of another version, or damaged.
    """
    path = Path(name)
    if path.suffix == ".job" and path.is_dir():
        path = path.with_suffix("")
    if path.is_file():
        job = open_job(FolderStorage(job_folder(path.absolute())))
        original = path.with_stem(path.stem.removesuffix(_COPY))
        if job is None and original != path and original.is_file():
            msg = f"Expected a result of hangtag label, got the corrected copy of one; give {original}."
            raise InputError(msg)
        return Labels(job, path)
    if path.suffix.lower() in OUTPUT_SUFFIXES or os.sep in name:
        msg = f"Expected a result of hangtag label at {name}, found none; check the path."
        raise InputError(msg)
    return Labels(Jobs(open_storage(jobs)).find(name), None)


def apply_to_job(labels: Labels, store: CorrectionStore, output: Path | None = None) -> CorrectedResult:
    """Write the corrected copy of a result beside it, or at ``output``, and note what an audit has found.

    The copy of ``labels.csv`` is ``labels.corrected.csv``; that of a queued job is ``labels.corrected.parquet`` in the
    job's place. The original is left alone. A copy from before is replaced as a whole.

    Raises:
        InputError: the corrections, the result or the output cannot be used; nothing is written then.
        JobError: the job is not finished.
    """
    job, result = labels.job, labels.result
    if job is not None and job_receipt(job) is None:
        msg = f"{job.storage.place} is not finished yet; apply corrections when it is."
        raise JobError(msg)
    if job is None:
        if result is None:
            msg = "Expected a job or a result, got neither."
            raise InputError(msg)
        return apply_corrections(result, store, output or copy_of(result))
    with _one_at_a_time(job):
        if result is None:
            done = _in_its_place(job, store, output)
        else:
            done = apply_corrections(result, store, output or copy_of(result), job)
        audits = [record_audit(question, store.of_question(question.name)) for question in job.questions]
        return done if job.spec.questions else replace(done, audit=audits[0])


@contextmanager
def _one_at_a_time(job: Job) -> Iterator[None]:
    """Wait for others who write a corrected copy of the same job; several people may press the button at once."""
    job.storage.scratch.mkdir(parents=True, exist_ok=True)
    with open_lock(job.storage.scratch / ".corrections.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _in_its_place(job: Job, store: CorrectionStore, output: Path | None) -> CorrectedResult:
    """The same of a queued job, whose place may be in S3."""
    with scratch_folder(job.storage) as folder:
        result = job.storage.local(RESULT_FILE, folder)
        if output is not None:
            return apply_corrections(result, store, output, job)
        done = apply_corrections(result, store, folder / CORRECTED_FILE, job)
        job.storage.upload(CORRECTED_FILE, folder / CORRECTED_FILE)
    return replace(done, output=f"{job.storage.place}/{CORRECTED_FILE}")


def apply_corrections(result: Path, store: CorrectionStore, output: Path, job: Job | None = None) -> CorrectedResult:
    """Write a copy of a result with what reviewers say; every row, in its order, with all its columns.

    A row's photo is known by its ``sha256``, else by its path. Where all who spoke agree on a label, the row gets that
    label, which is accepted, and the status ``labeled``; where they agree on a remark, it gets no label and the status
    ``review``. Such rows have who said so in the column ``reviewed_by``, the label before in ``was``, and the remark in
    ``remark``; all others are as they were, with these columns empty. Memory does not grow with the rows.

    Of a job with named models each question has columns and a store of its own, and ``status`` is the worst again. The
    copy has a byte order mark if the result has one, and both are CSV files.

    Args:
        result: a .parquet, .csv or .jsonl file of ``hangtag label`` or of a queued job.
        store: what reviewers said.
        output: where the copy goes, written whole or not at all; its ending chooses the format.
        job: that made the result: it knows the prefix of the added columns, and where paths start.

    Raises:
        InputError: the corrections, the result or the output cannot be used; the output is as it was then.
    """
    check_output(output)
    if output.exists() and output.samefile(result):
        msg = f"Expected another --out than {result} itself, which is left as it is; name another file."
        raise InputError(msg)
    reader = _reader(result)
    schema, steps = reader.schema, list[_Correcting]()
    for question in job.questions if job else (None,):
        said = read_verdicts(store.of_question(question.name) if question else store)
        steps.append(_Correcting(said, schema, result, question))
        schema = steps[-1].schema
    worst = _WorstStatus(job, schema) if job and job.spec.questions else None
    harmless = frozenset[str]().union(*(step.harmless for step in steps))
    if output.suffix.lower() != ".parquet":
        for field in reader.schema:
            if holds_bytes(field.type):
                msg = f"The column {field.name} holds bytes, which {output.suffix} cannot; name a .parquet --out."
                raise InputError(msg)
    with (
        replacing(output) as temporary,
        open_writer(temporary, output.suffix.lower(), schema, harmless, mark=_has_mark(result)) as write,
    ):
        left = 0
        tables = in_runs(pa.Table.from_batches([batch]) for batch in reader.batches)
        for table in tables:
            corrected = table
            for step in steps:
                corrected = step.corrected(corrected)
            waits = reduce(pc.or_, (step.waits for step in steps))
            if worst:
                corrected = worst.again(corrected)
                waits = pc.and_(waits, worst.is_review(corrected))
            left += pc.sum(waits).as_py() or 0
            try:
                write(corrected)
            except UNWRITABLE as error:
                msg = f"Expected cells that {output.suffix} can hold, got {str(error)[:200]}; name a .parquet --out."
                raise InputError(msg) from error
    counts = sum((step.counts for step in steps), Counter[str]())
    rows = steps[0].counts["rows"]
    spoken = (counts["changed"], counts["confirmed"], counts["remarked"], counts["in_conflict"])
    return CorrectedResult(str(output), rows, *spoken, left)


def copy_of(result: Path) -> Path:
    """Where the corrected copy of a result lies."""
    return result.with_name(f"{result.stem}{_COPY}{result.suffix}")


def _reader(result: Path) -> Reader:
    match result.suffix.lower():
        case ".parquet":
            return read_parquet(result)
        case ".jsonl":
            return read_jsonl(result)
        case ".csv":
            return read_delimited(result)
    msg = f"Expected a result that ends in {', '.join(OUTPUT_SUFFIXES)}, got {result}."
    raise InputError(msg)


def _has_mark(result: Path) -> bool:
    """Whether a result is a CSV with a byte order mark, as ``--excel-safe`` writes it."""
    with result.open("rb") as file:
        return file.read(len(BOM_UTF8)) == BOM_UTF8


class _Correcting:
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


class _WorstStatus:
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
        msg = f"Expected the columns that one hangtag label adds in {result}, found {what}; put its .job folder there."
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
