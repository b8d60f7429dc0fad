from pathlib import Path

from models.storage.storage import FolderStorage
from worker.labelling.chunk import attempt_on, earlier_attempts, forget_attempts


def leave_marker(storage: FolderStorage, chunk: int, row: int) -> None:
    """What a process leaves that dies with a row in hand."""
    with attempt_on(storage, chunk) as attempt:
        attempt.take(row)
        (marker,) = [m for m in (storage.root / "inhand").iterdir() if not m.name.endswith("dead")]
    marker.with_name(f"{chunk:06d}.{row:08d}dead").write_text(f"{row:<12}")


def test_a_dead_attempt_names_its_row(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    leave_marker(storage, 3, 17)
    assert earlier_attempts(storage, 3).rows == {17}
    assert earlier_attempts(storage, 4).rows == set()


def test_attempts_do_not_hide_each_others_rows(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    leave_marker(storage, 3, 17)
    leave_marker(storage, 3, 5)
    assert earlier_attempts(storage, 3).rows == {5, 17}
    assert earlier_attempts(storage, 3).deaths == 2
    forget_attempts(storage, 3)
    assert earlier_attempts(storage, 3).rows == set()


def test_a_row_that_was_put_down_is_no_suspect(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    with attempt_on(storage, 0) as attempt:
        attempt.take(123456)
        assert earlier_attempts(storage, 0).rows == {123456}
        attempt.take(7)
        assert earlier_attempts(storage, 0).rows == {7}
        attempt.put_down()
        assert earlier_attempts(storage, 0).rows == set()


def test_an_attempt_that_ends_by_itself_leaves_nothing(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    attempt = attempt_on(storage, 0)
    attempt.__enter__().take(1)
    assert earlier_attempts(storage, 0).rows == {1}
    attempt.__exit__(RuntimeError, RuntimeError(), None)
    assert earlier_attempts(storage, 0).rows == set()
