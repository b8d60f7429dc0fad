import os
from pathlib import Path

import pytest

from models.errors import InputError
from worker.queue.worker_state import Heartbeat

LONG_AGO = 1_000_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Touched long ago."""
    file = tmp_path / "heartbeat"
    file.touch()
    os.utime(file, (LONG_AGO, LONG_AGO))
    return file


def test_a_beat_touches_the_file(file: Path) -> None:
    Heartbeat(file).beat()
    assert file.stat().st_mtime > LONG_AGO


def test_without_turns_of_the_reconciler_it_does_not(file: Path) -> None:
    heartbeat = Heartbeat(file, stuck_s=0.0)
    heartbeat.beat()
    assert file.stat().st_mtime == LONG_AGO


def test_nobody_needs_to_look(tmp_path: Path) -> None:
    heartbeat = Heartbeat(None)
    heartbeat.check()
    heartbeat.beat()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_touched_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"heartbeat file .*choose another"):
        Heartbeat(tmp_path / "nowhere" / "heartbeat").check()


def test_a_folder_is_no_heartbeat(tmp_path: Path) -> None:
    """An empty HANGTAG_HEARTBEAT would be the current one."""
    with pytest.raises(InputError, match="is a folder"):
        Heartbeat(tmp_path).check()


def test_a_disk_that_is_full_later_is_told_once_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heartbeat = Heartbeat(tmp_path / "nowhere" / "heartbeat")
    heartbeat.beat()
    heartbeat.beat()
    assert [record.event for record in caplog.records] == ["no_heartbeat"]
