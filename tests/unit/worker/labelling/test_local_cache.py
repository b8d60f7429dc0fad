import sqlite3
from contextlib import closing
from pathlib import Path

from worker.labelling.earlier_results import CACHE_FILE, CacheFolder, open_local_cache

from .rows import MODEL, labelled, sha256_of


def test_what_is_locked_is_read_but_not_added_to(tmp_path: Path, caplog) -> None:
    shelf = open_local_cache(tmp_path, MODEL, busy_s=0.01)
    shelf.add([labelled(1)])
    with closing(sqlite3.connect(tmp_path / CACHE_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            shelf.add([labelled(2)])
        assert shelf.find(sha256_of(1)) == labelled(1).result
    assert shelf.find(sha256_of(2)) is None
    assert [record.event for record in caplog.records] == ["known_photos_not_kept"]
    assert not shelf.damaged
    shelf.close()


def test_it_grows_no_further_than_it_may(tmp_path: Path, caplog) -> None:
    shelf = open_local_cache(tmp_path, MODEL, max_bytes=200_000)
    for start in range(0, 5_000, 50):
        shelf.add(labelled(number) for number in range(start, start + 50))
    assert (tmp_path / CACHE_FILE).stat().st_size <= 200_000
    assert shelf.find(sha256_of(1)) == labelled(1).result
    assert shelf.find(sha256_of(4_999)) is None
    assert [record.event for record in caplog.records] == ["known_photos_not_kept"]
    shelf.close()


def test_no_other_user_reads_it_or_can_hold_its_lock(tmp_path: Path) -> None:
    CacheFolder.hold(tmp_path / "known" / "job").release()
    assert (tmp_path / "known").stat().st_mode & 0o077 == 0
