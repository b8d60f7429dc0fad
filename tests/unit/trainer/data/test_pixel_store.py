import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import InputError
from models.preprocess import PreprocessSpec, preprocess
from trainer.data.photo_files import FaultKind
from trainer.data.pixel_store import PixelStore

SPEC = PreprocessSpec(size=16)


@pytest.fixture
def picture(tmp_path):
    """Saves a picture whose pixels depend on the seed alone; the name's ending chooses the format."""

    def save(name, seed=0):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)).save(path)
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


def added(root, *paths, spec=SPEC):
    """A store that holds these files, and how many of them it had to decode."""
    store, count = PixelStore(root, spec), Count()
    store.add({sha256(path): path for path in paths}, 2, count)
    return store, count.photos


def test_pixels_are_those_of_preprocess_in_the_order_asked(root, picture):
    a, b, c = (picture(f"{i}.png", i) for i in range(3))
    store, _ = added(root, a, b, c)
    taken = store.take([sha256(path) for path in (c, a, c, b)])
    assert taken.dtype == np.uint8
    assert np.array_equal(taken, np.stack([preprocess(path.read_bytes(), SPEC) for path in (c, a, c, b)]))


def test_each_photo_is_told_of_once(root, picture):
    assert added(root, *(picture(f"{i}.png", i) for i in range(5)))[1] == 5


def test_a_photo_is_decoded_once_by_the_same_store(root, picture):
    paths = [picture(f"{i}.png", i) for i in range(3)]
    store, _ = added(root, *paths)
    again = Count()
    store.add({sha256(path): path for path in paths}, 2, again)
    assert again.photos == 0


def test_a_photo_is_decoded_once_by_all_stores_of_one_root(root, picture):
    paths = [picture(f"{i}.png", i) for i in range(3)]
    first, _ = added(root, *paths)
    second, decoded = added(root, *paths)
    assert decoded == 0
    names = [sha256(path) for path in paths]
    assert np.array_equal(first.take(names), second.take(names))


def test_only_new_photos_are_decoded_and_all_can_be_taken(root, picture):
    old, new = picture("old.png", 1), picture("new.png", 2)
    added(root, old)
    store, decoded = added(root, new, old)
    assert decoded == 1
    assert np.array_equal(store.take([sha256(old)])[0], preprocess(old.read_bytes(), SPEC))
    assert np.array_equal(store.take([sha256(new)])[0], preprocess(new.read_bytes(), SPEC))


def test_another_preprocessing_has_pixels_of_its_own(root, picture):
    path = picture("a.png")
    added(root, path)
    store, decoded = added(root, path, spec=PreprocessSpec(size=24))
    assert decoded == 1
    assert store.take([sha256(path)]).shape == (1, 24, 24, 3)
    assert added(root, path)[1] == 0


def test_an_unreadable_file_does_not_stop_the_others(root, picture):
    good = [picture(f"{i}.png", i) for i in range(4)]
    bad = picture("bad.png", 9)
    bad.write_bytes(bad.read_bytes()[:200])
    store, decoded = added(root, *good[:2], bad, *good[2:])
    assert decoded == 5
    assert store.fault(sha256(bad)).kind is FaultKind.UNREADABLE
    assert [store.fault(sha256(path)) for path in good] == [None] * 4
    assert np.array_equal(store.take([sha256(good[3])])[0], preprocess(good[3].read_bytes(), SPEC))


def test_a_fault_is_kept_with_its_message(root, picture):
    bad = picture("bad.png")
    bad.write_text("<html>404</html>")
    first, _ = added(root, bad)
    second, decoded = added(root, bad)
    assert decoded == 0
    assert "that are none of them" in first.fault(sha256(bad)).message
    assert first.fault(sha256(bad)) == second.fault(sha256(bad))
    assert first.fault(sha256(bad)).kind is FaultKind.UNREADABLE


def test_a_file_that_was_away_is_tried_again_when_it_is_back(root, picture):
    path = picture("a.png")
    name, away = sha256(path), path.with_name("away.png")
    path.rename(away)
    PixelStore(root, SPEC).add({name: path}, 1, Count())
    away.rename(path)
    store, _ = added(root, path)
    assert store.fault(name) is None


def test_an_interrupted_add_leaves_nothing_behind(root, picture):
    paths = [picture(f"{i}.png", i) for i in range(4)]

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PixelStore(root, SPEC).add({sha256(path): path for path in paths}, 2, interrupt)
    assert [path.name for path in root.rglob("*") if path.suffix in {".pixels", ".json", ".tmp"}] == []
    assert added(root, *paths)[1] == 4


def test_an_interrupted_add_leaves_no_logs_behind(root, picture):
    def interrupt():
        raise KeyboardInterrupt

    path = picture("a.png")
    with pytest.raises(KeyboardInterrupt):
        PixelStore(root, SPEC).add({sha256(path): path}, 1, interrupt)
    assert [path for path in root.rglob("*") if path.is_file() or ".logs" in path.name] == []


def test_a_whole_add_leaves_two_files(root, picture):
    added(root, picture("a.png"), picture("b.png", 1))
    assert sorted(path.suffix for path in root.rglob("*") if path.is_file()) == [".json", ".pixels"]
    assert len(list(root.rglob("*"))) == 3


def test_pixels_without_their_index_do_not_count(root, picture):
    path = picture("a.png")
    added(root, path)
    (index,) = root.rglob("*.json")
    index.unlink()
    assert added(root, path)[1] == 1


def test_nothing_to_add_writes_nothing(root):
    assert added(root)[1] == 0
    assert not root.exists()


@pytest.mark.parametrize(
    "name", ["a b.png", "a\tb.png", "a\nb.png", "'a\".png", "béret-帽子.png", os.fsdecode(b"b\xe9ret.png")]
)
def test_a_file_may_have_any_name(root, picture, tmp_path, name):
    plain, odd = picture("plain.png", 1), tmp_path / name
    picture("other.png", 2).rename(odd)
    store, decoded = added(root, odd, plain)
    assert decoded == 2
    assert store.fault(sha256(odd)) is None
    assert np.array_equal(store.take([sha256(odd)])[0], preprocess(odd.read_bytes(), SPEC))


@pytest.mark.usefixtures("misbehaving_plugin")
def test_a_photo_that_kills_its_decoding_process_is_a_fault_and_no_crash(root, picture):
    good = [picture(f"{i}.png", i) for i in range(4)]
    bad = picture("bad.png", 9)
    bad.write_bytes(b"BOOM")
    store, decoded = added(root, *good[:2], bad, *good[2:])
    assert decoded == 5
    assert store.fault(sha256(bad)).kind is FaultKind.CRASHED
    assert "SIGSEGV" in store.fault(sha256(bad)).message
    assert added(root, bad)[1] == 0, "it is not tried again"
    assert np.array_equal(
        store.take([sha256(path) for path in good]), np.stack([preprocess(p.read_bytes(), SPEC) for p in good])
    )


@pytest.mark.usefixtures("misbehaving_plugin")
def test_only_the_photos_that_kill_are_faults_when_there_are_several(root, picture):
    good, bad = [picture(f"{i}.png", i) for i in range(2)], [picture(f"bad{i}.png", i) for i in range(3)]
    for i, path in enumerate(bad):
        path.write_bytes(b"BOOM%d" % i)
    store, decoded = added(root, *bad, *good)
    assert decoded == 5
    assert [store.fault(sha256(path)).kind for path in bad] == [FaultKind.CRASHED] * 3
    assert [store.fault(sha256(path)) for path in good] == [None] * 2


def replaced(path, other):
    """The SHA-256 of a file that then gets the bytes of another one."""
    before = sha256(path)
    path.write_bytes(other.read_bytes())
    return before


def test_pixels_are_kept_under_the_digest_of_what_was_decoded(root, picture):
    path, other = picture("a.png", 1), picture("b.png", 2)
    before = replaced(path, other)
    store = PixelStore(root, SPEC)
    store.add({before: path}, 1, Count())
    assert store.fault(before).kind is FaultKind.CHANGED
    assert f"Expected {path} as it was" in store.fault(before).message
    later = PixelStore(root, SPEC)
    assert later.lacks(before), "the photo with these bytes may come back"
    assert np.array_equal(later.take([sha256(other)])[0], preprocess(other.read_bytes(), SPEC))


@pytest.mark.usefixtures("misbehaving_plugin")
def test_a_crash_is_kept_under_the_digest_of_what_crashed(root, picture):
    path, bad = picture("a.png", 1), picture("bad.png", 2)
    bad.write_bytes(b"BOOM")
    before = replaced(path, bad)
    store = PixelStore(root, SPEC)
    store.add({before: path}, 1, Count())
    assert store.fault(before).kind is FaultKind.CHANGED
    later = PixelStore(root, SPEC)
    assert later.lacks(before)
    assert later.fault(sha256(bad)).kind is FaultKind.CRASHED


@pytest.mark.parametrize(
    "spoil", [Path.unlink, lambda file: file.write_bytes(b""), lambda file: file.write_bytes(b"[")]
)
@pytest.mark.parametrize("ending", [".pixels", ".json"])
def test_what_a_cleaner_has_taken_or_spoiled_is_decoded_again(root, picture, ending, spoil):
    path = picture("a.png")
    added(root, path)
    (file,) = root.rglob(f"*{ending}")
    spoil(file)
    store, decoded = added(root, path)
    assert decoded == 1
    assert np.array_equal(store.take([sha256(path)])[0], preprocess(path.read_bytes(), SPEC))


def test_pixels_stay_readable_when_a_cleaner_takes_the_whole_cache(root, picture):
    path = picture("a.png")
    store, _ = added(root, path)
    shutil.rmtree(root)
    assert np.array_equal(store.take([sha256(path)])[0], preprocess(path.read_bytes(), SPEC))


def test_a_cache_that_is_taken_while_it_is_written_is_an_error_with_what_to_do(root, picture):
    with pytest.raises(InputError, match=r"Expected to keep decoded photos in .* set XDG_CACHE_HOME"):
        PixelStore(root, SPEC).add({sha256(picture("a.png")): picture("a.png")}, 1, lambda: shutil.rmtree(root))
