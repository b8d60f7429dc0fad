import csv
import shutil
import time

import numpy as np
import pytest
from PIL import Image, ImageOps

from exporter.training_run import read_training_run
from models.errors import DataError, InputError
from models.preprocess import preprocess
from models.statistics.calibration import calibrated
from tests.unit.trainer.run_files import (
    CLASSES,
    FILES,
    Diary,
    Killed,
    arrays,
    best_logits,
    files_of,
    kill,
    splits_of,
    table,
)
from trainer.data.dataset import Split
from trainer.request import Arch, Balance, TrainRequest
from trainer.run import RunState, read_history
from trainer.sample.catalogue import draw_catalogue
from trainer.splits.assigned import read_splits, write_splits
from trainer.splits.set_aside import count_leaks
from trainer.train import deadline_of_main, train


def changed(request: TrainRequest, **changes):
    return request.model_copy(update=changes)


def prepared_for(request, run, cache):
    """A training's prepared data and args; the training is killed before it learns."""
    seen = []

    def note_and_kill(*prepared):
        seen.append(prepared)
        kill()

    with pytest.raises(Killed):
        train(request, run, cache, Diary(on_prepared=note_and_kill))
    return seen[0]


def test_a_second_training_with_a_fifth_more_photos_keeps_every_old_one_in_its_split(
    binary, two_classes, tmp_path, session_cache
):
    data, more, splits = shutil.copytree(two_classes, tmp_path / "photos"), tmp_path / "more", tmp_path / "splits.csv"
    old = prepared_for(changed(binary, data=data), tmp_path / "first", session_cache)[0].photos
    write_splits(splits, old)
    draw_catalogue(more, 48, seed=11)
    for name in ("hat", "vase"):
        for photo in (more / name).iterdir():
            shutil.copyfile(photo, data / name / f"new-{photo.name}")
    tested = next(photo for photo in old if photo.split is Split.TEST and photo.path.suffix == ".jpg")
    with Image.open(tested.path) as image:
        ImageOps.exif_transpose(image).save(data / tested.label / "again.jpg", quality=70)
    prepared, args = prepared_for(changed(binary, data=data, splits=splits), tmp_path / "second", session_cache)
    kept = {photo.sha256: photo.split for photo in prepared.photos}
    assert {photo.sha256: kept[photo.sha256] for photo in old} == {photo.sha256: photo.split for photo in old}
    assert next(photo.split for photo in prepared.photos if photo.path.name == "again.jpg") is Split.TEST
    assert len(prepared.photos) >= len(old) + 12
    assert args.splits == splits


def test_a_run_that_exists_is_refused_and_left_alone(trained, diary, session_cache):
    before = {path: path.stat().st_mtime_ns for path in trained.path.rglob("*")}
    with pytest.raises(InputError, match=f"{trained.path}"):
        train(trained.request, trained.path, session_cache, diary)
    assert {path: path.stat().st_mtime_ns for path in trained.path.rglob("*")} == before
    assert diary.advanced == []


def test_of_two_trainings_of_one_name_the_later_gives_way(binary, tmp_path, session_cache):
    run = tmp_path / "run"
    with pytest.raises(InputError, match=f"{run}"):
        train(binary, run, session_cache, Diary(on_prepared=lambda *_: run.mkdir()))
    assert list(run.iterdir()) == []


def test_untrainable_photos_leave_no_run_and_download_no_weights(tmp_path, diary, keras_home):
    (tmp_path / "photos" / "hat").mkdir(parents=True)
    with pytest.raises(DataError):
        train(TrainRequest(data=tmp_path / "photos"), tmp_path / "run", tmp_path / "cache", diary)
    assert not (tmp_path / "run").exists()
    assert not keras_home.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "imagenet"},
        {"weights": "gone.keras"},
        {"arch": Arch.RESNET50_V2, "image_size": 16},
    ],
)
def test_a_network_that_does_not_exist_is_refused_before_any_photo_is_looked_at(binary, tmp_path, diary, changes):
    with pytest.raises(InputError):
        train(changed(binary, **changes), tmp_path / "run", tmp_path / "cache", diary)
    assert diary.advanced == []
    assert not (tmp_path / "run").exists()


@pytest.mark.rest
def test_a_cross_validated_training_reports_every_photo_except_test_photos(
    binary, two_classes, catalogue, tmp_path, session_cache, diary
):
    """One of its three classes has a single photo, so that rare classes get larger weights."""
    data = tmp_path / "uneven"
    shutil.copytree(two_classes / "hat", data / "hat")
    for name, count in (("vase", 4), ("cushion", 1)):
        (data / name).mkdir()
        for photo in sorted((catalogue / name).glob("*.png"))[:count]:
            shutil.copy(photo, data / name)
    result = train(changed(binary, data=data, folds=2, epochs=2), tmp_path / "run", session_cache, diary)
    assert (result.args.cv, result.args.folds, result.args.balance) == (True, 2, Balance.WEIGHTS)
    assert result.args.classes == ("cushion", "hat", "vase")
    assert any("--balance none" in note for note in result.run.notes())
    photos = [photo for photo in read_splits(result.run.splits) if photo.present]
    out_of_fold = result.evaluation.cv
    assert (out_of_fold.folds, out_of_fold.n) == (2, sum(photo.split is not Split.TEST for photo in photos))
    words = f"2-fold cross-validation, n = {out_of_fold.n}"
    assert words in result.run.report.read_text()
    assert words in result.run.model_card.read_text().replace("\n", " ")


@pytest.mark.rest
def test_folds_beyond_the_time_limit_are_left_out_from_the_start_with_a_note(binary, tmp_path, session_cache):
    noted = []
    diary = Diary(on_prepared=lambda prepared, args: noted.append(prepared.notes[-1]))
    request = changed(binary, arch=Arch.CNN, epochs=None, folds=2, time_limit_s=1.0)
    result = train(request, tmp_path / "run", session_cache, diary)
    assert (result.args.state, result.args.folds, result.evaluation.cv) == (RunState.COMPLETE, 0, None)
    assert result.args.short_of_time
    assert diary.epochs[-1].lr == pytest.approx(0, abs=1e-9)
    assert f"no folds: promises are based only on {result.evaluation.val.n} validation photos" in noted[0]
    assert noted[0] in result.run.report.read_text()
    assert result.run.args() == result.args


def test_a_run_is_these_files_and_no_others(trained):
    assert files_of(trained.path) == FILES
    assert list(trained.run.originals.iterdir())


def test_best_keras_is_the_network_of_the_last_row_once_the_rate_has_fallen(trained):
    first, *_, last = read_history(trained.run.history)
    assert last.train_loss < first.train_loss
    pixels, labels = arrays(trained.path / "export" / "val.npz")
    right = (best_logits(trained.run, pixels).argmax(axis=1) == labels).mean()
    assert right == pytest.approx(last.val_accuracy, abs=1e-5)
    assert trained.evaluation.val.accuracy == pytest.approx(last.val_accuracy, abs=1e-5)
    assert trained.run.args().best_epoch == last.epoch


def test_predictions_csv_is_what_the_figures_are_made_of(trained):
    rows = table(trained.run.predictions)
    for split, figures in ((Split.VAL, trained.evaluation.val), (Split.TEST, trained.evaluation.test)):
        of_split = [row for row in rows if row["split"] == split]
        photos = splits_of(trained.run, split)
        images = [(str(photo.path.relative_to(trained.request.data)), photo.label) for photo in photos]
        assert [(row["image"], row["label"]) for row in of_split] == images
        assert np.mean([row["label"] == row["predicted"] for row in of_split]) == pytest.approx(figures.accuracy)
    pixels, _ = arrays(trained.path / "export" / "val.npz")
    sure = calibrated(best_logits(trained.run, pixels), trained.run.read_confidence().temperature).max(axis=1)
    assert [float(row["confidence"]) for row in rows if row["split"] == "val"] == pytest.approx(sure, abs=1e-4)


def test_splits_csv_has_every_readable_photo_once_with_duplicates_together(trained, catalogue):
    photos = read_splits(trained.run.splits)
    with trained.run.excluded.open(newline="") as file:
        excluded = [row["image"] for row in csv.DictReader(file)]
    assert sorted([str(photo.path) for photo in photos] + excluded) == sorted(str(p) for p in catalogue.glob("*/*"))
    assert len({photo.group for photo in photos}) == len(photos) - 4
    assert count_leaks(photos).total() == 0
    assert {(p.label, p.split) for p in photos} == {(name, split) for name in CLASSES for split in Split}


def test_the_exporter_reads_the_pixels_that_preprocess_makes(trained):
    read, photos = read_training_run(trained.path), splits_of(trained.run, Split.VAL)
    assert (read.name, read.classes, read.preprocess) == ("cnn", CLASSES, trained.run.args().preprocess)
    assert [CLASSES[i] for i in read.labels] == [photo.label for photo in photos]
    pixels = [preprocess(photo.path.read_bytes(), read.preprocess) for photo in photos]
    assert np.array_equal(read.pixels, np.stack(pixels))
    assert len(read.originals) == len(list(trained.run.originals.iterdir()))


@pytest.mark.parametrize(
    ("folds", "cv", "share"),
    [(0, False, 1), (2, False, 3 / 4), (4, False, 1 / 2), (10, False, 1 / 4), (5, True, 1 / 5)],
)
def test_a_network_beside_folds_has_the_share_of_time_that_it_takes(make_training, folds, cv, share):
    """Each of k folds learns from (k - 1) / k of the photos, for a third of the epochs, or for all."""
    args = make_training(folds=folds, cv=cv).args
    begin = time.monotonic()
    assert deadline_of_main(args, begin + 1000) == pytest.approx(begin + 1000 * share, abs=5)
    assert deadline_of_main(args, None) is None
