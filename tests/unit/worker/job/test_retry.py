import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ImageFault
from models.storage.storage import FolderStorage
from worker.job.job import NO_RETRY, RETRYABLE, Retry, commit_retry, read_retry

RETRY_JSON = b'{"begun_at": "2026-11-21T05:00:00+00:00", "rows": 5, "chunks": [1, 3]}'
RETRY = Retry(1, frozenset({1, 3}), 5, "2026-11-21T05:00:00+00:00")


def test_the_format_on_disk_is_this_one(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    storage.commit("retries/00001.json", RETRY_JSON)
    assert read_retry(storage, 1, "cafe") == RETRY


def test_what_is_committed_has_that_format(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    assert commit_retry(storage, 1, [1, 3], 5)
    record = json.loads(storage.read("retries/00001.json"))
    assert {**record, "begun_at": RETRY.begun_at} == json.loads(RETRY_JSON)
    assert datetime.now(UTC) - datetime.fromisoformat(record["begun_at"]) < timedelta(minutes=1)
    assert read_retry(storage, 1, "cafe") == Retry(1, frozenset({1, 3}), 5, record["begun_at"])


def test_of_two_who_begin_the_same_retry_one_does(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    assert commit_retry(storage, 1, [1], 1)
    assert not commit_retry(storage, 1, [2], 7)
    assert read_retry(storage, 1, "cafe").chunks == {1}


def test_a_retry_of_a_job_that_was_in_the_folder_before_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    commit_retry(storage, 1, [1], 1)
    assert read_retry(storage, 1, "cafe").chunks == {1}
    storage.delete("retries/00001.json")
    commit_retry(storage, 1, [2], 1)
    assert read_retry(storage, 1, "beef").chunks == {2}


@given(chunk=st.integers(0, 5), chunks=st.frozensets(st.integers(0, 5)), number=st.integers(1, 9))
def test_only_the_chunks_of_a_retry_need_a_new_part(chunk: int, chunks: frozenset[int], number: int) -> None:
    assert Retry(number, chunks, 1, "").wanted(chunk) == (number if chunk in chunks else 0)
    assert NO_RETRY.wanted(chunk) == 0


@pytest.mark.parametrize("fault", ImageFault)
def test_faults_that_are_in_the_file_or_the_cell_itself_are_not_worth_another_try(fault: ImageFault) -> None:
    in_the_file = {ImageFault.REFUSED, ImageFault.TOO_LARGE, ImageFault.UNREADABLE}
    assert (fault in RETRYABLE) == (fault not in in_the_file)
