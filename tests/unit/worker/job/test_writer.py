"""Writes a catalogue into a job, and compares two jobs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.catalogue import open_catalogue
from models.errors import InputError, JobError
from models.storage.storage import FolderStorage
from tests.photo_jobs import PAPER_PIN, only_question
from worker.job.job import Job, ModelPin
from worker.job.writer import create_job, differences
from worker.request import JobOptions


def write_csv(folder: Path, names: Sequence[str]) -> Path:
    file = folder / "a.csv"
    file.write_text("image,sku\n" + "".join(f"{name},{i:05d}\n" for i, name in enumerate(names)))
    return file


def made(folder: Path, names: Sequence[str], chunk_rows: int = 100, *, processes: int | None = None) -> Job:
    catalogue = open_catalogue(write_csv(folder, names))
    storage = FolderStorage(folder / "job")
    return create_job(storage, catalogue, only_question(), chunk_rows=chunk_rows, processes=processes)


@pytest.mark.parametrize(
    ("rows", "processes", "sizes"),
    [
        (400, 2, [100] * 4),
        (9_000, 2, [125] * 72),  # which come in three batches
        (100, 2, [50, 50]),
        (130, 3, [44, 44, 42]),
        (40, 64, [16, 16, 8]),
        (300, 1, [100] * 3),
    ],
)
def test_a_small_catalogue_is_shared_out_evenly(tmp_path: Path, rows: int, processes: int, sizes: list[int]) -> None:
    job = made(tmp_path, ["a.jpg"] * rows, 128, processes=processes)
    assert [job.rows_in_chunk(chunk) for chunk in range(job.spec.chunks)] == sizes


@given(count=st.integers(1, 700), chunk_rows=st.integers(1, 300), processes=st.sampled_from([None, 1, 3]))
@settings(max_examples=30)
def test_chunks_joined_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory, count: int, chunk_rows: int, processes: int | None
) -> None:
    names = [f"{i}.jpg" for i in range(count)]
    job = made(tmp_path_factory.mktemp("job"), names, chunk_rows, processes=processes)
    chunks = [job.chunk_table(chunk) for chunk in range(job.spec.chunks)]
    joined = pa.concat_tables(chunks)
    assert joined.column("image").to_pylist() == names
    assert joined.column("sku").to_pylist() == [f"{i:05d}" for i in range(count)]
    assert [chunk.num_rows for chunk in chunks] == [job.rows_in_chunk(c) for c in range(job.spec.chunks)]


def test_rows_that_a_killed_run_left_are_taken_as_they_are_and_others_are_refused(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(600)]
    first = made(tmp_path, names, 2)
    first.storage.delete("job.json")
    first.storage.delete("rows/00001.parquet")
    kept = tmp_path / "job" / "rows" / "00000.parquet"
    inode = kept.stat().st_ino
    again = made(tmp_path, names, 2)
    assert again.spec.rows_digest == first.spec.rows_digest
    assert again.chunk_images(299) == ["598.jpg", "599.jpg"]
    assert kept.stat().st_ino == inode
    first.storage.delete("job.json")
    with pytest.raises(JobError, match=r"rows/00000\.parquet"):
        made(tmp_path, ["b.jpg"])


def test_what_differs_from_a_job_that_is_there_is_told(tmp_path: Path) -> None:
    source = write_csv(tmp_path, ["a.jpg", "b.jpg"])
    begun = JobOptions(precision=0.95, allow_hosts=["shop:80"])
    job = create_job(FolderStorage(tmp_path / "job"), open_catalogue(source), only_question(), begun)

    def told(pin: ModelPin = PAPER_PIN, **options: object) -> str:
        return differences(job.spec, open_catalogue(source), only_question(pin), replace(begun, **options))

    assert told() == ""
    assert told(per_host=3, registry="elsewhere", encoding="utf-8", headers=["A: b"]) == "", "these change no result"
    assert told(precision=0.9) == "--precision was 0.95, is now 0.9"
    unset = "--precision was 0.95, is now not given; --threshold was not given, is now 0.5"
    assert told(precision=None, threshold=0.5) == unset
    more = "--decode-timeout was 10.0, is now 5.0; --excel-safe was not given, is now given"
    assert told(timeout_s=5.0, excel_safe=True).split("; ") == more.split("; ")
    assert told(allow_hosts=["shop:80", "b:81"]) == "--allow-host was shop:80, is now shop:80 b:81"
    assert told(image_suffix=".jpg") == "--image-suffix was not given, is now .jpg"
    other_model = PAPER_PIN.model_copy(update={"digest": "b" * 64, "reference": "shop/2"})
    assert told(other_model) == f"--model was {PAPER_PIN.reference}, is now shop/2"
    assert told(PAPER_PIN.model_copy(update={"digest": "b" * 64})) == "the model's files have changed"
    int8 = {"variant": "int8", "reference": PAPER_PIN.reference.replace("float32", "int8")}
    assert told(PAPER_PIN.model_copy(update=int8)) == "--variant was float32, is now int8", "it is the same bundle"
    write_csv(tmp_path, ["a.jpg", "c.jpg"])
    assert told(top_k=5) == f"the rows of {source} have changed; --top-k was 3, is now 5"
    other = open_catalogue(write_csv(tmp_path, ["d.jpg"]).rename(tmp_path / "other.csv"))
    assert (
        differences(job.spec, other, only_question(), begun)
        == f"its catalogue is {source}, not {tmp_path / 'other.csv'}"
    )


NEEDS_ROOT = {
    ("https://shop.example/a.jpg", "s3://shop/b.jpg", "DATA:image/png;base64,AA==", ""): False,
    ("https://shop.example/a.jpg", "b.jpg"): True,
    ("", "/srv/b.jpg"): True,
    ("",): False,
    ("//cdn.example/a.jpg", "https://shop.example/a.jpg, https://shop.example/b.jpg"): False,
}


@pytest.mark.parametrize(("cells", "needed"), NEEDS_ROOT.items(), ids=range(len(NEEDS_ROOT)))
def test_a_job_needs_its_root_where_cells_are_paths_under_a_folder(tmp_path: Path, cells, needed: bool) -> None:
    names = [f'"{cell}"' for cell in cells]
    assert made(tmp_path, names, 1).spec.needs_root == needed
    elsewhere = open_catalogue(tmp_path / "a.csv", image_root="https://shop.example")
    assert not create_job(FolderStorage(tmp_path / "other"), elsewhere, only_question()).spec.needs_root


@pytest.mark.rest
def test_files_of_large_rows_hold_fewer_chunks(tmp_path: Path) -> None:
    cell = "data:image/jpeg;base64," + "A" * 300_000
    job = made(tmp_path, [f'"{cell}{i}"' for i in range(700)])
    assert (job.spec.chunk_rows, job.spec.chunks_per_file) == (100, 2)
    assert sorted(job.storage.names("rows")) == [f"{number:05d}.parquet" for number in range(4)]
    images = [image for chunk in range(job.spec.chunks) for image in job.chunk_images(chunk)]
    assert images == [f"{cell}{i}" for i in range(700)]


@pytest.mark.rest
def test_a_chunk_of_rows_that_hold_large_photos_fits_into_memory(tmp_path: Path) -> None:
    job = made(tmp_path, [f'"data:,{"A" * 3_000_000}{i}"' for i in range(24)])
    assert job.spec.chunk_rows == 11
    assert [job.rows_in_chunk(chunk) for chunk in range(job.spec.chunks)] == [11, 11, 2]
    assert not differences(job.spec, open_catalogue(tmp_path / "a.csv"), only_question(), JobOptions())


def test_large_photos_that_come_after_small_rows_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    class Endless:
        """Rows that come from nowhere; a test of a real file would write a gigabyte."""

        read = 0

        def __iter__(self) -> Iterator[pa.RecordBatch]:
            schema = open_catalogue(small).schema
            yield pa.record_batch([["a.jpg"], ["1"]], schema=schema)
            large = pa.record_batch([["data:," + "A" * 60_000_000], ["1"]], schema=schema)  # all rows share its memory
            while True:
                self.read += 1
                yield large

    small, rows = write_csv(tmp_path, ["a.jpg"]), Endless()
    catalogue = replace(open_catalogue(small), batches=iter(rows))
    with pytest.raises(InputError, match="1,073,741,824 bytes"):
        create_job(FolderStorage(tmp_path / "job"), catalogue, only_question(), chunk_rows=100)
    assert rows.read == 18
