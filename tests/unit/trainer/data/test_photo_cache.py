import hashlib
import shutil
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import InputError
from models.preprocess import PreprocessSpec, preprocess
from trainer.data.photo_cache import FeatureStore, PixelStore, StatisticsStore
from trainer.data.photo_files import FaultKind, ImageStatistics, measure_photo

SPEC = PreprocessSpec(size=16)
HASTY_S = 0.5
KINDS = ("statistics", "pixels")
COPY_BYTES = 64 * 64 * 3


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def root(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def picture(tmp_path):
    """Saves a picture with pixels from the seed; the name's ending chooses the format."""

    def save(name, seed=0):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)).save(path)
        return path

    return save


@pytest.fixture
def spoiled(tmp_path):
    """Saves bytes that are not a photo."""

    def save(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return save


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def opened(kind, root, **options):
    return StatisticsStore(root, **options) if kind == "statistics" else PixelStore(root, SPEC)


def added(kind, root, *paths, **options):
    """A store with these files, and the number of files that it decoded."""
    store, told = opened(kind, root, **options), []
    store.add({sha256(path): path for path in paths}, 2, lambda: told.append(1))
    return store, len(told)


def add_named(store, name, path):
    store.add({name: path}, 1, lambda: None)
    return store


def arrays(store, *paths):
    names = [sha256(path) for path in paths]
    return store.take(names) if isinstance(store, PixelStore) else store.copies(names)


def holds(store, *paths):
    """Whether a store has the decoded pixels of these files, in this order."""
    decode = (lambda data: measure_photo(data)[1]) if isinstance(store, StatisticsStore) else preprocessed
    usable = all(store.fault(sha256(path)) is None for path in paths)
    return usable and np.array_equal(arrays(store, *paths), np.stack([decode(path.read_bytes()) for path in paths]))


def preprocessed(data):
    return preprocess(data, SPEC)


def endings(root):
    return sorted(path.suffix for path in root.rglob("*") if path.is_file())


def test_arrays_come_in_the_order_asked_and_each_photo_is_told_of_once(kind, root, picture):
    a, b, c = picture("a.png", 1), picture("b.jpg", 2), picture("c.gif", 3)
    store, decoded = added(kind, root, a, b, c)
    assert decoded == 3
    assert arrays(store, a).dtype == np.uint8
    assert holds(store, c, a, c, b)


def test_statistics_are_those_of_the_photos(root, picture):
    asked = (picture("a.png", 1), picture("b.jpg", 2))
    store, _ = added("statistics", root, *asked)
    found = store.statistics([sha256(path) for path in asked]).select([field.name for field in fields(ImageStatistics)])
    assert found.to_pylist() == [asdict(measure_photo(path.read_bytes())[0]) for path in asked]
    for one in (store, StatisticsStore(root / "none")):
        assert one.statistics([]).num_rows == 0
        assert one.statistics([]).schema == store.statistics([sha256(asked[0])]).schema
        assert one.copies([]).shape == (0, 64, 64, 3)


def test_a_photo_is_decoded_once_by_all_stores_of_one_root(kind, root, picture, spoiled):
    paths = [picture("a.png", 1), picture("b.png", 2)]
    page = spoiled("page.jpg", b"<html>404</html>")
    first, decoded = added(kind, root, page, *paths)
    assert decoded == 3
    first.add({sha256(path): path for path in (*paths, page)}, 2, lambda: pytest.fail("decoded again"))
    second, decoded = added(kind, root, *paths, page)
    assert decoded == 0
    assert holds(first, *paths)
    assert holds(second, *paths)
    assert first.fault(sha256(page)) == second.fault(sha256(page))
    assert second.fault(sha256(page)).kind is FaultKind.UNSUPPORTED


def test_a_file_that_was_away_is_tried_again_when_it_is_back(root, picture):
    path = picture("a.png")
    name, away = sha256(path), path.with_name("away.png")
    path.rename(away)
    fault = add_named(opened("statistics", root), name, path).fault(name)
    assert (fault.kind, str(path) in fault.message) == (FaultKind.MISSING, True)
    assert endings(root) == [], "nothing was decoded"
    away.rename(path)
    store, decoded = added("statistics", root, path)
    assert decoded == 1
    assert holds(store, path)


def test_an_interrupted_pass_keeps_decoded_photos_and_reserves_no_room_for_others(root, picture):
    paths, calls = [picture(f"{i}.png", i) for i in range(6)], []

    def interrupt_at_the_third():
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened("statistics", root, shard=2).add({sha256(path): path for path in paths}, 1, interrupt_at_the_third)
    assert endings(root) == [".arrays"] * 2 + [".parquet"] * 2
    assert sum(file.stat().st_size for file in root.rglob("*.arrays")) in {4 * COPY_BYTES, 3 * COPY_BYTES}
    store, left = added("statistics", root, *paths)
    assert left in {2, 3}
    assert holds(store, *paths)


def test_a_shard_that_a_cleaner_has_taken_or_spoiled_is_decoded_again(kind, root, picture):
    path = picture("a.png")
    store, _ = added(kind, root, path)
    for ending in (".parquet", ".arrays"):
        for harm in (Path.unlink, lambda file: file.write_bytes(b"[")):
            for file in root.rglob(f"*{ending}"):
                harm(file)
            store, decoded = added(kind, root, path)
            assert decoded == 1
            assert holds(store, path)


def test_pixels_stay_readable_when_a_cleaner_takes_the_whole_cache(root, picture):
    path = picture("a.png")
    store, _ = added("pixels", root, path)
    shutil.rmtree(root)
    assert holds(store, path)


def test_a_cache_that_a_cleaner_takes_meanwhile_is_an_error_with_what_to_do(root, picture):
    path = picture("a.png")
    store, _ = added("statistics", root, path)
    shutil.rmtree(root)
    with pytest.raises(InputError, match="removed it"):
        arrays(store, path)
    assert added("statistics", root, path)[1] == 1, "the next one decodes it again"


def test_a_cache_in_which_no_file_can_be_made_is_told(root, picture):
    added("pixels", root, picture("a.png", 1))
    (folder,) = root.glob("*/*")
    folder.rename(root / "kept")
    folder.symlink_to("/proc/self/fd")  # where not even root can make a file
    with pytest.raises(InputError, match="photo cache"):
        added("pixels", root, picture("b.png", 2))


@pytest.mark.parametrize(("place", "why"), [("/proc/nowhere", "No such file"), ("file/cache", "Not a directory")])
def test_a_cache_whose_folder_cannot_be_made_is_told_with_why(tmp_path, picture, place, why):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=rf"{place}.* cannot be made \({why}.*\); set XDG_CACHE_HOME"):
        added("pixels", tmp_path / place, picture("b.png", 2))


def test_features_that_cannot_be_written_are_told(tmp_path):
    (tmp_path / "file").touch()
    store = FeatureStore(tmp_path / "file", PreprocessSpec(size=32), "0" * 64)
    with pytest.raises(
        InputError, match=r"photo cache in .*, got Not a directory; free some space, or set XDG_CACHE_HOME"
    ):
        store.add({"1": np.zeros(3, np.float32)})


@pytest.mark.usefixtures("misbehaving_plugin")
def test_photos_that_kill_or_hang_their_process_are_faults_and_others_survive(root, picture, spoiled):
    good = [picture(f"{i}.png", i) for i in range(4)]
    boom, hang = spoiled("boom.png", b"BOOM"), spoiled("hang.png", b"HANG")
    store, decoded = added("statistics", root, *good[:2], boom, hang, *good[2:], timeout_s=HASTY_S)
    assert decoded == 6
    assert holds(store, *good)
    crash, late = store.fault(sha256(boom)), store.fault(sha256(hang))
    assert (crash.kind, late.kind) == (FaultKind.CRASHED, FaultKind.TIMEOUT)
    assert "SIGSEGV" in crash.message
    assert "0.5 s" in late.message
    later = opened("statistics", root)
    assert not later.lacks(sha256(boom)), "the bytes are to blame, and stay so"
    assert later.lacks(sha256(hang)), "the machine may have been busy"


def replaced(path, data):
    """The SHA-256 of a file that then gets other bytes."""
    before = sha256(path)
    path.write_bytes(data)
    return before


def test_findings_are_kept_under_the_decoded_bytes_digest(kind, root, picture, spoiled):
    other, page = picture("b.png", 2), spoiled("page.jpg", b"<html>404</html>")
    for path, spoil in ((picture("a.png", 1), other), (picture("c.png", 3), page)):
        before = replaced(path, spoil.read_bytes())
        store = add_named(opened(kind, root), before, path)
        assert store.fault(before).kind is FaultKind.CHANGED
        assert opened(kind, root).lacks(before), "the photo with these bytes may come back"
    later = opened(kind, root)
    assert holds(later, other)
    assert later.fault(sha256(page)).kind is FaultKind.UNSUPPORTED


@pytest.mark.usefixtures("misbehaving_plugin")
def test_a_crash_is_not_kept_under_the_replaced_files_digest(root, picture):
    path = picture("a.png")
    before = replaced(path, b"BOOM")
    store = add_named(opened("statistics", root), before, path)
    assert store.fault(before).kind is FaultKind.CHANGED
    assert opened("statistics", root).lacks(before)
