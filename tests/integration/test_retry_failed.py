"""``hangtag jobs retry-failed``: failed rows are tried again, and nothing else changes."""

from pathlib import Path

from .farm import Farm
from .jobs import QueuedJob, Row, assert_same, photo_names, write_list

MISSING = {"late-0.png": 5, "late-1.png": 560, "late-2.png": 570}
"""Photo that is not there → its row; they are in the first chunk and in the third."""

BROKEN, BROKEN_ROW = "broken.jpg", 10
LABELLED, LABELLED_ROW = "labelled.png", 20
"""A photo in the first chunk that goes once it is labelled: its row would fail if it were tried again."""


def parts_of_retry(job: QueuedJob, number: int) -> list[str]:
    return sorted(name for name in job.parts() if name.endswith(f".r{number}.parquet"))


def put_in_place(farm: Farm, name: str, photo: Path) -> None:
    (farm.folder / name).write_bytes(photo.read_bytes())


def try_again(farm: Farm, job: QueuedJob) -> str:
    done = farm.hangtag("jobs", "retry-failed", job.name)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_retry_changes_the_rows_that_failed_and_no_others(
    farm: Farm, catalogue: Path, bundle: Path, truth: dict[str, Row]
) -> None:
    good = photo_names(catalogue, 600)
    names = [str(catalogue / name) for name in good]
    for name, row in {**MISSING, BROKEN: BROKEN_ROW, LABELLED: LABELLED_ROW}.items():
        names[row] = str(farm.folder / name)
    (farm.folder / BROKEN).write_bytes(b"no photo")
    put_in_place(farm, LABELLED, catalogue / good[LABELLED_ROW])
    job = farm.submit(write_list(farm.folder / "list.txt", names), bundle, root=Path("/"))

    early = farm.hangtag("jobs", "retry-failed", job.name)
    assert early.returncode == 1
    assert "not" in early.stderr
    assert not (job.folder / "retries").exists()

    farm.worker()
    assert job.wait_for_end().retry == 0
    first, parts = job.rows(), job.parts()
    assert {row: first[row]["error"] for row in (*MISSING.values(), BROKEN_ROW)} == {
        **dict.fromkeys(MISSING.values(), "missing"),
        BROKEN_ROW: "unreadable",
    }

    (farm.folder / LABELLED).unlink()
    found = dict(list(MISSING.items())[:2])
    for name, row in found.items():
        put_in_place(farm, name, catalogue / good[row])
    assert "3 missing" in try_again(farm, job)
    receipt = job.wait_for_end()
    assert receipt.retry == 1
    assert receipt.run.images == len(MISSING)
    assert parts_of_retry(job, 1) == ["000000.r1.parquet", "000002.r1.parquet"]
    assert parts.items() <= job.parts().items()
    second = job.rows()
    for name, row in found.items():
        assert_same([second[row]], [{"image": str(farm.folder / name), **truth[good[row]]}])
    assert [r for n, r in enumerate(second) if n not in found.values()] == [
        r for n, r in enumerate(first) if n not in found.values()
    ]

    (last, row), *_ = set(MISSING.items()) - set(found.items())
    put_in_place(farm, last, catalogue / good[row])
    assert "1 missing" in try_again(farm, job)
    assert job.wait_for_end().retry == 2
    assert parts_of_retry(job, 2) == ["000002.r2.parquet"]
    third = job.rows()
    assert_same([third[row]], [{"image": str(farm.folder / last), **truth[good[row]]}])
    assert [r for n, r in enumerate(third) if n != row] == [r for n, r in enumerate(second) if n != row]
    assert "worth another try" in try_again(farm, job)
