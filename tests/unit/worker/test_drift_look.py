import json
from pathlib import Path

import pytest

from models.errors import InputError
from models.reference_answers import answers_of
from worker.drift import drifted_jobs
from worker.job import Job
from worker.receipt import RECEIPT_FILE, Drift, RunFigures
from worker.tally import Tally

DIGEST = "a" * 64
DRIFT = Drift(
    confidence_psi=0.6,
    label_psi=0.1,
    rows=400,
    reference_rows=300,
    warning="Drift: the photos are dark.",
    reference=answers_of(["shoe"], [0.9]),
)


@pytest.fixture
def finished(paper_job):
    """Write the receipt of a new job."""

    def finish(name: str, at: str, drift: Drift | None = DRIFT, digest: str = DIGEST) -> Job:
        job: Job = paper_job(1, name=name)
        receipt = Tally().receipt(job, "out", RunFigures(images=1, seconds=1.0, workers=1, restarts=0))
        model = receipt.model.model_copy(update={"digest": digest})
        changed = receipt.model_copy(update={"finished_at": at, "drift": drift, "model": model})
        job.storage.replace(RECEIPT_FILE, changed.model_dump_json().encode())
        return job

    return finish


def test_jobs_of_the_model_that_are_warned_of_are_found(finished, jobs) -> None:
    late, early = finished("late", "2026-11-22T05:00:00+00:00"), finished("early", "2026-11-21T05:00:00+01:00")
    finished("calm", "2026-11-21T05:00:00+00:00", DRIFT.model_copy(update={"warning": None}))
    finished("old", "2026-11-21T05:00:00+00:00", None)
    finished("other", "2026-11-21T05:00:00+00:00", digest="b" * 64)
    found = drifted_jobs([jobs.place], DIGEST)
    assert [job.place for job in found] == [early.storage.place, late.storage.place]
    assert found[0].warning == DRIFT.warning
    assert (found[0].rows, found[0].confidence_psi, found[0].label_psi) == (400, 0.6, 0.1)


@pytest.mark.parametrize(
    ("since", "names"),
    [
        (None, ["one", "two"]),
        ("2026-11-21T03:59:59+00:00", ["one", "two"]),
        ("2026-11-21T05:00:00+01:00", ["two"]),
        ("2026-11-21T04:00:00", ["two"]),
        ("2027-01-01", []),
    ],
)
def test_what_was_finished_before_does_not_count(finished, jobs, since: str | None, names: list[str]) -> None:
    finished("one", "2026-11-21T05:00:00+01:00")
    finished("two", "2026-11-22T05:00:00+00:00")
    assert [Path(job.place).name for job in drifted_jobs([jobs.place], DIGEST, since)] == names


def test_a_jobs_own_folder_will_do_and_none_counts_twice(finished, jobs) -> None:
    job = finished("one", "2026-11-21T05:00:00+00:00")
    finished("two", "2026-11-21T05:00:00+00:00")
    assert [found.place for found in drifted_jobs([job.storage.place], DIGEST)] == [job.storage.place]
    assert len(drifted_jobs([job.storage.place, jobs.place, jobs.place], DIGEST)) == 2


def test_a_damaged_receipt_is_named_and_passed_over(finished, jobs) -> None:
    finished("good", "2026-11-21T05:00:00+00:00")
    half, timeless = finished("half", "2026-11-21T05:00:00+00:00"), finished("timeless", "some day")
    half.storage.replace(RECEIPT_FILE, half.storage.read(RECEIPT_FILE)[:100])
    notes: list[str] = []
    assert len(drifted_jobs([jobs.place], DIGEST, note=notes.append)) == 1
    assert [note.split(" is damaged")[0] for note in notes] == [
        f"receipt.json in {job.storage.place}" for job in (half, timeless)
    ]


def test_a_receipt_of_a_later_version_is_read(finished, jobs) -> None:
    job = finished("one", "2026-11-21T05:00:00+00:00")
    later = json.loads(job.storage.read(RECEIPT_FILE))
    later["drift"]["of_later"] = later["of_later"] = 1
    job.storage.replace(RECEIPT_FILE, json.dumps(later).encode())
    assert len(drifted_jobs([jobs.place], DIGEST)) == 1


def test_a_folder_that_is_misspelt_is_no_folder_without_drift(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("jbos", "file"):
        with pytest.raises(InputError, match=f"Expected a folder of jobs at {tmp_path / name}, found none"):
            drifted_jobs([str(tmp_path), str(tmp_path / name)], DIGEST)


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="ftp://shop"):
        drifted_jobs(["ftp://shop/jobs"], DIGEST)
