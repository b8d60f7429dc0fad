from pathlib import Path

from models.storage.storage import FolderStorage
from worker.queue.inbox.files import FileKind, FoundFile
from worker.queue.inbox.photos import PhotoLog

FOLDER = Path("/mnt/inbox")


def photos(*numbers: int) -> list[FoundFile]:
    return [FoundFile(f"{number}.jpg", FileKind.PHOTO, number, number, 1) for number in numbers]


def log_in(tmp_path: Path, folder: Path = FOLDER, batch_photos: int = 100) -> PhotoLog:
    return PhotoLog(FolderStorage(tmp_path), folder, batch_photos)


def test_photos_are_known_once_they_are_in_a_batch_and_after_a_restart(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    assert not any(map(log.knows, photos(1, 2)))
    log.add(photos(1, 2))
    for reader in (log, log_in(tmp_path)):
        assert all(map(reader.knows, photos(1, 2)))
        assert not reader.knows(FoundFile("1.jpg", FileKind.PHOTO, 1, 99, 1)), "written anew"
        (batch,) = reader.unfinished()
        assert (batch.number, batch.paths) == (0, ("1.jpg", "2.jpg"))
        assert batch.job.startswith("inbox-")


def test_what_somebody_else_put_into_a_batch_is_left_out(tmp_path: Path) -> None:
    one, other = log_in(tmp_path), log_in(tmp_path)
    one.add(photos(1, 2))
    other.add(photos(2, 3))
    one.add(photos(3, 4))
    for log in (one, log_in(tmp_path)):
        assert [batch.paths for batch in log.unfinished()] == [("1.jpg", "2.jpg"), ("3.jpg",), ("4.jpg",)]
    assert one.unfinished() == log_in(tmp_path).unfinished()


def test_more_photos_than_a_batch_holds_are_several(tmp_path: Path) -> None:
    log = log_in(tmp_path, batch_photos=2)
    log.add(photos(*range(5)))
    assert [len(batch.paths) for batch in log.unfinished()] == [2, 2, 1]
    assert len({batch.job for batch in log.unfinished()}) == 3


def test_a_batch_that_somebody_else_has_finished_is_not_made_again(tmp_path: Path) -> None:
    one, other = log_in(tmp_path), log_in(tmp_path)
    one.add(photos(1))
    one.finished(*one.unfinished())
    other.add(photos(1, 2))
    assert [batch.paths for batch in other.unfinished()] == [("2.jpg",)]


def test_a_log_is_these_files(tmp_path: Path) -> None:
    """The format: whoever comes later must read it."""
    log = log_in(tmp_path)
    log.add(photos(1, 22))
    (batch,) = log.unfinished()
    log.finished(batch)
    written = {str(file.relative_to(tmp_path)): file.read_text() for file in tmp_path.rglob("*.*")}
    place = "photos/525e286740f79e67176d6818ff3be4ff"
    assert written == {
        f"{place}/000000.json": '[["1.jpg", 1, 1], ["22.jpg", 22, 22]]',
        f"{place}/000000.done": "inbox-8bcd138450e5",
    }
