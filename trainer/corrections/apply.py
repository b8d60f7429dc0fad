"""Applies corrections to a copy of a result."""

import fcntl
import os
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from catalogue.photo import PhotoLocator
from catalogue.readers import Reader, read_delimited, read_jsonl, read_parquet
from catalogue.urls import is_url, is_url_or_data, photo_cells
from catalogue.writers import OUTPUT_SUFFIXES, UNWRITABLE, check_output, holds_bytes, open_writer, unescape_formula
from models.errors import InputError, JobError
from models.storage.storage import FolderStorage, open_storage
from models.text import label_text
from models.whole_file import open_lock, replacing
from trainer.corrections.audit import record_audit
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import PhotoVotes, resolve
from worker.job.job import Job, open_job, scratch_folder
from worker.job.jobs import Jobs
from worker.job.parts import PART_SCHEMA, WORST, Status, result_schema, worst_status
from worker.job.receipt import REVIEW_FILE, Audit, GroupCounts, corrected_name, groups_file, job_receipt
from worker.label import job_folder
from worker.results.end_review import EndReview, find_end_reviews
from worker.results.finish import RESULT_FILE
from worker.results.merge import VOTES, ReviewList, join_tables, product_stores, scratch_database
from worker.results.products import (
    ProductStore,
    disagreement_to_review,
    needs_person,
    product_names,
    write_by_group,
)

CORRECTED_FILE: Final = "labels.corrected.parquet"
_ADDED: Final = ("reviewed_by", "was", "remark")
_APART: Final = "hangtag_"
_JOINED: Final = "; "


@dataclass(frozen=True)
class Labels:
    """A job and its result. ``result`` is None if the result is in the job's folder."""

    job: Job
    result: Path | None


@dataclass(frozen=True)
class CorrectedResult:
    """Row counts of a corrected result.

    In a job with several models, ``changed``, ``confirmed``, ``remarked`` and ``in_conflict`` are sums over all
    questions.

    Attributes:
        output: the path or URL of the corrected copy.
        changed: rows with a new label. confirmed: rows whose label reviewers confirmed.
        remarked: rows with a remark instead of a label.
        in_conflict: unchanged rows on which reviewers disagree.
        to_review: the path or URL of each list of rows that still need review, and its number of rows.
        products: the path or URL of each corrected table of products, and its counts.
    """

    output: str
    rows: int
    changed: int
    confirmed: int
    remarked: int
    in_conflict: int
    to_review: Mapping[str, int]
    audit: Audit | None = None
    products: Mapping[str, GroupCounts] = field(default_factory=dict)

    @property
    def reviewed(self) -> int:
        """Number of rows on which reviewers agree."""
        return self.changed + self.confirmed + self.remarked


def find_labels(name: str, jobs: str) -> Labels:
    """Find a result by path, by ``.job`` folder, or by the name of a job in ``jobs``."""
    path = Path(name)
    if path.suffix == ".job" and path.is_dir():
        path = path.with_suffix("")
    if path.is_file():
        folder = job_folder(path.absolute())
        job = open_job(FolderStorage(folder))
        if job is None:
            msg = f"Expected the job folder {folder} next to the result {path}, found none; copy it there, too."
            raise InputError(msg)
        return Labels(job, path)
    if path.suffix.lower() in OUTPUT_SUFFIXES or os.sep in name:
        msg = f"Expected an output file of hangtag label, found no {name}; check the path."
        raise InputError(msg)
    return Labels(Jobs(open_storage(jobs)).find(name), None)


def apply_to_job(labels: Labels, store: CorrectionStore, output: Path | None = None) -> CorrectedResult:
    """Write the corrected copy of a result to ``output``, by default next to the result.

    Records the figures of an audit. The copy of ``labels.csv`` is named ``labels.corrected.csv``. The copy for a
    queued job is ``labels.corrected.parquet`` in the job's folder. New labels of products are written to
    ``by_group.corrected.csv`` (or ``.parquet``) in the job's folder. Originals do not change. Earlier copies are
    replaced.
    """
    job, result = labels.job, labels.result
    if job_receipt(job) is None:
        msg = f"{job.storage.place} is not finished yet; apply corrections after it ends."
        raise JobError(msg)
    with _one_at_a_time(job):
        if result is None:
            done = _in_its_place(job, store, output)
        else:
            done = apply_corrections(result, store, output or copy_of(result), job)
        audits = [record_audit(question, store.of_question(question.name)) for question in job.questions]
        return done if job.spec.named else replace(done, audit=audits[0])


@contextmanager
def _one_at_a_time(job: Job) -> Iterator[None]:
    job.storage.scratch.mkdir(parents=True, exist_ok=True)
    with open_lock(job.storage.scratch / ".corrections.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _in_its_place(job: Job, store: CorrectionStore, output: Path | None) -> CorrectedResult:
    with scratch_folder(job.storage) as folder:
        result = job.storage.local(RESULT_FILE, folder)
        if output is not None:
            return apply_corrections(result, store, output, job)
        done = apply_corrections(result, store, folder / CORRECTED_FILE, job)
        job.storage.upload(CORRECTED_FILE, folder / CORRECTED_FILE)
    return replace(done, output=f"{job.storage.place}/{CORRECTED_FILE}")


def apply_corrections(result: Path, store: CorrectionStore, output: Path, job: Job) -> CorrectedResult:
    """Write a corrected copy of a job's result: all rows in the same order, with all columns.

    docs/formats.md lists the changed columns. In a job with several models, each question has its own columns and
    store. ``status`` becomes the worst status of a row's questions. A byte order mark of a CSV is kept. The file
    extension of ``output`` chooses the format. The copy is written completely or not at all.
    """
    _check_copy(output, result)
    reader = _reader(result)
    schema, steps = reader.schema, list[Correcting]()
    for question in job.questions:
        votes = store.of_question(question.name).votes()
        steps.append(Correcting(resolve(votes), schema, result, question))
        schema = steps[-1].schema
    harmless = frozenset[str]().union(*(step.harmless for step in steps))
    _check_bytes(reader.schema, output)
    kind = (output.suffix.lower(), schema, harmless, job.spec.delimiter)
    with replacing(output) as temporary, open_writer(temporary, *kind, mark=_has_mark(result)) as write:
        for table in join_tables(pa.Table.from_batches([batch]) for batch in reader.batches):
            try:
                write(_corrected(table, steps, job))
            except UNWRITABLE as error:
                msg = (
                    f"A cell cannot be written to a {output.suffix} file: {str(error)[:200]}; use --out with a "
                    ".parquet file."
                )
                raise InputError(msg) from error
    counts = sum((step.counts for step in steps), Counter[str]())
    to_review, products = _write_lists(job, steps, groups_copy(result))
    return CorrectedResult(
        str(output),
        steps[0].counts["rows"],
        counts["changed"],
        counts["confirmed"],
        counts["remarked"],
        counts["in_conflict"],
        to_review,
        products=products,
    )


def groups_copy(result: Path) -> str:
    """The name of the corrected table of products, in the job's folder."""
    return corrected_name(groups_file(result))


def _write_lists(
    job: Job, steps: "Sequence[Correcting]", products: str
) -> tuple[dict[str, int], dict[str, GroupCounts]]:
    """Write each question's rows that still need review, and its corrected product table."""
    column, name = job.spec.options.group_column, corrected_name(REVIEW_FILE)
    to_review: dict[str, int] = {}
    counts: dict[str, GroupCounts] = {}
    with ExitStack() as files:
        folder, ends = files.enter_context(scratch_folder(job.storage)), find_end_reviews(job)
        stores: Sequence[ProductStore | None] = [None] * len(steps)
        disputed = [set[str]() for _ in steps]
        if column:
            stores = product_stores(job, column, folder, files)
            disputed = _count_votes(job, steps, ends, stores)
        lists = [ReviewList(files.enter_context(scratch_database(folder)), question) for question in job.questions]
        for batch in job.batches():
            each = zip(batch.answers, steps, ends, stores, disputed, lists, strict=True)
            for part, step, end, store, disagreed, listed in each:
                votes = step.votes_on(part.column("sha256"), batch.rows)
                own, needed = _still_to_review(end.apply(part), batch.rows, votes, store, disagreed)
                listed.add(own, batch.rows, needed)
        for question, store, disagreed, listed in zip(job.questions, stores, disputed, lists, strict=True):
            place = question.storage.place
            if store:
                counts[f"{place}/{products}"] = write_by_group(question, store, folder / products, disagreed)
                question.storage.upload(products, folder / products)
            to_review[f"{place}/{name}"] = listed.write(folder / name)
            question.storage.upload(name, folder / name)
    return to_review, counts


def _count_votes(
    job: Job, steps: "Sequence[Correcting]", ends: Sequence[EndReview], stores: Sequence[ProductStore]
) -> list[set[str]]:
    """Add votes to the stores. If reviewers labelled photos of a product, its other photos do not vote.

    Returns each question's products on which reviewers disagree.
    """
    column = stores[0].column
    columns = list({column, *(step.image for step in steps if step.image)})
    labelled, disputed = [set[str]() for _ in steps], [set[str]() for _ in steps]
    for batch in job.batches(["sha256"], columns):
        names = product_names(batch.rows, column)
        for own, step, part in zip(labelled, steps, batch.answers, strict=True):
            has_label = pc.is_valid(step.votes_on(part.column("sha256"), batch.rows)["label"])
            own.update(names.filter(has_label).drop_null().to_pylist())
    decided = [pa.array(sorted(own), pa.string()) for own in labelled]
    for batch in job.batches(VOTES, columns):
        names = product_names(batch.rows, column)
        for at, (store, step) in enumerate(zip(stores, steps, strict=True)):
            silent = pc.is_in(names, value_set=decided[at])
            part, in_conflict = step.answered(ends[at].apply(batch.answers[at]), batch.rows, silent)
            store.add(part, names)
            disputed[at].update(names.filter(in_conflict).drop_null().to_pylist())
    return disputed


def _still_to_review(
    part: pa.Table, rows: pa.Table, votes: pa.Table, store: ProductStore | None, disputed: set[str]
) -> tuple[pa.Table, pa.ChunkedArray]:
    """Whether each row still needs review. Also returns the part, with rows of disputed products in review.

    A row of a product needs review until the product is labeled, or the row has a remark. Other rows need review until
    they have an answer.
    """
    no_remark = pc.is_null(votes["remark"])
    needed = pc.and_(no_remark, pc.is_null(votes["label"]))
    if store:
        part = disagreement_to_review(store, part, rows, disputed)
        needed = pc.coalesce(pc.and_(needs_person(store, part, rows, disputed), no_remark), needed)
    return part, needed


def _check_copy(output: Path, result: Path) -> None:
    check_output(output)
    if output.exists() and output.samefile(result):
        msg = f"--out is the result {result} itself, which is never overwritten; choose another file."
        raise InputError(msg)


def _check_bytes(schema: pa.Schema, output: Path) -> None:
    if output.suffix.lower() != ".parquet":
        for field in schema:
            if holds_bytes(field.type):
                msg = (
                    f"The column {field.name} holds bytes, which {output.suffix} files cannot hold; use --out "
                    "with a .parquet file."
                )
                raise InputError(msg)


def _corrected(table: pa.Table, steps: "Sequence[Correcting]", job: Job) -> pa.Table:
    for step in steps:
        table = step.corrected(table)
    return correct_worst(table, job) if job.spec.questions else table


def copy_of(result: Path) -> Path:
    """The path of a result's corrected copy."""
    return result.with_name(corrected_name(result.name))


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
    with result.open("rb") as file:
        return file.read(len(BOM_UTF8)) == BOM_UTF8


class Correcting:
    """Corrects the rows of a result, table by table, and counts the changes.

    In a CSV, the ``harmless`` columns contain no formulas. ``image`` is the column with the photos' paths, or None if
    not needed.
    """

    def __init__(self, resolved: Mapping[str, PhotoVotes], schema: pa.Schema, result: Path, job: Job) -> None:
        prefix = job.spec.options.prefix
        self._label, self._status, self._sha256 = (prefix + name for name in ("label", "status", "sha256"))
        missing = {self._label, self._status, self._sha256} - set(schema.names)
        if missing:
            msg = f"Expected the columns of hangtag label in {result}, but {', '.join(sorted(missing))} are missing."
            raise InputError(msg)
        added = [_free_name(prefix + name, schema.names) for name in _ADDED]
        self.schema = pa.schema([*schema, *(pa.field(name, pa.string()) for name in added)])
        self._own = {prefix + name: name for name in result_schema(tree=True).names}
        self.harmless = frozenset({*self._own, *added})
        self.counts: Counter[str] = Counter()
        self._as_read = unescape_formula if result.suffix.lower() == ".csv" else str
        self._photos = pa.array(list(resolved), pa.string())
        self._votes = _vote_columns(list(resolved.values()))
        by_place = any("/" in photo for photo in resolved)
        self.image = job.spec.image_column if by_place and job.spec.image_column in schema.names else None
        self._root, self._suffix = job.spec.image_root, job.spec.options.image_suffix
        self._cells = PhotoLocator(self._root, confined=job.spec.confined)

    def corrected(self, table: pa.Table) -> pa.Table:
        """Correct the rows of a table."""
        votes = self.votes_on(table.column(self._sha256), table)
        in_conflict = pc.fill_null(votes["in_conflict"], False)
        agreed = pc.and_not(pc.is_valid(votes["in_conflict"]), in_conflict)
        self._count(table, votes.filter(agreed), table.column(self._label).filter(agreed), in_conflict)
        nothing = pa.scalar(None, pa.string())
        label, remark = votes["label"], votes["remark"]
        status = pc.if_else(pc.is_valid(remark), Status.REVIEW.value, Status.LABELED.value)
        changed = {"label": label, "status": status, "accepted_label": label, "reason": nothing}
        changed["label_level"] = pa.scalar("0")  # reviewers choose classes, not parents
        cells = (changed.get(self._own.get(name, "")) for name in table.column_names)
        columns = [
            column if new is None else pc.if_else(agreed, new.cast(column.type), column)
            for new, column in zip(cells, table.columns, strict=True)
        ]
        was = table.column(self._label).cast(pa.string())
        columns += [pc.if_else(agreed, column, nothing) for column in (votes["reviewers"], was, remark)]
        return pa.Table.from_arrays(columns, schema=self.schema)

    def answered(self, part: pa.Table, rows: pa.Table, silent: pa.ChunkedArray) -> tuple[pa.Table, pa.ChunkedArray]:
        """Apply reviewers' answers to a part file, before products get labels.

        Rows with a remark, and ``silent`` rows without an agreed label, do not vote. Also returns the rows on which
        reviewers disagree.
        """
        votes = self.votes_on(part.column("sha256"), rows)
        has_label = pc.is_valid(votes["label"])
        is_remark = pc.or_(pc.is_valid(votes["remark"]), pc.and_not(silent, has_label))
        agreed = pc.or_(is_remark, has_label)
        changed = {
            "label": votes["label"],
            "top_k": votes["top_k"],
            "status": pc.if_else(is_remark, Status.FAILED.value, Status.LABELED.value),
            "reason": pa.scalar(None, pa.string()),
            "label_level": pa.scalar(0, pa.int8()),
        }
        for name, cells in changed.items():
            column = pc.if_else(agreed, cells, part.column(name))
            part = part.set_column(part.column_names.index(name), name, column)
        return part, pc.fill_null(votes["in_conflict"], False)

    def votes_on(self, sha256: pa.ChunkedArray, rows: pa.Table) -> pa.Table:
        """The reviewers' agreed label, remark and more for each row; null without an answer."""
        numbers = pc.index_in(sha256.cast(pa.string()), value_set=self._photos)
        if self.image:
            cells = photo_cells(rows.column(self.image), self._suffix)
            places = pa.array([None if cell is None else self._place(cell) for cell in cells], pa.string())
            numbers = pc.coalesce(numbers, pc.index_in(places, value_set=self._photos))
        return self._votes.take(numbers)

    def _place(self, cell: str) -> str:
        if is_url_or_data(cell) or is_url(self._root):
            return self._cells.url(cell) or cell if cell.startswith("//") else cell
        return os.path.normpath(Path(self._root) / self._cells.name(cell))

    def _count(self, table: pa.Table, votes: pa.Table, labels: pa.ChunkedArray, in_conflict: pa.ChunkedArray) -> None:
        self.counts["rows"] += table.num_rows
        self.counts["in_conflict"] += pc.sum(in_conflict).as_py() or 0
        for label, was in zip(votes["label"].to_pylist(), labels.cast(pa.string()).to_pylist(), strict=True):
            same = was is not None and label == label_text(self._as_read(was))
            self.counts["remarked" if label is None else "confirmed" if same else "changed"] += 1


def correct_worst(table: pa.Table, job: Job) -> pa.Table:
    """Set each row's status to the worst status of its questions."""
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
            "top_k": pa.array([one.label and [(one.label, 1.0)] for one in votes], PART_SCHEMA.field("top_k").type),
        }
    )


def _free_name(name: str, taken: Sequence[str]) -> str:
    while name.casefold() in map(str.casefold, taken):
        name = _APART + name
    return name
