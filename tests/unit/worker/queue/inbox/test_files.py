import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.queue.inbox.files import Backoff, FileKind, FoundFile, Gathering, Settling, look_into


def touch(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def kinds(folder: Path, *, deep: bool = True) -> dict[str, FileKind]:
    return {file.path: file.kind for file in look_into(folder, deep=deep).files}


def test_catalogues_are_in_the_folder_itself_and_photos_anywhere(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", "b.TSV", "c.jsonl", "d.ndjson", "e.parquet", "f.txt", "old/a.csv", "g.xlsx", "h")
    touch(tmp_path, "1.jpg", "cam/2.PNG", "cam/left/3.webp")
    catalogues = dict.fromkeys(("a.csv", "b.TSV", "c.jsonl", "d.ndjson", "e.parquet", "f.txt"), FileKind.CATALOGUE)
    photos = dict.fromkeys(("1.jpg", "cam/2.PNG", "cam/left/3.webp"), FileKind.PHOTO)
    others = dict.fromkeys(("g.xlsx", "h", "old/a.csv"), FileKind.OTHER)
    assert kinds(tmp_path) == catalogues | photos | others
    assert list(kinds(tmp_path)) == sorted(catalogues | photos | others)


def test_a_look_that_is_not_deep_stays_in_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", "cam/1.jpg")
    assert kinds(tmp_path, deep=False) == {"a.csv": FileKind.CATALOGUE}


UNFINISHED = (
    ".a.csv", ".a.csv.Xy12", "~$a.csv", "a.csv~", "a.csv.part", "a.csv.PARTIAL", "a.csv.filepart",
    "a.csv.tmp", "a.csv.temp", "a.csv.crdownload", "a.csv.download", ".cam/1.jpg", "~cam/1.jpg",
    "cam.tmp/1.jpg",
)  # fmt: skip


@pytest.mark.parametrize("path", UNFINISHED)
def test_what_is_hidden_or_not_whole_by_its_name_is_not_seen(tmp_path: Path, path: str) -> None:
    touch(tmp_path, path)
    assert kinds(tmp_path) == {}


def test_size_time_and_inode_are_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image\n")
    os.utime(tmp_path / "a.csv", ns=(1, 1_700_000_000_123_456_789))
    (file,) = look_into(tmp_path).files
    assert (file.size, file.mtime_ns) == (6, 1_700_000_000_123_456_789)
    assert file.inode == (tmp_path / "a.csv").stat().st_ino


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/tonight.csv", "inbox/a.csv")
    inbox = tmp_path / "inbox"
    (inbox / "linked.csv").symlink_to(tmp_path / "elsewhere" / "tonight.csv")
    (inbox / "gone.csv").symlink_to(tmp_path / "gone.csv")
    (inbox / "round").symlink_to(inbox)
    os.mkfifo(inbox / "pipe.csv")
    assert kinds(inbox) == {"a.csv": FileKind.CATALOGUE, "linked.csv": FileKind.CATALOGUE}


SETTLE_S = 5.0


def found(path: str = "a.csv", size: int = 1, mtime_ns: int = 1) -> FoundFile:
    return FoundFile(path, FileKind.CATALOGUE, size, mtime_ns, 1)


SEEN = [found(), found(size=2), found(mtime_ns=2), None]


@given(st.lists(st.tuples(st.floats(0.1, 9.0), st.sampled_from(SEEN)), max_size=30))
def test_what_is_taken_was_the_same_for_long_enough(looks: list[tuple[float, FoundFile | None]]) -> None:
    """Each look comes some seconds after the last, and sees the file as it is then; it may be away. Another settled."""
    settling, now, since, last, other = Settling(SETTLE_S), 0.0, 0.0, None, found("other.csv")
    settling.settled([other], -SETTLE_S)
    for pause_s, seen in looks:
        now += pause_s
        since = since if seen == last else now
        last = seen
        settled = settling.settled([seen, other] if seen else [other], now)
        assert settled == ([seen, other] if seen and now - since >= SETTLE_S else [other])


def test_a_new_wait_begins_when_photos_were_taken_or_went_away() -> None:
    for taken in (True, False):
        gathering = Gathering()
        assert not gathering.is_ripe(settled=1, unsettled=1, now=0.0)
        assert gathering.is_ripe(settled=1 if taken else 0, unsettled=0, now=50.0) is taken
        assert not gathering.is_ripe(settled=1, unsettled=1, now=61.0)


def test_nothing_is_never_ripe() -> None:
    assert not Gathering().is_ripe(settled=0, unsettled=0, now=9.0)


def test_pauses_grow_to_a_minute() -> None:
    backoff, now, pauses = Backoff(), 0.0, []
    for _ in range(7):
        backoff.failed("a.csv", "the disk is away", now)
        failed_at = now
        while not backoff.may_try("a.csv", now):
            now += 1.0
        pauses.append(now - failed_at)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


def test_a_failure_is_news_once_and_another_reason_is_news_again() -> None:
    backoff = Backoff()
    said = [backoff.failed("a.csv", reason, 0.0) for reason in ("away", "away", "full", "full", "away")]
    assert said == [True, False, True, False, True]


def test_after_a_success_all_is_forgotten() -> None:
    backoff = Backoff()
    backoff.failed("a.csv", "away", 0.0)
    backoff.succeeded("a.csv")
    assert backoff.may_try("a.csv", 0.0)
    assert backoff.failed("a.csv", "away", 0.0)
