import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.errors import JobError
from models.storage.storage import FolderStorage
from worker.job.job import scratch_folder
from worker.results.merge import scratch_database


def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    def fill() -> None:
        with scratch_database(tmp_path) as database:
            database.execute("PRAGMA max_page_count = 9")
            database.execute("CREATE TABLE a (b TEXT)")
            database.executemany("INSERT INTO a VALUES (?)", (("x" * 2000,) for _ in range(100)))

    with pytest.raises(JobError, match="make room there"):
        fill()


HOLDS_MUCH = """
import resource, sys
from pathlib import Path
from worker.job.scratch import scratch_database

with scratch_database(Path(sys.argv[1])) as database:
    database.execute("CREATE TABLE a (b INTEGER PRIMARY KEY, c TEXT)")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    database.executemany("INSERT INTO a (c) VALUES (?)", (("x" * 2000,) for _ in range(100_000)))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_leaves_nothing_and_held_little_in_memory(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS_MUCH, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    grown_kib = int(process.stdout.readline())
    process.kill()
    process.communicate()
    assert grown_kib < 80 * 1024, "of 200 MB"
    assert not list(tmp_path.iterdir())


def test_a_folder_is_gone_after_its_use_and_so_is_what_others_left_long_ago(tmp_path: Path) -> None:
    with scratch_folder(FolderStorage(tmp_path)) as left, scratch_folder(FolderStorage(tmp_path)) as in_use:
        (left / "labels.parquet").touch()
        os.utime(left, (time.time() - 7200.0,) * 2)
        with scratch_folder(FolderStorage(tmp_path)) as folder:
            assert set(tmp_path.iterdir()) == {in_use, folder}
        assert not folder.exists()
        left.mkdir()
