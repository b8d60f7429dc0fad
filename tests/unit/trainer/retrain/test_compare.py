import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.bundle import open_bundle
from models.photo import NONE
from models.preprocess import PreprocessSpec
from tests.variants import derive
from trainer.data.dataset import Split
from trainer.data.photo_cache import PixelStore
from trainer.data.photo_files import file_sha256
from trainer.retrain.compare import Contestant, compare, measure_footprints, quickest, read_frozen_photos
from trainer.retrain.config import ClassMap, GateSettings
from trainer.retrain.gate import judge
from trainer.splits.assigned import AssignedPhoto, read_splits, write_splits


def silent(what, done, total):
    pass


def compared(run, bundle, champion, cache, classes=None):
    both = Contestant("shop@4", bundle, run / "splits.csv"), Contestant("shop@3", champion, None)
    return compare(*both, classes or ClassMap(), cache, silent)


def test_two_real_bundles_on_the_runs_own_test_photos(small_run, sure_export, bundle, session_cache):
    told = []
    both = [
        Contestant(name, one, small_run / "splits.csv") for name, one in (("shop@4", bundle), ("shop@3", sure_export))
    ]
    found = compare(*both, ClassMap(), session_cache, lambda *at: told.append(at[0].split()[0]))
    tests = [photo for photo in read_splits(small_run / "splits.csv") if photo.split is Split.TEST and photo.present]
    with (small_run / "predictions.csv").open(newline="") as file:
        said = [row for row in csv.DictReader(file) if row["split"] == "test"]
    right = sum(row["label"] == row["predicted"] for row in said)
    assert found.photos == len(tests) == len(said)
    assert found.champion_accuracy == pytest.approx(right / len(said), abs=1 / len(said) + 1e-9)
    assert found.points == pytest.approx(100 * (found.challenger_accuracy - found.champion_accuracy))
    assert found.calibration.champion != found.calibration.challenger
    assert found.champion_footprint.images_per_s > 0
    assert set(told) >= {"Asking", "Measuring"}
    assert judge(GateSettings(), found, None).checks


def test_both_models_are_compared_at_the_champions_precision(
    small_run, unsure_bundle, sure_bundle, reference_photos, session_cache, tmp_path
):
    """The same network twice: one is set to 0.90, the other to 0.98."""
    promise = open_bundle(sure_bundle).manifest.variants["float32"].model_copy(update={"precision": 0.98})
    surer = derive(tmp_path / "surer", reference_photos, calibration=promise)
    found = compared(small_run, surer, sure_bundle, session_cache).automation
    assert (found.champion_precision, found.challenger_precision, found.own_precision) == (0.90, 0.90, 0.98)
    assert found.champion.photos == found.challenger.photos > found.own.photos
    alone = compared(small_run, sure_bundle, unsure_bundle, session_cache).automation
    assert (alone.champion_precision, alone.challenger_precision) == (None, 0.90)
    assert alone.champion.photos == 0 < alone.challenger.photos, "who promises nothing labels nothing by itself"


def test_the_champions_own_test_photos_tell_which_are_gone_and_which_are_newer(
    small_run, bundle, sure_bundle, session_cache, tmp_path
):
    def photo(number, split=Split.TEST, label="hat", present=True):
        return AssignedPhoto(Path(f"/{number}.jpg"), label, split, f"{number:064}", f"g{number}", present=present)

    now = [one for one in read_splits(small_run / "splits.csv") if one.split is Split.TEST and one.present]
    gone = [photo(1), photo(2, Split.TRAIN), photo(3, label="vase"), photo(4, present=False)]
    write_splits(tmp_path / "splits.csv", [*now[:-2], replace(now[-2], present=False), *gone])
    found = compare(
        Contestant("shop@4", sure_bundle, small_run / "splits.csv"),
        Contestant("shop@3", bundle, tmp_path / "splits.csv"),
        ClassMap(drop=("vase",)),
        session_cache,
        silent,
    )
    assert (found.photos, found.unread, found.newer.photos) == (len(now), 1, 2)
    assert compared(small_run, sure_bundle, bundle, session_cache).newer is None


@pytest.fixture
def four(tmp_path):
    """Test photos; the last is not an image."""
    photos = []
    for number in range(2, 6):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((20, 20, 3), 40 * number, np.uint8)).save(path)
        if number == 5:
            path.write_bytes(b"no image")
        photos.append(AssignedPhoto(path, "hat", Split.TEST, file_sha256(path), f"g{number}"))
    return photos


def stores(folder):
    return [PixelStore(folder / "pixels", PreprocessSpec(size=size)) for size in (16, 24)]


def test_photos_that_cannot_be_read_any_more_count_for_neither(four, tmp_path):
    """But cached pixels need no file."""

    def readable(stores):
        told = []
        return [photo.path.name for photo in read_frozen_photos(four, stores, lambda *at: told.append(at))], told

    (tmp_path / "2.png").unlink()
    (tmp_path / "3.png").write_bytes((tmp_path / "4.png").read_bytes())
    found, told = readable(stores(tmp_path))
    assert (found, told[-1]) == (["4.png"], (8, 8))
    (tmp_path / "4.png").unlink()
    assert readable(stores(tmp_path))[0] == ["4.png"]
    one_new = [*stores(tmp_path), PixelStore(tmp_path / "pixels", PreprocessSpec(size=32))]
    assert readable(one_new)[0] == []


def test_size_and_speed_are_of_one_variant(bundle, int8_bundle):
    told, files = [], [(int8_bundle / name).stat().st_size for name in ("model.onnx", "model.int8.onnx")]
    assert files[0] != files[1]
    for both, size, default in (
        ((bundle, int8_bundle), files[0], files),
        ((int8_bundle, int8_bundle), files[1], [files[1]] * 2),
    ):
        footprints = measure_footprints(both, lambda *at: told.append(at))
        assert [one.compared_bytes for one in footprints] == [size, size]
        assert [one.default_bytes for one in footprints] == default
        assert min(one.images_per_s for one in footprints) > 0
        assert told[-1] == (60, 60)


def test_tasks_are_done_in_turns_and_the_first_round_does_not_count():
    now, done = [0.0], []
    took = {"old": iter([1.0, 5.0, 3.0, 4.0]), "new": iter([0.5, 2.0, 9.0, 9.0])}

    def task(name):
        def run():
            done.append(name)
            now[0] += next(took[name])

        return run

    assert quickest([task("old"), task("new")], 3, lambda done, total: None, lambda: now[0]) == [3.0, 2.0]
    assert done == ["old", "new"] * 4


def test_test_photos_that_show_no_product_now_are_neither_compared_nor_gone(
    small_run, bundle, sure_bundle, session_cache, tmp_path
):
    photos = read_splits(small_run / "splits.csv")
    hats = [photo for photo in photos if photo.split is Split.TEST and photo.label == "hat"]
    write_splits(tmp_path / "splits.csv", [replace(p, label=NONE) if p in hats else p for p in photos])
    found = compare(
        Contestant("shop@4", sure_bundle, tmp_path / "splits.csv"),
        Contestant("shop@3", bundle, small_run / "splits.csv"),
        ClassMap(),
        session_cache,
        silent,
    )
    tests = [photo for photo in photos if photo.split is Split.TEST and photo.present]
    assert (found.photos, found.unread) == (len(tests) - len(hats), 0)
    assert NONE not in found.classes
