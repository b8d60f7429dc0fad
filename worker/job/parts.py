"""Result columns, and part files. A part file is an Arrow stream with a chunk's results and a checksum."""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from models.decision import REASONS, Probabilities, Rules, Scores
from models.errors import ImageError, JobError
from models.storage.storage import Storage
from models.text import number_of, one_line

RESULT_SCHEMA: Final = pa.schema(
    [
        ("label", pa.string()),
        ("confidence", pa.float32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("accepted_label", pa.string()),
        ("label_2", pa.string()),
        ("confidence_2", pa.float32()),
        ("unknown", pa.float32()),
        ("error", pa.string()),
        ("error_message", pa.string()),
        ("top_k", pa.list_(pa.struct([("label", pa.string()), ("confidence", pa.float32())]))),
        ("sha256", pa.string()),
        ("model", pa.string()),
    ]
)
_DERIVED: Final = ("accepted_label", "label_2", "confidence_2")
"""Result columns that are computed from other columns."""
TREE_FIELDS: Final = (pa.field("label_level", pa.int8()), pa.field("leaf_guess", pa.string()))
WORST: Final = "status"
"""In jobs with named models, the column with each row's worst status."""
PRODUCT_SCHEMA: Final = pa.schema(
    [
        ("label", pa.string()),
        ("confidence", pa.float32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("accepted_label", pa.string()),
        ("rows", pa.int64()),
        ("readable", pa.int64()),
        ("agreement", pa.float32()),
        ("model", pa.string()),
    ]
)
"""The columns of ``by_group`` after the product's name."""
CORRECT_LABEL: Final = "correct_label"
"""The column of ``review.csv`` for the reviewer's label."""
THUMBNAIL: Final = "thumbnail"
"""The column of ``review.csv`` with the full path or URL of the photo."""
REVIEW_FIRST: Final = ("row", CORRECT_LABEL, "label", "confidence", "reason", "top_k", THUMBNAIL)
REVIEW_LAST: Final = ("sha256", "model")
"""``review.csv`` has ``REVIEW_FIRST``, then the catalogue's columns, then ``REVIEW_LAST``."""
PART_SCHEMA: Final = pa.schema(
    [*(field for field in RESULT_SCHEMA if field.name not in _DERIVED), ("etag", pa.string()), *TREE_FIELDS]
)
"""Columns of a part file."""
_LONGEST_MESSAGE: Final = 2000
JOB_KEY: Final = b"hangtag.job"
WORK_KEY: Final = b"hangtag.work"
_CHECKSUM_BYTES: Final = 4
_DAMAGED: Final = (pa.ArrowException, OSError, ValueError)
_PART_NAME: Final = re.compile(r"([0-9]{6,18})\.r([0-9]{1,9})\.arrow")


def result_schema(*, tree: bool) -> pa.Schema:
    """The columns that labelling adds. ``tree``: whether the model has a tree of labels."""
    return pa.schema([*RESULT_SCHEMA, *TREE_FIELDS]) if tree else RESULT_SCHEMA


class Status(StrEnum):
    """The status of a row."""

    LABELED = "labeled"
    REVIEW = "review"
    FAILED = "failed"


SEVERITY: Final = {Status.LABELED: 0, Status.REVIEW: 1, Status.FAILED: 2}
"""A worse status has a higher number."""


Scored = tuple[Probabilities, float]
"""A photo's probabilities, ``float32 (classes,)``, and out-of-distribution score (NaN if the model has none)."""
PartRow = dict[str, Any]
"""Column → cell of one row in a part file; a missing column is null."""


_REASONS: Final = pa.array(REASONS, pa.string())
_STATUS_OF_REASON: Final = pa.array([Status.REVIEW if reason else Status.LABELED for reason in REASONS], pa.string())


class Columns:
    """Collects the results of a chunk's rows for one question."""

    def __init__(self, rows: int, rules: Rules, model: str, top_k: int) -> None:
        self._rules, self._model, self._top_k = rules, model, top_k
        self._probabilities = np.full((rows, len(rules.labels)), np.nan, np.float32)
        self._unknown = np.full(rows, np.nan, np.float32)
        self._sha256: list[str | None] = [None] * rows
        self._etag: list[str | None] = [None] * rows
        self._cells: dict[int, PartRow] = {}
        self._left = rows

    def put(self, row: int, result: Scored | PartRow, sha256: str | None, etag: str | None) -> None:
        """Store a row's new result."""
        self._left -= 1
        if isinstance(result, dict):
            self._cells[row] = {**result, "sha256": sha256, "etag": etag, "model": self._model}
        else:
            self._probabilities[row], self._unknown[row] = result
            self._sha256[row], self._etag[row] = sha256, etag

    def keep(self, row: int, cells: PartRow) -> None:
        """Store a row's result from an earlier part file."""
        self._left -= 1
        self._cells[row] = cells

    @property
    def is_whole(self) -> bool:
        """Whether every row has a result."""
        return not self._left

    def table(self) -> pa.Table:
        """Set each row's status; returns all rows with the columns of :data:`PART_SCHEMA`."""
        rows = range(len(self._sha256))
        if not self._cells:
            return self._decided(rows)
        others, seen = sorted(self._cells), [row for row in rows if row not in self._cells]
        kept = pa.Table.from_pylist([self._cells[row] for row in others], PART_SCHEMA)
        return pa.concat_tables([self._decided(seen), kept]).take(np.argsort(seen + others))

    def _decided(self, rows: list[int] | range) -> pa.Table:
        unknown = self._unknown[rows] if self._rules.unknown_limit is not None else None
        decided = self._rules.decide(Scores(self._probabilities[rows], unknown), self._top_k)
        count = len(decided.label)
        names, reason = pa.array(decided.names, pa.string()), pa.array(decided.reason)
        offsets = pa.array(np.arange(count + 1, dtype=np.int32) * np.int32(decided.best.shape[1]))
        best = [names.take(pa.array(decided.best.ravel())), pa.array(decided.best_probabilities.ravel())]
        columns = {
            "label": names.take(pa.array(decided.label)),
            "confidence": pa.array(decided.confidence),
            "status": _STATUS_OF_REASON.take(reason),
            "reason": _REASONS.take(reason),
            "top_k": pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(best, ["label", "confidence"])),
            "sha256": pa.array([self._sha256[row] for row in rows], pa.string()),
            "model": pa.repeat(self._model, count),
            "etag": pa.array([self._etag[row] for row in rows], pa.string()),
        }
        if decided.unknown is not None:
            columns["unknown"] = pa.array(decided.unknown)
        if decided.level is not None:
            columns |= {
                "label_level": pa.array(decided.level),
                "leaf_guess": names.take(pa.array(decided.best[:, 0])),
            }
        arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in PART_SCHEMA]
        return pa.Table.from_arrays(arrays, schema=PART_SCHEMA)


def failed_cells(error: ImageError) -> PartRow:
    """The result of a photo that could not be read."""
    message = one_line(str(error), _LONGEST_MESSAGE)  # the message may contain any text from cells and hosts
    return {"status": Status.FAILED.value, "error": error.fault.value, "error_message": message}


def result_columns(part: pa.Table, names: Sequence[str]) -> list[pa.ChunkedArray]:
    """Columns of the result, computed from a part file's columns."""
    second = pc.list_element(pc.list_slice(part.column("top_k"), 1, 2, return_fixed_size_list=True), 0)
    labeled = pc.equal(part.column("status"), Status.LABELED)
    derived = {
        "accepted_label": pc.if_else(labeled, part.column("label"), pa.scalar(None, pa.string())),
        "label_2": pc.struct_field(second, "label"),
        "confidence_2": pc.struct_field(second, "confidence"),
    }
    return [derived[name] if name in derived else part.column(name) for name in names]


def with_leaves(part: pa.Table, chosen: pa.ChunkedArray | None = None) -> pa.Table:
    """In ``chosen`` rows (default: all), replace labels above the classes by the likeliest class and its confidence."""
    if "label_level" not in part.column_names:  # the model has no tree of labels
        return part
    above = pc.fill_null(pc.greater(part.column("label_level"), 0), False)
    above = above if chosen is None else pc.and_(above, chosen)
    if not pc.any(above).as_py():
        return part
    best = [top_k[0]["confidence"] if top_k else None for top_k in part.column("top_k").to_pylist()]
    leaves = {"label": part.column("leaf_guess"), "confidence": pa.array(best, pa.float32()), "label_level": 0}
    for name, leaf in leaves.items():
        column = part.column(name)
        cells = pc.if_else(above, leaf, column).cast(column.type)
        part = part.set_column(part.column_names.index(name), part.schema.field(name), cells)
    return part


class PhotoWork(BaseModel, frozen=True, extra="forbid"):
    """Counts, seconds and bytes of processed photos. Download seconds are summed, though downloads overlap.

    ``unchanged``: rows whose host returned the same ETag as before. ``repeated``: rows whose photo was labelled before
    in this job. ``carried``: rows with a result of the ``--previous`` job.
    """

    downloaded: int = 0
    unchanged: int = 0
    bytes: int = 0
    decoded: int = 0
    repeated: int = 0
    carried: int = 0
    download_s: float = 0.0
    decode_s: float = 0.0
    inference_s: float = 0.0

    def plus(self, other: "PhotoWork") -> "PhotoWork":
        """Add ``other``, field by field."""
        total = Counter(self.model_dump())
        total.update(other.model_dump())
        return PhotoWork.model_validate({name: round(value, 4) for name, value in total.items()})


NO_PHOTO_WORK: Final = PhotoWork()


class PartWork(BaseModel, frozen=True, extra="forbid"):
    """Labelling statistics of a chunk, stored in its part file.

    ``worker``: ``host:pid``. ``deaths``: attempts whose process died.
    """

    worker: str
    seconds: float
    deaths: int
    rows: int
    failed: int
    photos: PhotoWork = NO_PHOTO_WORK


def part_key(chunk: int, retry: int = 0) -> str:
    """Key of the part file with a chunk's results."""
    return f"parts/{chunk:06d}.r{retry}.arrow"


def latest_parts(names: Iterable[str]) -> dict[int, int]:
    """Chunk → highest retry number among part files with these names."""
    latest: dict[int, int] = {}
    for name in names:
        match = _PART_NAME.fullmatch(name)
        if match:
            chunk, retry = int(match[1]), int(match[2])
            if f"parts/{name}" != part_key(chunk, retry):
                continue  # the name has too many leading zeros
            latest[chunk] = max(latest.get(chunk, 0), retry)
    return latest


def worst_results(parts: Sequence[pa.Table]) -> pa.Table:
    """Each row's worst status and first error over all questions' results."""
    first = parts[0]
    known = {
        "status": worst_status([part.column("status") for part in parts]),
        "error": pc.coalesce(*(part.column("error") for part in parts)),
        "error_message": pc.coalesce(*(part.column("error_message") for part in parts)),
    }
    columns = [known[field.name] if field.name in known else pa.nulls(len(first), field.type) for field in PART_SCHEMA]
    return pa.table(columns, PART_SCHEMA).replace_schema_metadata(first.schema.metadata)


def worst_status(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Each row's worst status over all questions."""
    names = pa.array(sorted(SEVERITY, key=SEVERITY.__getitem__), pa.string())
    ranks = [pc.index_in(column, value_set=names) for column in columns]
    return names.take(pc.max_element_wise(*ranks, skip_nulls=False))


def part_bytes(
    answers: Mapping[str, pa.Table],
    job: str,
    worker: str,
    seconds: float,
    deaths: int,
    photos: PhotoWork = NO_PHOTO_WORK,
) -> bytes:
    """The bytes of a part file. ``answers``: question → results; the name is empty in a job with one model."""
    status = worst_status([results.column("status") for results in answers.values()])
    failed = pc.sum(pc.equal(status, Status.FAILED)).as_py()
    rows, took = len(status), round(seconds, 3)
    work = PartWork(worker=worker, seconds=took, deaths=deaths, rows=rows, failed=failed, photos=photos)
    facts = {JOB_KEY: job, WORK_KEY: work.model_dump_json()}
    columns = [column for results in answers.values() for column in results.columns]
    fields = [field.with_name(_in_part(name, field.name)) for name in answers for field in PART_SCHEMA]
    return checked_stream(pa.Table.from_arrays(columns, schema=pa.schema(fields, facts)))


def checked_stream(table: pa.Table) -> bytes:
    """A table as an Arrow stream with a checksum."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data + _checksum(data)


def open_stream(data: bytes) -> pa.RecordBatchStreamReader:
    """Open an Arrow stream from :func:`checked_stream`. Raises ValueError if the checksum differs."""
    whole = memoryview(data)[:-_CHECKSUM_BYTES]
    if _checksum(whole) != data[-_CHECKSUM_BYTES:]:
        msg = "its checksum differs"
        raise ValueError(msg)
    return pa.ipc.open_stream(pa.py_buffer(whole))


def _checksum(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECKSUM_BYTES)


def _in_part(question: str, column: str) -> str:
    return f"{question}_{column}" if question else column


def read_part(storage: Storage, key: str, job: str, rows: int) -> pa.Table:
    """Read a part file. Raises JobError for a damaged file, and for another job's file, which it also deletes."""
    data = storage.read(key)
    try:
        table = open_stream(data).read_all()
    except _DAMAGED as error:
        raise _damaged(storage, key, f"is damaged ({error})") from error
    if (table.schema.metadata or {}).get(JOB_KEY) != job.encode():
        storage.delete(key)
        msg = f"{key} was left by another job and has been removed; run the same command again."
        raise JobError(msg)
    if table.num_rows != rows:
        raise _damaged(storage, key, f"holds {number_of(table.num_rows, 'row')}, but its chunk has {rows}")
    return table


def _damaged(storage: Storage, key: str, how: str) -> JobError:
    return JobError(f"{key} in {storage.place} {how}; delete this file and try again.")


def question_tables(part: pa.Table, questions: Sequence[str], columns: list[str] | None = None) -> list[pa.Table]:
    """Split a table of part files into a table for each question."""
    names = columns or PART_SCHEMA.names
    schema = pa.schema([PART_SCHEMA.field(name) for name in names], part.schema.metadata)
    return [
        pa.Table.from_arrays([part.column(_in_part(question, name)) for name in names], schema=schema)
        for question in questions
    ]


def part_work(schema: pa.Schema) -> PartWork:
    """The :class:`PartWork` in a part file's schema."""
    return PartWork.model_validate_json(schema.metadata[WORK_KEY])


def read_work(storage: Storage, key: str) -> PartWork:
    """Read a part file's :class:`PartWork`. Raises JobError if the file is damaged."""
    data = storage.read(key)
    try:
        return part_work(open_stream(data).schema)
    except (*_DAMAGED, TypeError) as error:
        raise _damaged(storage, key, f"is damaged ({error})") from error


def photos_text(work: PhotoWork) -> str:
    """Text such as ``98,000 rows carried over from the previous result; 796 photos decoded``, or empty."""
    megabytes = f"({work.bytes / 1e6:,.1f} MB)"
    result = "carried over from the previous result"
    said = {
        number_of(work.carried, f"row {result}", f"rows {result}"): work.carried,
        number_of(
            work.repeated, "row with the same photo as an earlier row", "rows with the same photo as an earlier row"
        ): work.repeated,
        number_of(work.unchanged, "photo unchanged at its host", "photos unchanged at their hosts"): work.unchanged,
        number_of(work.downloaded, f"photo downloaded {megabytes}", f"photos downloaded {megabytes}"): work.downloaded,
    }
    counts = [words for words, count in said.items() if count]
    return f"{', '.join(counts)}; {number_of(work.decoded, 'photo')} decoded" if counts else ""
