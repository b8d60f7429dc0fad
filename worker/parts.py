"""Parts: the results of a chunk as a Parquet file, which says whose they are and what it took to make them."""

import io
import re
from collections.abc import Iterable
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import JobError
from models.storage.storage import Storage
from models.text import number_of
from worker.results import RowResult, Status, results_table

__all__ = [
    "NO_PHOTO_WORK",
    "PartWork",
    "PhotoWork",
    "latest_parts",
    "part_bytes",
    "part_key",
    "part_work",
    "photo_work",
    "read_part",
]

JOB_KEY: Final = b"hangtag.job"
WORK_KEY: Final = b"hangtag.work"
PHOTOS_KEY: Final = b"hangtag.photos"
_PART_NAME: Final = re.compile(r"([0-9]{6,18})\.r([0-9]{1,9})\.parquet")


class PartWork(BaseModel):
    """What it took to make a part; in its schema's metadata.

    Attributes:
        worker: ``host:pid`` of the process that made it.
        seconds: from taking the chunk to its end.
        deaths: earlier tries at the chunk that ended with their process.
        rows: rows in it.
        failed: failed rows in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    worker: str
    seconds: float
    deaths: int
    rows: int
    failed: int


class PhotoWork(BaseModel):
    """What the photos of a part took; in its schema's metadata, beside :class:`PartWork`.

    Attributes:
        downloaded: rows whose photo was fetched over a network for them.
        unchanged: rows of which the host said that their photo is the one it gave before (by its ETag).
        bytes: that came over a network.
        decoded: photos that were decoded.
        repeated: rows that took the result of the same bytes in this job.
        carried: rows that took the result of the same bytes in the job named by ``--previous``.
        download_s: seconds of all downloads, added up; they overlap.
        decode_s: seconds of decoding.
        inference_s: seconds of the network.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    downloaded: int = 0
    unchanged: int = 0
    bytes: int = 0
    decoded: int = 0
    repeated: int = 0
    carried: int = 0
    download_s: float = 0.0
    decode_s: float = 0.0
    inference_s: float = 0.0

    def __add__(self, other: "PhotoWork") -> "PhotoWork":
        """Of two parts together."""
        mine, others = self.model_dump(), other.model_dump()
        return PhotoWork(**{name: mine[name] + others[name] for name in mine})

    def rounded(self) -> "PhotoWork":
        """With times to the tenth of a second."""
        return PhotoWork(**{name: round(value, 1) for name, value in self.model_dump().items()})


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


def part_bytes(
    rows: list[RowResult], job: str, worker: str, seconds: float, deaths: int, photos: PhotoWork = NO_PHOTO_WORK
) -> bytes:
    """A part as the bytes of a Parquet file."""
    failed = sum(row.status is Status.FAILED for row in rows)
    work = PartWork(worker=worker, seconds=round(seconds, 3), deaths=deaths, rows=len(rows), failed=failed)
    facts = {JOB_KEY: job, WORK_KEY: work.model_dump_json(), PHOTOS_KEY: photos.model_dump_json()}
    table = results_table(rows).replace_schema_metadata(facts)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_part(storage: Storage, key: str, job: str, rows: int, columns: list[str] | None = None) -> pa.Table:
    """Read a part, or some columns of it, and check that it is the job's, and has as many rows as its chunk.

    Raises:
        JobError: it is damaged, another job's (then it is removed), or has another number of rows.
    """
    data = storage.read(key)
    try:
        table = pq.read_table(io.BytesIO(data), columns=columns, use_threads=False)  # so small that threads cost more
    except (pa.ArrowException, OSError) as error:
        msg = f"{key} in {storage.place} is damaged ({error}); delete it and go on."
        raise JobError(msg) from error
    if (table.schema.metadata or {}).get(JOB_KEY) != job.encode():
        storage.delete(key)
        msg = f"{key} was left by another job and has been removed; run the same command again."
        raise JobError(msg)
    if table.num_rows != rows:
        msg = (
            f"{key} in {storage.place} holds {number_of(table.num_rows, 'row')}, its chunk {rows}; delete it and go on."
        )
        raise JobError(msg)
    return table


def part_work(schema: pa.Schema) -> PartWork:
    """What a part's schema says of how it was made.

    Raises:
        JobError: it is of another version of Hangtag.
    """
    try:
        return PartWork.model_validate_json(schema.metadata[WORK_KEY])
    except (ValidationError, KeyError, TypeError) as error:
        msg = f"Expected a part that this version of Hangtag wrote, it is another's ({error})."
        raise JobError(msg) from error


def photo_work(schema: pa.Schema) -> PhotoWork:
    """What a part's schema says of its photos; nothing in parts from before this was written down."""
    text = (schema.metadata or {}).get(PHOTOS_KEY)
    return PhotoWork.model_validate_json(text) if text else NO_PHOTO_WORK
