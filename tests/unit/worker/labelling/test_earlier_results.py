import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import ImageFault
from worker.job.job import Job
from worker.job.parts import RowResult
from worker.job.receipt import RECEIPT_FILE
from worker.labelling.earlier_results import (
    CACHE_FILE,
    CacheFolder,
    EarlierResult,
    EarlierResults,
    LabelledRow,
    cache_folder,
    forget_local_cache,
    open_earlier_results,
    open_local_cache,
)

from .rows import MODEL, failed, labelled, results, sha256_of

Open = Callable[[Job], EarlierResults]
WEEK_S = 7 * 24 * 3600


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open what is known of a job; closed when the test ends."""
    all_of_them: list[EarlierResults] = []

    def open_it(job: Job) -> EarlierResults:
        all_of_them.append(open_earlier_results(job))
        return all_of_them[-1]

    yield open_it
    for known in all_of_them:
        known.close()


@pytest.fixture
def job(paper_job) -> Iterator[Job]:
    job = paper_job()
    yield job
    forget_local_cache(job)


def file_of(job: Job) -> Path:
    return cache_folder(job.spec.id) / CACHE_FILE


@given(rows=st.lists(results, max_size=20, unique_by=lambda row: row.sha256))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_what_is_added_is_found_as_it_was(opened: Open, job: Job, rows: list[RowResult]) -> None:
    forget_local_cache(job)
    known = open_earlier_results(job)
    known.add([LabelledRow(row, None) for row in rows])
    assert [known.find(row.sha256) for row in rows] == [EarlierResult(row, carried=False) for row in rows]
    known.close()


@pytest.mark.parametrize("fault", ImageFault)
def test_a_failure_is_known_where_it_lies_in_the_bytes(opened: Open, job: Job, fault: ImageFault) -> None:
    known = opened(job)
    known.add([failed(1, fault)])
    lasting = {ImageFault.REFUSED, ImageFault.TOO_LARGE, ImageFault.UNREADABLE}
    assert (known.find(sha256_of(1)) is not None) == (fault in lasting)


def test_a_photo_is_known_by_what_its_host_calls_it(opened: Open, job: Job) -> None:
    known = opened(job)
    known.add([labelled(1, "http://shop.example/1", '"a"'), labelled(2, "http://shop.example/2"), labelled(3)])
    urls = [f"http://shop.example/{number}" for number in range(2_000)]
    assert known.etags(urls) == {urls[1]: '"a"'}
    assert known.at(urls[1], '"a"') == EarlierResult(labelled(1, etag='"a"').result, carried=False)
    assert known.at(urls[1], '"b"') is None
    assert known.at(urls[2], '"a"') is None


def test_of_a_url_the_latest_etag_is_known_and_a_host_is_asked_again_for_a_photo_that_failed(
    opened: Open, job: Job
) -> None:
    known, url, other = opened(job), "http://shop.example/1", "http://shop.example/2"
    half = failed(3, ImageFault.UNREADABLE)
    known.add([labelled(1, url, '"a"'), LabelledRow(replace(half.result, etag='"a"'), other)])
    known.add([labelled(2, url, '"b"')])
    assert known.etags([url, other]) == {url: '"b"'}
    assert known.at(url, '"b"').result.label == "class 2"
    assert known.at(url, '"a"') is None
    assert known.find(sha256_of(3)) == EarlierResult(half.result, carried=False)
    assert known.at(other, '"a"') is None


WRITER = """
import os, signal, sys
from pathlib import Path
from tests.unit.worker.labelling.rows import labelled
from worker.job.job import open_job
from worker.labelling.earlier_results import open_earlier_results
from models.storage.storage import FolderStorage
known = open_earlier_results(open_job(FolderStorage(Path(sys.argv[1]))))
start = int(sys.argv[2])
for number in range(start, start + 100):
    known.add([labelled(number)])
if sys.argv[3] == "die":
    def rows():
        yield labelled(-1)
        os.kill(os.getpid(), signal.SIGKILL)
    known.add(rows())
known.close()
"""


def writer(job: Job, start: int, end: str) -> "subprocess.Popen[bytes]":
    root = str(Path(__file__).parents[4])
    command = [sys.executable, "-P", "-c", WRITER, str(job.storage.place), str(start), end]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root})


def test_processes_add_at_once_and_a_killed_one_leaves_what_it_had_added(opened: Open, job: Job) -> None:
    processes = [writer(job, 0, "die"), writer(job, 50, "close")]
    assert [process.wait() for process in processes] == [-9, 0]
    known = opened(job)
    assert all(known.find(sha256_of(number)) for number in range(150))
    assert known.find(sha256_of(-1)) is None
    known.add([labelled(-1)])
    assert known.find(sha256_of(-1))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no database": lambda file: file.write_bytes(b"no database" * 1_000),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: os.truncate(file, 5_000),
    "a page spoilt": lambda file: file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 4096 * 8),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_not_known_and_is_made_anew(opened: Open, job: Job, damage: str, caplog) -> None:
    known = open_earlier_results(job)
    known.add(labelled(number) for number in range(300))
    known.close()
    DAMAGES[damage](file_of(job))
    known = open_earlier_results(job)
    assert known.find(sha256_of(1)) is None
    known.add([labelled(1)])
    assert known.find(sha256_of(1)) in {None, EarlierResult(labelled(1).result, carried=False)}
    known.close()
    assert [record.event for record in caplog.records] == ["known_photos_lost"]
    fresh = opened(job)
    fresh.add([labelled(2)])
    assert fresh.find(sha256_of(2))
    assert fresh.find(sha256_of(3)) is None


def test_a_cache_that_cannot_be_written_stops_nothing(opened, job, monkeypatch, tmp_path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    known = opened(job)
    known.add([labelled(1)])
    assert known.find(sha256_of(1)) is None
    forget_local_cache(job)


def test_what_is_forgotten_is_gone(job: Job) -> None:
    known = open_earlier_results(job)
    known.add([labelled(1)])
    forget_local_cache(job)
    assert known.find(sha256_of(1)), "it is still in use"
    known.close()
    forget_local_cache(job)
    assert not cache_folder(job.spec.id).exists()
    forget_local_cache(job)


def test_of_a_finished_job_the_last_process_takes_it_away(job: Job) -> None:
    one, other = open_earlier_results(job), open_earlier_results(job)
    job.storage.replace(RECEIPT_FILE, b"{}")
    one.close()
    assert file_of(job).exists()
    other.close()
    assert not cache_folder(job.spec.id).exists()


def test_what_nobody_has_used_for_a_week_goes_with_the_next_job(opened: Open, job: Job, paper_job) -> None:
    old, used, new = (paper_job(name=name) for name in ("old", "used", "new"))
    for each in (old, new):
        open_earlier_results(each).close()
    opened(used)
    for each in (old, used):
        os.utime(cache_folder(each.spec.id), times=(time.time() - WEEK_S - 60,) * 2)
    opened(job)
    assert [cache_folder(each.spec.id).exists() for each in (old, used, new)] == [False, True, True]
    forget_local_cache(new)


def test_who_opens_while_another_removes_gets_a_whole_folder(job: Job) -> None:
    path = cache_folder(job.spec.id)
    with ThreadPoolExecutor(1) as other:
        removals = other.submit(lambda: [CacheFolder.remove(path) for _ in range(2_000)])
        while not removals.done():
            held = CacheFolder.hold(path)
            (path / "kept").touch()
            assert {"kept", "lock"} <= {entry.name for entry in path.iterdir()}
            held.release()
    CacheFolder.remove(path)
    assert not path.exists()


def test_what_is_locked_is_read_but_not_added_to(tmp_path: Path, caplog) -> None:
    cache = open_local_cache(tmp_path, MODEL, busy_s=0.01)
    cache.add([labelled(1)])
    with closing(sqlite3.connect(tmp_path / CACHE_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            cache.add([labelled(2)])
        assert cache.find(sha256_of(1)) == labelled(1).result
    assert cache.find(sha256_of(2)) is None
    assert [record.event for record in caplog.records] == ["known_photos_not_kept"]
    assert not cache.damaged
    cache.close()
