"""Jobs for tests: of a few drawn photos, ready to be labelled, or of rows without photos."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFile

from catalogue.catalogue import open_catalogue
from models.errors import ImageError, ImageFault
from models.storage.storage import FolderStorage
from tests.photo_jobs import PAPER_PIN, only_question, verified_pin
from tests.row_results import RowResult, failed_row, part_bytes
from tests.unit.worker.answers import PHOTO, photo
from worker.job.job import Job
from worker.job.jobs import Jobs
from worker.job.parts import Status, part_key
from worker.job.writer import create_job
from worker.request import JobOptions, Priority

FORMAT = "HANGTAGPANIC"
MakeJob = Callable[..., Job]
CommitPart = Callable[..., None]


class Panic(BaseException):
    """Pyo3's is a BaseException, too."""


class PanickingFile(ImageFile.ImageFile):
    """A plugin's format: a photo opens, but does not decode."""

    format = FORMAT

    def _open(self) -> None:
        self._size, self._mode = (8, 8), "RGB"

    def load(self) -> None:
        raise Panic("index out of bounds")  # noqa: EM101


@pytest.fixture
def panicking_photo() -> Iterator[bytes]:
    """Bytes whose decoder panics, like a plugin written in Rust."""
    Image.register_open(FORMAT, PanickingFile, lambda prefix: prefix.startswith(b"PANIC"))
    yield b"PANIC"
    Image.ID.remove(FORMAT)
    del Image.OPEN[FORMAT]


@pytest.fixture
def make_job(tmp_path: Path, bundle: Path) -> MakeJob:
    """Create a job of a catalogue in a folder of its own."""

    def make(source: Path, *, chunk_rows: int = 16, timeout_s: float = 10.0, prefix: str = "") -> Job:
        options = JobOptions(timeout_s=timeout_s, prefix=prefix)
        storage = FolderStorage(tmp_path / "result.parquet.job")
        return create_job(storage, open_catalogue(source), only_question(verified_pin(bundle)), options, chunk_rows)

    return make


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """An empty folder of jobs."""
    return Jobs(FolderStorage(tmp_path / "jobs"))


@pytest.fixture
def paper_job(tmp_path: Path, jobs: Jobs) -> MakeJob:
    """Create a job, in the folder of jobs, whose photos and model are names only."""

    def make(
        chunks: int = 5,
        *,
        chunk_rows: int = 2,
        name: str = "job",
        priority: Priority = Priority.NORMAL,
        options: JobOptions | None = None,
    ) -> Job:
        """The last chunk lacks a row."""
        source = tmp_path / f"{name}.csv"
        source.write_text("image\n" + "".join(f"{row}.jpg\n" for row in range(chunk_rows * chunks - 1)))
        catalogue = open_catalogue(source)
        return create_job(jobs.storage(name), catalogue, only_question(), options or JobOptions(), chunk_rows, priority)

    return make


@pytest.fixture
def commit_part() -> CommitPart:
    """Commit a part as if somebody had labelled the chunk."""

    def commit(
        job: Job, *chunks: int, retry: int = 0, faults: dict[int, ImageFault] | None = None, deaths: int = 0
    ) -> None:
        """``faults``: row of the chunk → why it failed."""
        for chunk in chunks:
            rows = [
                _row((faults or {}).get(number), 1000 * chunk + number) for number in range(job.rows_in_chunk(chunk))
            ]
            data = part_bytes(rows, job.spec.id, "shop-7:42", 0.5, deaths)
            assert job.storage.commit(part_key(chunk, retry), data)

    return commit


def _row(fault: ImageFault | None, number: int) -> RowResult:
    if fault:
        return failed_row(ImageError("It is no good.", fault), None, PAPER_PIN.reference)
    best = (("shoe", 0.75), ("hat", 0.25))
    return RowResult("shoe", 0.75, Status.LABELED, None, None, best, photo(number), PAPER_PIN.reference)


@pytest.fixture
def answered_job(tmp_path: Path) -> MakeJob:
    """Create a job of rows that have all been answered; its catalogue has the columns ``image`` and ``sku``."""
    numbers = count()

    def make(
        answers: Sequence[RowResult],
        products: pa.Array | Sequence[object],
        options: JobOptions | None = None,
        *,
        chunk_rows: int = 2,
        columns: dict[str, Sequence[object]] | None = None,
    ) -> Job:
        """``columns``: of the catalogue, besides. Photos are all different, but for those whose bytes are named."""
        folder = tmp_path / f"answered-{next(numbers)}"
        folder.mkdir()
        images = [f"{row}.jpg" for row in range(len(answers))]
        pq.write_table(pa.table({"image": images, "sku": products, **(columns or {})}), folder / "rows.parquet")
        options = options or JobOptions(group_column="sku")
        catalogue = open_catalogue(folder / "rows.parquet", "image")
        job = create_job(FolderStorage(folder / "job"), catalogue, only_question(), options, chunk_rows)
        photos = [replace(one, sha256=photo(row)) if one.sha256 == PHOTO else one for row, one in enumerate(answers)]
        for chunk in range(job.spec.chunks):
            rows = list(photos[chunk * chunk_rows : (chunk + 1) * chunk_rows])
            job.storage.commit(part_key(chunk), part_bytes(rows, job.spec.id, "shop-7:42", 0.5, 0))
        return job

    return make
