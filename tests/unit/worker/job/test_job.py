import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.catalogue import open_catalogue
from models.errors import InputError, JobError
from models.storage.storage import FolderStorage
from worker.job.job import Job, open_job
from worker.job.spec import Choice, JobSpec, ModelPin, Question
from worker.job.writer import create_job, differences
from worker.request import JobOptions, Priority

PIN = ModelPin(path="/models/shop", reference="shop/1/float32@abc", variant="float32", digest="a" * 64)

SPEC = JobSpec(
    schema_version=5, id="0123456789ab", created_at="2026-11-21T05:00:00.000+00:00",
    source="/srv/products.csv", image_column="image", image_root="/srv", rows=300, chunk_rows=256,
    chunks=2, rows_digest="b" * 64, left_out={".heic": 2}, priority=Priority.HIGH,
    preprocess_version="1", model=PIN.model_copy(update={"precision": 0.98}),
    options=JobOptions(prefix="ht_", top_k=5, timeout_s=2.5, precision=0.98), digest="c" * 64, fallback=PIN,
)  # fmt: skip

JOB = {
    "schema_version": 5, "id": "0123456789ab", "created_at": "2026-11-21T05:00:00.000+00:00",
    "source": "/srv/products.csv", "image_column": "image", "image_root": "/srv", "rows": 300,
    "chunk_rows": 256, "chunks": 2, "rows_digest": "b" * 64, "left_out": {".heic": 2},
    "priority": "high", "preprocess_version": "1",
    "model": {
        "path": "/models/shop", "reference": "shop/1/float32@abc", "variant": "float32",
        "digest": "a" * 64, "precision": 0.98, "all_to_review": False, "threshold": None,
    },
    "options": {
        "prefix": "ht_", "top_k": 5, "timeout_s": 2.5, "precision": 0.98, "group_column": None,
        "allow_hosts": None, "download_timeout_s": None, "excel_safe": None, "threshold": None,
    },
    "digest": "c" * 64, "confined": False, "per_host": None, "needs_root": True,
    "chunks_per_file": 256,
    "fallback": {
        "path": "/models/shop", "reference": "shop/1/float32@abc", "variant": "float32",
        "digest": "a" * 64, "precision": None, "all_to_review": False, "threshold": None,
    },
}  # fmt: skip
JOB_JSON = json.dumps(JOB, indent=1)


def write_csv(folder: Path, names: list[str]) -> Path:
    file = folder / "a.csv"
    file.write_text("image,sku\n" + "".join(f"{name},{i:05d}\n" for i, name in enumerate(names)))
    return file


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
    catalogue = open_catalogue(write_csv(tmp_path, ["a.jpg"] * rows))
    job = create_job(FolderStorage(tmp_path / "job"), catalogue, PIN, JobOptions(), processes=processes)
    assert [job.rows_in_chunk(chunk) for chunk in range(job.spec.chunks)] == sizes


@given(count=st.integers(1, 700), chunk_rows=st.integers(1, 300), processes=st.sampled_from([None, 1, 3]))
@settings(deadline=None, max_examples=30)
def test_chunks_joined_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory, count: int, chunk_rows: int, processes: int | None
) -> None:
    folder = tmp_path_factory.mktemp("job")
    names = [f"{i}.jpg" for i in range(count)]
    source = write_csv(folder, names)
    storage, catalogue = FolderStorage(folder / "job"), open_catalogue(source)
    job = create_job(storage, catalogue, PIN, JobOptions(), chunk_rows, processes=processes)
    joined = pa.concat_tables(job.chunk_table(chunk) for chunk in range(job.spec.chunks))
    assert joined.column("image").to_pylist() == names
    assert joined.column("sku").to_pylist() == [f"{i:05d}" for i in range(count)]
    assert [job.chunk_table(c).num_rows for c in range(job.spec.chunks)] == [
        job.rows_in_chunk(c) for c in range(job.spec.chunks)
    ]


def test_the_format_on_disk_is_this_one(tmp_path: Path) -> None:
    FolderStorage(tmp_path).commit("job.json", JOB_JSON.encode())
    job = open_job(FolderStorage(tmp_path))
    assert job.spec == SPEC


def test_what_is_written_has_that_format(tmp_path: Path) -> None:
    assert SPEC.model_dump_json(indent=1) == JOB_JSON
    source = write_csv(tmp_path, ["a.jpg"])
    job = create_job(FolderStorage(tmp_path / "job"), open_catalogue(source), PIN, JobOptions())
    assert job.storage.read("job.json").decode() == job.spec.model_dump_json(indent=1)


def test_a_job_from_before_there_were_precisions_loads_and_keeps_its_digest(tmp_path: Path) -> None:
    source, storage = write_csv(tmp_path, ["a.jpg", "b.jpg"]), FolderStorage(tmp_path / "job")
    spec = json.loads(create_job(storage, open_catalogue(source), PIN, JobOptions()).spec.model_dump_json())
    del spec["options"]["threshold"], spec["model"]["threshold"]
    del spec["options"]["precision"], spec["model"]["precision"], spec["model"]["all_to_review"], spec["fallback"]
    asked = {
        "rows": spec["rows_digest"],
        "image_column": "image",
        "image_root": str(tmp_path),
        "model": ["a" * 64, "float32"],
        "options": {"prefix": "", "top_k": 3, "timeout_s": 10.0},
    }
    spec["digest"] = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    storage.replace("job.json", json.dumps(spec).encode())
    job = open_job(storage)
    assert (job.spec.options.precision, job.spec.model.precision, job.spec.model.all_to_review) == (None, None, False)
    assert not differences(job.spec, open_catalogue(source), PIN, JobOptions())


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_job_of_an_earlier_version_is_read_and_says_whether_nothing_was_promised(tmp_path, version) -> None:
    earlier = json.loads(JOB_JSON)
    earlier["schema_version"] = version
    del earlier["options"]["threshold"], earlier["model"]["threshold"], earlier["fallback"]
    storage, said = FolderStorage(tmp_path), []
    for precision, all_to_review in ((0.98, False), (0.99, True), (None, True), (None, False)):
        earlier["model"] |= {"precision": precision, "all_to_review": all_to_review}
        storage.replace("job.json", json.dumps(earlier).encode())
        job = open_job(storage)
        assert job
        said.append(job.spec.model.unpromised)
    assert said == [False, False, False, True]


@pytest.mark.parametrize("text", [JOB_JSON.replace('"schema_version": 5', '"schema_version": 1'), "{}"])
def test_a_job_that_is_damaged_or_of_another_version_is_refused(tmp_path: Path, text: str) -> None:
    FolderStorage(tmp_path).commit("job.json", text.encode())
    with pytest.raises(JobError, match="use the version that made it, or start again with --restart"):
        open_job(FolderStorage(tmp_path))


def test_the_name_of_a_question_leads_out_of_no_folder(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    for name, is_read in (("colour", True), ("../x", False), ("", False), ("colour\n", False)):
        asked = [{"name": name, "model": JOB["model"], "fallback": None}]
        storage.replace("job.json", json.dumps({**JOB, "schema_version": 6, "questions": asked}).encode())
        if is_read:
            assert [question.name for question in open_job(storage).questions] == [name]
            continue
        with pytest.raises(JobError, match="is damaged"):
            open_job(storage)


def test_rows_that_a_killed_run_left_are_taken_as_they_are(tmp_path: Path) -> None:
    source = write_csv(tmp_path, [f"{i}.jpg" for i in range(600)])
    storage = FolderStorage(tmp_path / "job")
    first = create_job(storage, open_catalogue(source), PIN, JobOptions(), 2)
    storage.delete("job.json")
    storage.delete("rows/00001.parquet")
    left = (storage.root / "rows/00000.parquet").stat().st_ino
    again = create_job(storage, open_catalogue(source), PIN, JobOptions(), 2)
    assert again.spec.digest == first.spec.digest
    assert again.chunk_images(299) == ["598.jpg", "599.jpg"]
    assert (storage.root / "rows/00000.parquet").stat().st_ino == left


def test_other_rows_that_are_there_are_refused(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path / "job")
    create_job(storage, open_catalogue(write_csv(tmp_path, ["a.jpg"])), PIN, JobOptions())
    storage.delete("job.json")
    with pytest.raises(JobError, match=r"Expected no rows/00000\.parquet"):
        create_job(storage, open_catalogue(write_csv(tmp_path, ["b.jpg"])), PIN, JobOptions())


def test_what_differs_from_a_job_that_is_there_is_told(tmp_path: Path) -> None:
    source = write_csv(tmp_path, ["a.jpg", "b.jpg"])
    begun = JobOptions(precision=0.95, allow_hosts=("shop:80",))
    job = create_job(FolderStorage(tmp_path / "job"), open_catalogue(source), PIN, begun)

    def told(pin: ModelPin = PIN, **options: object) -> str:
        return differences(job.spec, open_catalogue(source), pin, begun.model_copy(update=options))

    assert told() == ""
    assert told(precision=0.9) == "--precision was 0.95, is 0.9"
    assert (
        told(precision=None, threshold=0.5) == "--precision was 0.95, is not given; --threshold was not given, is 0.5"
    )
    assert (
        told(timeout_s=5.0, excel_safe=True)
        == "--decode-timeout was 10.0, is 5.0; --excel-safe was not given, is given"
    )
    assert told(allow_hosts=("shop:80", "b:81")) == "--allow-host was shop:80, is shop:80 b:81"
    assert told(PIN.model_copy(update={"digest": "b" * 64, "reference": "shop/2"})) == (
        f"--model was {PIN.reference}, is shop/2"
    )
    assert told(PIN.model_copy(update={"digest": "b" * 64})) == "the model's files have changed"
    int8 = {"variant": "int8", "reference": PIN.reference.replace("float32", "int8")}
    assert int8["reference"] != PIN.reference
    assert told(PIN.model_copy(update=int8)) == "--variant was float32, is int8", "it is the same bundle"
    write_csv(tmp_path, ["a.jpg", "c.jpg"])
    assert told(top_k=5) == f"the rows of {source} have changed; --top-k was 3, is 5"
    other = open_catalogue(write_csv(tmp_path, ["d.jpg"]).rename(tmp_path / "other.csv"))
    assert differences(job.spec, other, PIN, begun) == f"it is of {source}, not {tmp_path / 'other.csv'}"


def test_of_several_models_only_what_differs_is_told(tmp_path: Path) -> None:
    source = write_csv(tmp_path, ["a.jpg"])
    int8 = PIN.model_copy(update={"variant": "int8", "reference": "shop/1/int8@abc"})
    hues = PIN.model_copy(update={"digest": "b" * 64, "reference": "hues/1/float32@bbb"})
    begun = (Question(name="kind", model=int8, fallback=PIN), Question(name="hue", model=hues))
    storage = FolderStorage(tmp_path / "job")
    job = create_job(storage, open_catalogue(source), int8, JobOptions(), questions=begun)

    def told(questions: tuple[Question, ...] = begun, **options: object) -> str:
        pin, fallback = questions[0].model, questions[0].fallback  # as hangtag submit gives them
        return differences(job.spec, open_catalogue(source), pin, JobOptions(**options), fallback, questions)

    assert told() == ""
    assert told(top_k=5) == "--top-k was 3, is 5"
    assert told((Question(name="kind", model=int8), begun[1])) == "--variant was auto, is int8"
    moved = Question(name="hue", model=hues.model_copy(update={"digest": "c" * 64}))
    assert told((begun[0], moved)) == "the model's files have changed"
    other = moved.model_copy(update={"model": moved.model.model_copy(update={"reference": "hues/2"})})
    assert told((begun[0], other)) == (
        "--model was kind=shop/1/int8@abc hue=hues/1/float32@bbb, is kind=shop/1/int8@abc hue=hues/2"
    )
    assert told(begun[::-1]).startswith("--model was kind=")


@pytest.fixture
def undecided(tmp_path: Path) -> Job:
    """A job with two models."""
    source, pin = write_csv(tmp_path, ["a.jpg"]), PIN.model_copy(update={"variant": "int8"})
    return create_job(FolderStorage(tmp_path / "job"), open_catalogue(source), pin, JobOptions(), fallback=PIN)


def test_of_two_models_the_first_choice_is_for_good(undecided: Job) -> None:
    submitted, fallback = undecided.spec.model, PIN
    assert (undecided.choice, undecided.model) == (None, submitted)
    assert undecided.choose(fallback, "shop-7: it disagrees")
    assert not undecided.choose(submitted)
    for job in (undecided, open_job(undecided.storage)):
        assert job.model == fallback
        assert job.choice == Choice(variant="float32", because="shop-7: it disagrees")


def test_the_submitted_model_can_be_the_choice(undecided: Job) -> None:
    assert undecided.choose(undecided.spec.model)
    assert not undecided.choose(PIN, "too late")
    assert (undecided.model, undecided.choice) == (undecided.spec.model, Choice(variant="int8"))


def test_a_choice_is_of_one_job(undecided: Job, tmp_path: Path) -> None:
    """Another one may follow in the same folder."""
    undecided.choose(PIN)
    undecided.storage.delete("job.json")
    pin = undecided.spec.model
    again = create_job(undecided.storage, open_catalogue(tmp_path / "a.csv"), pin, JobOptions(), fallback=PIN)
    assert (again.choice, again.model) == (None, pin)


def test_a_damaged_choice_is_an_error_and_no_guess(undecided: Job) -> None:
    undecided.choose(PIN)
    (name,) = undecided.storage.names("model")
    undecided.storage.replace(f"model/{name}", b"{")
    with pytest.raises(JobError, match="is damaged; submit the job again"):
        _ = undecided.model


def test_a_job_with_one_model_asks_for_no_choice(tmp_path: Path) -> None:
    job = create_job(FolderStorage(tmp_path / "job"), open_catalogue(write_csv(tmp_path, ["a.jpg"])), PIN, JobOptions())
    shutil.rmtree(tmp_path / "job")
    assert (job.model, job.choice) == (PIN, None)


def test_the_digest_says_whether_there_are_two_models(undecided: Job, tmp_path: Path) -> None:
    spec = undecided.spec
    told = [
        differences(spec, open_catalogue(tmp_path / "a.csv"), spec.model, JobOptions(), fallback)
        for fallback in (None, PIN)
    ]
    assert told == [f"--variant was auto, is {spec.model.variant}", ""]


def test_the_latest_retry_of_a_part_counts(tmp_path: Path) -> None:
    source = write_csv(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    job = create_job(FolderStorage(tmp_path / "job"), open_catalogue(source), PIN, JobOptions(), 1)
    for key in ("parts/000001.r0.parquet", "parts/000001.r10.parquet", "parts/000001.r2.parquet"):
        job.storage.commit(key, b"")
    assert job.part_keys() == {1: "parts/000001.r10.parquet"}
    assert job.missing_chunks() == [0, 2]


NEEDS_ROOT = {
    ("https://shop.example/a.jpg", "s3://shop/b.jpg", "DATA:image/png;base64,AA==", ""): False,
    ("https://shop.example/a.jpg", "b.jpg"): True,
    ("", "/srv/b.jpg"): True,
    ("",): False,
}


@pytest.mark.parametrize(("cells", "needed"), NEEDS_ROOT.items(), ids=range(len(NEEDS_ROOT)))
def test_a_job_says_whether_workers_need_its_folder(tmp_path: Path, cells: tuple[str, ...], needed: bool) -> None:
    source = tmp_path / "a.csv"
    source.write_text("image,sku\n" + "".join(f'"{cell}",1\n' for cell in cells))
    at_home = create_job(FolderStorage(tmp_path / "job"), open_catalogue(source), PIN, JobOptions(), 1)
    assert at_home.spec.needs_root == needed
    elsewhere = open_catalogue(source, image_root="https://shop.example")
    assert not create_job(FolderStorage(tmp_path / "other"), elsewhere, PIN, JobOptions(), 1).spec.needs_root


def test_files_of_large_rows_hold_fewer_chunks(tmp_path: Path) -> None:
    cell = "data:image/jpeg;base64," + "A" * 300_000
    source = write_csv(tmp_path, [f'"{cell}{i}"' for i in range(700)])
    job = create_job(FolderStorage(tmp_path / "job"), open_catalogue(source), PIN, JobOptions(), 100)
    assert (job.spec.chunk_rows, job.spec.chunks_per_file) == (100, 2)
    assert sorted(job.storage.names("rows")) == [f"{number:05d}.parquet" for number in range(4)]
    images = [image for chunk in range(job.spec.chunks) for image in job.chunk_images(chunk)]
    assert images == [f"{cell}{i}" for i in range(700)]


def test_a_chunk_of_rows_that_hold_large_photos_fits_into_memory(tmp_path: Path) -> None:
    source = write_csv(tmp_path, [f'"data:,{"A" * 3_000_000}{i}"' for i in range(24)])
    job = create_job(FolderStorage(tmp_path / "job"), open_catalogue(source), PIN, JobOptions(), 100)
    assert job.spec.chunk_rows == 11
    assert [job.rows_in_chunk(chunk) for chunk in range(job.spec.chunks)] == [11, 11, 2]
    assert not differences(job.spec, open_catalogue(source), PIN, JobOptions())


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
    with pytest.raises(InputError, match="save the photos in their cells as files"):
        create_job(FolderStorage(tmp_path / "job"), catalogue, PIN, JobOptions(), 100)
    assert rows.read == 18
