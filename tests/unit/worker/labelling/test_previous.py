import os
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogue.catalogue import open_catalogue
from models.errors import ImageFault, JobError
from tests.photo_jobs import only_question
from tests.row_results import RowResult, part_bytes
from worker.job.job import Job, ModelPin
from worker.job.jobs import Jobs
from worker.job.parts import part_key
from worker.job.writer import create_job
from worker.labelling.earlier_results import (
    PREVIOUS_FILE,
    Known,
    carry_over,
    open_earlier_results,
    terms_of,
)
from worker.request import JobOptions

from .rows import MODEL, LabelledRow, add, failed, known_of, labelled, results, sha256_of

PIN = ModelPin(path="/models/shop", reference=MODEL, variant="float32", digest="a" * 64, precision=0.98)
DoneJob = Callable[..., Job]


@pytest.fixture
def new_job(tmp_path: Path, jobs: Jobs) -> DoneJob:
    """Create a job without parts."""

    def make(name: str, rows: int = 5, pin: ModelPin = PIN, top_k: int = 3, chunk_rows: int = 2) -> Job:
        source = tmp_path / f"{name}.csv"
        source.write_text("image\n" + "".join(f"http://shop.example/{row}.jpg\n" for row in range(rows)))
        options = JobOptions(top_k=top_k)
        return create_job(jobs.storage(name), open_catalogue(source), only_question(pin), options, chunk_rows)

    return make


def finish(job: Job, rows: Sequence[LabelledRow]) -> Job:
    for chunk in range(job.spec.chunks):
        start = chunk * job.spec.chunk_rows
        own = [row.result for row in rows[start : start + job.rows_in_chunk(chunk)]]
        assert job.storage.commit(part_key(chunk), part_bytes(own, job.spec.id, "shop-7:42", 0.5, 0))
    return job


def found(job: Job, *numbers: int) -> list[Known | None]:
    known = open_earlier_results(job)
    try:
        return [known.find(sha256_of(number)) for number in numbers]
    finally:
        known.close()


def terms(job: Job) -> dict[str, object]:
    return terms_of(job.model, job.spec.options)


def test_what_an_earlier_job_labelled_is_carried_over(new_job: DoneJob) -> None:
    rows = [labelled(number) for number in range(4)] + [failed(4, ImageFault.UNREADABLE)]
    earlier, job = finish(new_job("earlier"), rows), new_job("job")
    words = f"Photos that are already in {earlier.storage.place} keep their labels (5 photos)."
    assert carry_over(earlier, job.storage, terms(job)) == words
    assert found(job, *range(6)) == [known_of(row.result, carried=True) for row in rows] + [None]


def test_whether_a_row_is_carried_does_not_depend_on_the_rows_before_it(new_job: DoneJob) -> None:
    earlier, job = finish(new_job("earlier"), [labelled(1)] * 5), new_job("job")
    carry_over(earlier, job.storage, terms(job))
    known = open_earlier_results(job)
    add(known, labelled(1), labelled(2))
    assert [known.find(sha256_of(number)).carried for number in (1, 2)] == [True, False]
    known.close()


def test_what_was_carried_over_is_carried_on(new_job: DoneJob) -> None:
    first, second, third = (new_job(name) for name in ("first", "second", "third"))
    finish(first, [labelled(number) for number in range(5)])
    carry_over(first, second.storage, terms(second))
    finish(second, [labelled(number) for number in range(5) if found(second, number) != [None]])
    carry_over(second, third.storage, terms(third))
    assert found(third, *range(5)) == found(second, *range(5))
    assert None not in found(third, *range(5))


CHANGES = {
    "the model": {"pin": PIN.model_copy(update={"digest": "b" * 64})},
    "--variant": {"pin": PIN.model_copy(update={"variant": "int8"})},
    "--precision": {"pin": PIN.model_copy(update={"precision": 0.99})},
    "--threshold": {"pin": PIN.model_copy(update={"threshold": 0.5})},
    "--top-k": {"top_k": 2},
}


@pytest.mark.parametrize("change", CHANGES)
def test_where_a_result_could_differ_nothing_is_carried(new_job: DoneJob, change: str) -> None:
    earlier, job = finish(new_job("earlier"), [labelled(1)] * 5), new_job("job", **CHANGES[change])
    carried = carry_over(earlier, job.storage, terms(job))
    assert f"{change} changed" in carried
    assert not job.storage.exists(PREVIOUS_FILE)
    assert found(job, 1) == [None]


def test_what_a_killed_submit_of_another_model_left_is_not_used(new_job: DoneJob) -> None:
    earlier, job = finish(new_job("earlier"), [labelled(1)] * 5), new_job("job", **CHANGES["the model"])
    carry_over(earlier, job.storage, terms(earlier))
    assert found(job, 1) == [None]


def test_photos_are_carried_by_what_their_host_called_them(new_job: DoneJob) -> None:
    rows = [labelled(number, etag=f'"{number}"') for number in range(4)] + [labelled(4)]
    earlier, job = finish(new_job("earlier"), rows), new_job("job")
    carry_over(earlier, job.storage, terms(job))
    known = open_earlier_results(job)
    urls = [f"http://shop.example/{number}.jpg" for number in range(6)]
    assert known.etags(urls) == {url: f'"{number}"' for number, url in enumerate(urls[:4])}
    assert known.at(urls[2], '"2"') == known_of(rows[2].result, carried=True)
    add(known, labelled(7, urls[2], '"new"'))
    assert known.etags(urls[2:3]) == {urls[2]: '"new"'}
    known.close()


def _changed(file: Path, cells: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(f"UPDATE photo SET result = {cells}")  # noqa: S608 - of this file
    connection.close()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no database": lambda file: file.write_bytes(b"no database" * 1_000),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: os.truncate(file, 5_000),
    "pages spoilt": lambda file: file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 4096 * 8),
    "results spoilt": lambda file: file.write_bytes(file.read_bytes().replace(b'"labeled"', b'"labelex"')),
    "a label without a confidence": lambda file: _changed(file, "json_set(result, '$[1]', NULL)"),
    "another label": lambda file: _changed(file, "json_set(result, '$[0]', 'hat')"),
    "bytes": lambda file: _changed(file, "CAST(result AS BLOB)"),
    "a number": lambda file: _changed(file, "7"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_from_what_is_damaged_nothing_is_carried(new_job: DoneJob, damage: str, caplog) -> None:
    earlier = finish(new_job("earlier", 300, chunk_rows=100), [labelled(number) for number in range(300)])
    job = new_job("job")
    carry_over(earlier, job.storage, terms(job))
    DAMAGES[damage](job.storage.on_disk(PREVIOUS_FILE))
    assert found(job, 1, 2) == [None, None]
    assert [record.event for record in caplog.records] == ["known_photos_lost"]


@given(rows=st.lists(results, min_size=1, max_size=20, unique_by=lambda row: row.sha256))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_what_is_carried_is_as_it_was(new_job: DoneJob, tmp_path: Path, rows: list[RowResult]) -> None:
    name = uuid.uuid4().hex
    earlier = new_job(f"earlier-{name}", len(rows))
    job = new_job(name)
    carry_over(finish(earlier, [LabelledRow(row, None) for row in rows]), job.storage, terms(job))
    known = open_earlier_results(job)
    assert [known.find(row.sha256) for row in rows] == [known_of(row, carried=True) for row in rows]
    known.close()


def test_a_damaged_part_is_told_and_nothing_is_left(new_job: DoneJob) -> None:
    earlier, job = finish(new_job("earlier"), [labelled(1)] * 5), new_job("job")
    earlier.storage.replace(part_key(1), b"no part")
    with pytest.raises(JobError, match=r"--previous needs all results of .*earlier: parts/000001"):
        carry_over(earlier, job.storage, terms(job))
    assert sorted(path.name for path in Path(job.storage.place).iterdir()) == ["job.json", "rows"]
