"""Rows of a job as a sample: drawn once, with their photos read as the job reads them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from catalogue.catalogue import open_catalogue
from models.errors import JobError
from models.storage.storage import FolderStorage
from tests.photo_jobs import only_question
from tests.review_jobs import photo_bytes
from worker.catalogue_diff.sample import bring_job_here, draw_job_sample
from worker.job.job import Job
from worker.job.writer import create_job


def job_of(folder: Path, cells: Sequence[str], *, confined: bool = False) -> Job:
    """A job of these cells, in chunks of four rows; its photos lie in ``photos/``."""
    (folder / "shop.csv").write_text("\n".join(["image", *cells]) + "\n")
    catalogue = open_catalogue(folder / "shop.csv", image_root=folder / "photos")
    job = create_job(FolderStorage(folder / "job"), catalogue, only_question(), chunk_rows=4)
    return replace(job, spec=job.spec.model_copy(update={"confined": confined}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten photos under the image root, and one beside it."""
    for number in range(10):
        place = tmp_path / "photos" / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(photo_bytes(number))
    (tmp_path / "secret.png").write_bytes(photo_bytes(99))
    (tmp_path / "sample").mkdir()
    return tmp_path


def brought(job: Job, folder: Path) -> dict[int, bytes]:
    """Row → the bytes of its photo."""
    sample = draw_job_sample(job, folder / "sample", 400)
    table = pq.read_table(bring_job_here(sample, job, lambda *_: None))
    rows, places = (table.column(name).to_pylist() for name in ("row", "image"))
    return {row: Path(place).read_bytes() for row, place in zip(rows, places, strict=True)}


def test_the_same_rows_are_drawn_each_time_with_what_their_cells_say(folder: Path) -> None:
    job = job_of(folder, [f"{number}.png" for number in range(10)])
    sample = draw_job_sample(job, folder / "sample", 6)
    rows, cells = (sample.table.column(name).to_pylist() for name in ("row", "image"))
    assert cells == [f"{row - 1}.png" for row in rows]
    assert len(set(rows)) == 6
    assert rows == sorted(rows)
    assert draw_job_sample(job, folder / "sample", 6).table.equals(sample.table)
    assert sample.rows_in_source == 10


def test_a_row_whose_photo_is_gone_is_left_out(folder: Path) -> None:
    assert brought(job_of(folder, ["1.png", "gone.png", "2.png"]), folder) == {1: photo_bytes(1), 3: photo_bytes(2)}


@pytest.mark.parametrize("cell", ["../secret.png", "{folder}/secret.png"])
def test_a_job_that_is_confined_to_its_image_root_stays_so(folder: Path, cell: str) -> None:
    cells = ["1.png", cell.format(folder=folder)]
    assert brought(job_of(folder, cells, confined=True), folder) == {1: photo_bytes(1)}


def test_other_jobs_read_what_their_cells_name(folder: Path) -> None:
    assert brought(job_of(folder, ["../secret.png"]), folder) == {1: photo_bytes(99)}


def test_if_no_photo_comes_the_reason_is_told(folder: Path) -> None:
    with pytest.raises(JobError, match="none could be fetched: Expected a photo at"):
        brought(job_of(folder, ["a.png", "b.png"]), folder)
