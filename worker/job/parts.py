"""The columns of a result, the result of a row, and parts: the results of a chunk as a Parquet file."""

import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from models.decision import Prediction, ReviewReason
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
"""Columns of the result that follow from others."""
TREE_FIELDS: Final = (pa.field("label_level", pa.int8()), pa.field("leaf_guess", pa.string()))
WORST: Final = "status"
"""The result's column, of a job with named models, that says the worst status of each row."""
PRODUCT_SCHEMA: Final = pa.schema(
    [
        ("label", pa.string()),
        ("confidence", pa.float32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("photos", pa.int64()),
        ("readable", pa.int64()),
        ("agreement", pa.float32()),
        ("model", pa.string()),
    ]
)
"""The columns of ``by_group.parquet`` after the product's name."""
CORRECT_LABEL: Final = "correct_label"
"""The column of ``review.csv`` that a person types into."""
THUMBNAIL: Final = "thumbnail"
"""The column of ``review.csv`` that says where the photo is, whatever its cell in the catalogue is relative to."""
REVIEW_FIRST: Final = ("row", CORRECT_LABEL, "label", "confidence", "reason", "top_k", THUMBNAIL)
REVIEW_LAST: Final = ("sha256", "model")
"""The columns of ``review.csv`` before and after the catalogue's."""
PART_SCHEMA: Final = pa.schema(
    [*(field for field in RESULT_SCHEMA if field.name not in _DERIVED), ("etag", pa.string()), *TREE_FIELDS]
)
"""Columns of a part: those of the result that do not follow from others, with a tree of labels or without, and the
host's ETag of the photo's bytes."""
_LONGEST_MESSAGE: Final = 2000
JOB_KEY: Final = b"hangtag.job"
WORK_KEY: Final = b"hangtag.work"
PHOTOS_KEY: Final = b"hangtag.photos"
_PART_NAME: Final = re.compile(r"([0-9]{6,18})\.r([0-9]{1,9})\.parquet")


def result_schema(*, tree: bool) -> pa.Schema:
    """The columns that labelling adds, by a model with a tree of labels or without."""
    return pa.schema([*RESULT_SCHEMA, *TREE_FIELDS]) if tree else RESULT_SCHEMA


class Status(StrEnum):
    """The status of a row."""

    LABELED = "labeled"
    REVIEW = "review"
    FAILED = "failed"


SEVERITY: Final = {Status.LABELED: 0, Status.REVIEW: 1, Status.FAILED: 2}
"""The worst status of several has the highest number."""


@dataclass(frozen=True)
class RowResult:
    """One row's result; the fields are the columns of :data:`PART_SCHEMA`."""

    label: str | None
    confidence: float | None
    status: Status
    error: str | None
    error_message: str | None
    top_k: tuple[tuple[str, float], ...] | None
    sha256: str | None
    model: str
    reason: ReviewReason | None = None
    etag: str | None = None
    label_level: int | None = None
    leaf_guess: str | None = None
    unknown: float | None = None


def labeled_row(said: Prediction, sha256: str, model: str) -> RowResult:
    """The result of a photo that the model has seen."""
    status = Status.REVIEW if said.review else Status.LABELED
    cells = (said.label, said.confidence, status, None, None, said.top_k, sha256, model, said.reason)
    return RowResult(*cells, None, said.label_level, said.leaf_guess, said.unknown)


def failed_row(error: ImageError, sha256: str | None, model: str) -> RowResult:
    """The result of a photo that could not be decoded."""
    message = one_line(str(error), _LONGEST_MESSAGE)  # cells, paths and hosts put anything into it
    return RowResult(None, None, Status.FAILED, error.fault.value, message, None, sha256, model)


def results_table(rows: Sequence[RowResult]) -> pa.Table:
    """Results as a table of :data:`PART_SCHEMA`, in the order given."""
    return pa.Table.from_pylist(list(map(vars, rows)), PART_SCHEMA)


def results_of(table: pa.Table) -> list[RowResult]:
    """The inverse of :func:`results_table`."""
    results = []
    for row in table.to_pylist():
        best = row["top_k"]
        top_k = None if best is None else tuple((entry["label"], entry["confidence"]) for entry in best)
        reason = row["reason"] and ReviewReason(row["reason"])
        results.append(RowResult(**{**row, "status": Status(row["status"]), "top_k": top_k, "reason": reason}))
    return results


def result_columns(part: pa.Table, names: Sequence[str]) -> list[pa.ChunkedArray]:
    """Columns of the result, from those of a part."""
    second = pc.list_element(pc.list_slice(part.column("top_k"), 1, 2, return_fixed_size_list=True), 0)
    labeled = pc.equal(part.column("status"), Status.LABELED)
    derived = {
        "accepted_label": pc.if_else(labeled, part.column("label"), pa.scalar(None, pa.string())),
        "label_2": pc.struct_field(second, "label"),
        "confidence_2": pc.struct_field(second, "confidence"),
    }
    return [derived[name] if name in derived else part.column(name) for name in names]


def with_leaves(part: pa.Table, chosen: pa.ChunkedArray | None = None) -> pa.Table:
    """Results with the likeliest class and its confidence in place of a label above it; of ``chosen`` rows, or all."""
    if "label_level" not in part.column_names:  # a result without a tree
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


class PartWork(BaseModel, frozen=True, extra="forbid"):
    """The work behind a part, in its metadata; ``worker`` is ``host:pid``, and ``deaths`` tries ended their process."""

    worker: str
    seconds: float
    deaths: int
    rows: int
    failed: int


class PhotoWork(BaseModel, frozen=True, extra="forbid"):
    """The work on a part's photos, in its schema's metadata: rows, seconds (those of downloads overlap) and bytes.

    ``unchanged``: the host said so by its ETag. ``repeated``: taken from a result of the same bytes in this job,
    ``carried``: from one in the job named by ``--previous``.
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
        """Both works together."""
        total = Counter(self.model_dump())
        total.update(other.model_dump())
        return PhotoWork.model_validate({name: round(value, 4) for name, value in total.items()})


NO_PHOTO_WORK: Final = PhotoWork()


def part_key(chunk: int, retry: int = 0) -> str:
    """Key of the part that holds a chunk's results."""
    return f"parts/{chunk:06d}.r{retry}.parquet"


def latest_parts(names: Iterable[str]) -> dict[int, int]:
    """Chunk → the highest retry among parts of the given names."""
    latest: dict[int, int] = {}
    for name in names:
        match = _PART_NAME.fullmatch(name)
        if match:
            chunk, retry = int(match[1]), int(match[2])
            if f"parts/{name}" != part_key(chunk, retry):
                continue  # it is nobody's: 0000017 is not 17
            latest[chunk] = max(latest.get(chunk, 0), retry)
    return latest


def worst_of(results: Sequence[RowResult]) -> RowResult:
    """The result that says the status of a row with several: failed before review before labeled, then the first."""
    return max(results, key=lambda result: SEVERITY[result.status])


def part_bytes(
    rows: Sequence[RowResult] | Mapping[str, Sequence[RowResult]],
    job: str,
    worker: str,
    seconds: float,
    deaths: int,
    photos: PhotoWork = NO_PHOTO_WORK,
) -> bytes:
    """A part as the bytes of a Parquet file; ``rows`` are those of each question if the job has named models."""
    answers = rows if isinstance(rows, Mapping) else {"": rows}
    by_row = list(zip(*answers.values(), strict=True))
    failed = sum(worst_of(results).status is Status.FAILED for results in by_row)
    work = PartWork(worker=worker, seconds=round(seconds, 3), deaths=deaths, rows=len(by_row), failed=failed)
    facts = {JOB_KEY: job, WORK_KEY: work.model_dump_json(), PHOTOS_KEY: photos.model_dump_json()}
    buffer = io.BytesIO()
    # So few rows have nothing to gain from dictionaries and statistics, which take a third of the time to write.
    columns = [column for results in answers.values() for column in results_table(results).columns]
    fields = [field.with_name(_in_part(name, field.name)) for name in answers for field in PART_SCHEMA]
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields, facts))
    pq.write_table(table, buffer, compression="zstd", use_dictionary=False, write_statistics=False)
    return buffer.getvalue()


def _in_part(question: str, column: str) -> str:
    return f"{question}_{column}" if question else column


def read_part(
    storage: Storage, key: str, job: str, rows: int, columns: list[str] | None = None, question: str = ""
) -> pa.Table:
    """Read a part, or some of its columns; one of another job is removed and refused, one that is damaged refused."""
    return read_answers(storage, key, job, rows, columns, [question])[0]


def read_answers(
    storage: Storage, key: str, job: str, rows: int, columns: list[str] | None, questions: Sequence[str]
) -> list[pa.Table]:
    """:func:`read_part` for several questions of a job, in one reading."""
    names = columns or PART_SCHEMA.names
    wanted = [[_in_part(question, name) for name in names] for question in questions]
    data = storage.read(key)
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        if (file.schema_arrow.metadata or {}).get(JOB_KEY) != job.encode():
            storage.delete(key)
            msg = f"{key} was left by another job and has been removed; run the same command again."
            raise JobError(msg)
        table = file.read([name for each in wanted for name in each], use_threads=False)  # too small for threads
        answers = [table.select(each) for each in wanted]
    except (pa.ArrowException, OSError, KeyError) as error:
        msg = f"{key} in {storage.place} is damaged ({error}); delete it and go on."
        raise JobError(msg) from error
    if table.num_rows != rows:
        rows_held = number_of(table.num_rows, "row")
        msg = f"{key} in {storage.place} holds {rows_held}, but its chunk has {rows}; delete it and go on."
        raise JobError(msg)
    return [answer.rename_columns(names).replace_schema_metadata(table.schema.metadata) for answer in answers]


def part_work(schema: pa.Schema) -> PartWork:
    """The work behind a part, from its schema."""
    return PartWork.model_validate_json(schema.metadata[WORK_KEY])


def read_work(storage: Storage, key: str) -> PartWork:
    """The work behind the part under a key."""
    return part_work(pq.read_schema(storage.source(key)))


def photo_work(schema: pa.Schema) -> PhotoWork:
    """The work on a part's photos, from its schema."""
    return PhotoWork.model_validate_json(schema.metadata[PHOTOS_KEY])


def photos_text(work: PhotoWork) -> str:
    """Such as ``98,000 rows carried over from the previous result; 796 photos decoded``; empty for decoding alone."""
    megabytes = f"({work.bytes / 1e6:,.1f} MB)"
    result = "carried over from the previous result"
    said = {
        number_of(work.carried, f"row {result}", f"rows {result}"): work.carried,
        number_of(work.repeated, "row with a photo labelled before", "rows with photos labelled before"): work.repeated,
        number_of(work.unchanged, "photo unchanged at its host", "photos unchanged at their hosts"): work.unchanged,
        number_of(work.downloaded, f"photo downloaded {megabytes}", f"photos downloaded {megabytes}"): work.downloaded,
    }
    counts = [words for words, count in said.items() if count]
    return f"{', '.join(counts)}; {number_of(work.decoded, 'photo')} decoded" if counts else ""
