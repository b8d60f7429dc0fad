import hashlib
import os
import shutil
import signal
from dataclasses import asdict, fields

import numpy as np
import pytest

from models.errors import InputError
from trainer.data.image_statistics import Look, look
from trainer.data.look_store import LookStore
from trainer.data.photo_files import FaultKind

HASTY_S = 1.0


@pytest.fixture
def picture(tmp_path, tiles):
    """Saves a picture whose pixels depend on the seed alone; the name's ending chooses the format."""

    def save(name, seed=0):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        tiles(seed).save(path)
        return path

    return save


@pytest.fixture
def spoiled(tmp_path):
    """Saves bytes that are no photo."""

    def save(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return save


@pytest.fixture
def root(tmp_path):
    return tmp_path / "cache"


class Count:
    """Counts the photos it is told of."""

    def __init__(self):
        self.photos = 0

    def __call__(self):
        self.photos += 1


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def added(root, *paths):
    """A store that knows these files, and how many of them it had to look at."""
    store, count = LookStore(root, HASTY_S), Count()
    store.add({sha256(path): path for path in paths}, 2, count)
    return store, count.photos


def usable(store, *paths):
    return [store.fault(sha256(path)) is None for path in paths]


def files_of(root):
    return sorted(path.suffix for path in root.rglob("*") if path.is_file())


def test_looks_and_copies_are_those_of_look_in_the_order_asked(root, picture):
    a, b, c = picture("a.png", 1), picture("b.jpg", 2), picture("c.gif", 3)
    store, _ = added(root, a, b, c)
    asked = (c, a, c, b)
    expected = [look(path.read_bytes()) for path in asked]
    names = [sha256(path) for path in asked]
    kept = store.looks(names).select([field.name for field in fields(Look)]).to_pylist()
    assert kept == [asdict(found) for found, _ in expected]
    assert np.array_equal(store.copies(names), np.stack([copy for _, copy in expected]))


def test_nothing_asked_is_nothing(root, picture):
    for store in (LookStore(root), added(root, picture("a.png"))[0]):
        assert store.looks([]).num_rows == 0
        assert set(asdict(look(picture("a.png").read_bytes())[0])) <= set(store.looks([]).column_names)
        assert store.copies([]).shape == (0, 64, 64, 3)


def test_each_photo_is_told_of_once(root, picture, spoiled):
    assert added(root, *(picture(f"{i}.png", i) for i in range(4)), spoiled("bad.png", b"bad"))[1] == 5


def test_a_second_pass_looks_at_nothing(root, picture, spoiled):
    paths = [picture("a.png", 1), picture("b.png", 2), spoiled("bad.jpg", b"<html>")]
    first, looked_at = added(root, *paths)
    assert looked_at == 3
    again = Count()
    first.add({sha256(path): path for path in paths}, 2, again)
    assert again.photos == 0
    second, looked_at = added(root, *paths)
    assert looked_at == 0
    names = [sha256(path) for path in paths[:2]]
    assert first.looks(names).equals(second.looks(names))
    assert np.array_equal(first.copies(names), second.copies(names))


def test_only_new_photos_are_looked_at_and_shards_are_read_together(root, picture):
    old, new = picture("old.png", 1), picture("new.png", 2)
    added(root, old)
    store, looked_at = added(root, new, old)
    assert looked_at == 1
    names = [sha256(new), sha256(old), sha256(new)]
    assert store.looks(names)["pixels"].to_pylist() == [look(p.read_bytes())[0].pixels for p in (new, old, new)]
    assert np.array_equal(store.copies(names)[1], look(old.read_bytes())[1])


def test_nothing_to_add_writes_nothing(root):
    assert added(root)[1] == 0
    assert not root.exists()


def test_a_file_that_was_never_looked_at_is_lacking(root, picture):
    store, _ = added(root, picture("a.png", 1))
    assert not store.lacks(sha256(picture("a.png", 1)))
    assert store.lacks(sha256(picture("b.png", 2)))


def test_a_fault_is_kept_with_its_kind_and_message(root, picture, spoiled):
    good, page = picture("a.png"), spoiled("page.jpg", b"<html>404</html>")
    cut = spoiled("cut.png", good.read_bytes()[:-300])
    first, _ = added(root, good, page, cut)
    second, looked_at = added(root, good, page, cut)
    assert looked_at == 0
    for store in (first, second):
        assert usable(store, good, page, cut) == [True, False, False]
        assert store.fault(sha256(page)).kind is FaultKind.UNSUPPORTED
        assert store.fault(sha256(page)).message == "It is a web page; fetch the photo itself."
        assert store.fault(sha256(cut)).kind is FaultKind.TRUNCATED


def test_a_file_that_was_away_is_looked_at_again_when_it_is_back(root, picture):
    path = picture("a.png")
    name, away = sha256(path), path.with_name("away.png")
    path.rename(away)
    first = LookStore(root)
    first.add({name: path}, 1, Count())
    assert first.fault(name).kind is FaultKind.MISSING
    assert str(path) in first.fault(name).message
    away.rename(path)
    store, looked_at = added(root, path)
    assert looked_at == 1
    assert usable(store, path) == [True]


def test_a_file_may_have_any_name(root, picture, tmp_path):
    names = ["a b.png", "a\tb.png", "a\nb.png", "'a\".png", "béret-帽子.png", os.fsdecode(b"b\xe9ret.png")]
    odd = [picture(f"{seed}.png", seed).rename(tmp_path / name) for seed, name in enumerate(names)]
    store, looked_at = added(root, *odd)
    assert looked_at == len(names)
    assert usable(store, *odd) == [True] * len(names)


def test_an_interrupted_pass_keeps_what_it_has_looked_at(root, picture):
    paths = [picture(f"{i}.png", i) for i in range(4)]

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LookStore(root).add({sha256(path): path for path in paths}, 2, interrupt)
    assert files_of(root) == [".copies", ".parquet"]
    store, looked_at = added(root, *paths)
    assert looked_at == 3
    assert usable(store, *paths) == [True] * 4


def test_an_interrupted_pass_of_several_shards_keeps_all_of_them(root, picture):
    paths = [picture(f"{i}.png", i) for i in range(5)]
    looked_at = []

    def interrupt():
        looked_at.append(1)
        if len(looked_at) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LookStore(root, shard=2).add({sha256(path): path for path in paths}, 2, interrupt)
    assert files_of(root) == [".copies"] * 3 + [".parquet"] * 3
    store, left = added(root, *paths)
    assert left == 0
    assert usable(store, *paths) == [True] * 5


def test_a_whole_pass_leaves_two_files(root, picture):
    added(root, picture("a.png"), picture("b.png", 1))
    assert files_of(root) == [".copies", ".parquet"]


@pytest.mark.parametrize(
    ("suffix", "harm"),
    [(".parquet", "gone"), (".parquet", "cut"), (".parquet", "empty"), (".copies", "gone"), (".copies", "cut")],
)
def test_a_damaged_shard_counts_for_nothing(root, picture, suffix, harm):
    path = picture("a.png")
    added(root, path)
    (file,) = root.rglob(f"*{suffix}")
    if harm == "gone":
        file.unlink()
    else:
        os.truncate(file, 0 if harm == "empty" else file.stat().st_size - 1)
    store, looked_at = added(root, path)
    assert looked_at == 1
    assert np.array_equal(store.copies([sha256(path)])[0], look(path.read_bytes())[1])


def test_a_cache_that_cannot_be_written_to_is_told_with_what_to_do(root, picture):
    root.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"Expected to keep what is known .*; set XDG_CACHE_HOME"):
        added(root, picture("a.png"))


def test_a_shard_that_cannot_be_written_to_is_told_too(root, picture):
    added(root, picture("a.png", 1))
    (folder,) = root.iterdir()
    folder.rename(root / "kept")
    folder.symlink_to("/proc/self/fd")  # a folder in which no file can be made, not even by root
    with pytest.raises(InputError, match="set XDG_CACHE_HOME"):
        added(root, picture("b.png", 2))


@pytest.mark.usefixtures("misbehaving_plugin")
def test_photos_that_kill_or_hang_their_process_are_faults_and_those_beside_them_survive(root, picture, spoiled):
    good = [picture(f"{i}.png", i) for i in range(4)]
    boom, hang = spoiled("boom.png", b"BOOM"), spoiled("hang.png", b"HANG")
    store, looked_at = added(root, *good[:2], boom, hang, *good[2:])
    assert looked_at == 6
    assert usable(store, *good) == [True] * 4
    for path in good:
        assert np.array_equal(store.copies([sha256(path)])[0], look(path.read_bytes())[1])
    crash, late = store.fault(sha256(boom)), store.fault(sha256(hang))
    assert crash.kind is FaultKind.CRASHED
    assert crash.message == "Decoding brought its process down (SIGSEGV), twice; re-save the photo."
    assert late.kind is FaultKind.TIMEOUT
    assert late.message == "Decoding took longer than 1 s, twice; re-save the photo."
    later = LookStore(root)
    assert not later.lacks(sha256(boom)), "the bytes are to blame, and stay so"
    assert later.lacks(sha256(hang)), "the machine may have been busy"


MORTAL = '''
"""Two made-up formats: a DIES file names the signal that ends its process, and how often; a file beside it counts."""
import os
from pathlib import Path
from PIL import Image, ImageFile


class DiesImageFile(ImageFile.ImageFile):
    format = "HANGTAGDIES"
    format_description = "decoding ends in a signal, so many times"

    def _open(self):
        _, self._signal, self._times, self._counter = self.fp.read().decode().split(" ", 3)
        self._size, self._mode = (8, 8), "RGB"

    def load(self):
        counter = Path(self._counter)
        deaths = len(counter.read_bytes()) if counter.exists() else 0
        if deaths < int(self._times):
            counter.write_bytes(bytes(deaths + 1))
            os.kill(os.getpid(), int(self._signal))
        self.im = Image.new("RGB", (8, 8), "red").im
        self.fp = None


Image.register_open(DiesImageFile.format, DiesImageFile, lambda prefix: prefix.startswith(b"DIES"))
'''


@pytest.fixture
def mortal(tmp_path, monkeypatch, spoiled):
    """Saves a photo that ends its process so many times, by a signal; and tells how often it did."""
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    (plugin / "sitecustomize.py").write_text(MORTAL)
    monkeypatch.setenv("PYTHONPATH", str(plugin))

    def save(name, number, times):
        counter = tmp_path / f"{name}.deaths"
        return spoiled(name, f"DIES {int(number)} {times} {counter}".encode()), counter

    return save


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_one_death_is_no_proof(root, picture, mortal, number):
    once, deaths = mortal("once.png", number, 1)
    good = picture("a.png")
    store, looked_at = added(root, once, good)
    assert looked_at == 2
    assert len(deaths.read_bytes()) == 1
    assert usable(store, once, good) == [True, True]
    assert (store.copies([sha256(once)]) == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("number", "kind", "again"),
    [
        (signal.SIGSEGV, FaultKind.CRASHED, 0),
        (signal.SIGKILL, FaultKind.CRASHED, 1),
        (signal.SIGALRM, FaultKind.TIMEOUT, 1),
    ],
)
def test_two_deaths_are_one_and_what_may_pass_is_tried_again(root, picture, mortal, number, kind, again):
    twice, deaths = mortal("twice.png", number, 2)
    good = picture("a.png")
    store, _ = added(root, twice, good)
    assert len(deaths.read_bytes()) == 2
    assert store.fault(sha256(twice)).kind is kind
    assert usable(store, good) == [True]
    later, looked_at = added(root, twice, good)
    assert looked_at == again
    assert usable(later, twice, good) == [bool(again), True]


def replaced(path, data):
    """The SHA-256 of a file that then gets other bytes."""
    before = sha256(path)
    path.write_bytes(data)
    return before


def test_what_is_seen_is_kept_under_the_digest_of_what_was_looked_at(root, picture, spoiled):
    other, page = picture("b.png", 2), spoiled("page.jpg", b"<html>404</html>")
    for path, spoil in ((picture("a.png", 1), other), (picture("c.png", 3), page)):
        before = replaced(path, spoil.read_bytes())
        store = LookStore(root)
        store.add({before: path}, 1, Count())
        assert store.fault(before).kind is FaultKind.CHANGED
        assert f"Expected {path} as it was" in store.fault(before).message
        assert LookStore(root).lacks(before), "the photo with these bytes may come back"
    later = LookStore(root)
    assert usable(later, other, page) == [True, False]
    assert np.array_equal(later.copies([sha256(other)])[0], look(other.read_bytes())[1])
    assert later.fault(sha256(page)).kind is FaultKind.UNSUPPORTED


@pytest.mark.usefixtures("misbehaving_plugin")
def test_a_crash_is_not_kept_under_the_digest_of_what_was_there_before(root, picture):
    path = picture("a.png")
    before = replaced(path, b"BOOM")
    store = LookStore(root)
    store.add({before: path}, 1, Count())
    assert store.fault(before).kind is FaultKind.CHANGED
    assert LookStore(root).lacks(before)


def test_a_cache_that_a_cleaner_takes_meanwhile_is_an_error_with_what_to_do(root, picture):
    store, _ = added(root, picture("a.png"))
    shutil.rmtree(root)
    with pytest.raises(InputError, match="something has removed it; keep it from cleaning up"):
        store.copies([sha256(picture("a.png"))])
    assert added(root, picture("a.png"))[1] == 1, "the next one looks again"


def test_a_cache_that_is_taken_while_it_is_written_is_an_error_with_what_to_do(root, picture):
    with pytest.raises(InputError, match="something has removed it; keep it from cleaning up"):
        LookStore(root).add({sha256(picture("a.png")): picture("a.png")}, 1, lambda: shutil.rmtree(root))
