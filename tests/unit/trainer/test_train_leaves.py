import csv
import json
from collections import Counter

import keras
import numpy as np
import pytest
from PIL import Image

from exporter.training_run import read_training_run
from models.preprocess import preprocess
from models.statistics.calibration import calibrated
from models.statistics.out_of_distribution import DistanceHead
from tests.unit.trainer.run_files import CLASSES, FILES, arrays, best_logits, files_of, splits_of, table
from trainer.data.dataset import Split
from trainer.judging.evaluate import Evaluation, Judged
from trainer.judging.figures import ClassFigures, Figures
from trainer.run import read_history
from trainer.splits.assigned import read_splits
from trainer.splits.set_aside import count_leaks


def test_a_run_is_these_files_and_no_others(trained):
    assert files_of(trained.path) == FILES
    assert list(trained.run.originals.iterdir())


def test_evaluation_json_has_figures_of_both_splits_and_of_every_class(trained):
    report = json.loads((trained.path / "evaluation.json").read_text())
    seldom = {"distances", "surest", "unlisted"}
    assert set(report) - {"surest"} == set(Evaluation.model_fields) - seldom, "no tree, a list of label errors"
    for split in ("val", "test"):
        figures = report[split]
        assert set(figures) == set(Figures.model_fields)
        assert tuple(figures["classes"]) == CLASSES
        for row in figures["classes"].values():
            assert set(row) == set(ClassFigures.model_fields)
        counts = Counter(photo.label for photo in splits_of(trained.run, Split(split)))
        assert {name: row["support"] for name, row in figures["classes"].items()} == counts
        assert figures["n"] == counts.total()


def test_classes_csv_has_the_figures_of_every_class_on_each_split(trained):
    rows, evaluation = table(trained.run.class_figures), trained.evaluation
    assert [(row["split"], row["label"]) for row in rows] == [(s, c) for s in ("val", "test") for c in CLASSES]
    for row in rows:
        one = evaluation.figures_of(Judged(row["split"])).classes[row["label"]]
        assert int(row["photos"]) == one.support
        for name in ("precision", "recall", "f1"):
            found = [float(row[name + end]) for end in ("", "_low", "_high")]
            assert found == pytest.approx([getattr(one, name), *getattr(one, f"{name}_95")], abs=1e-6)


def test_best_keras_is_the_network_of_the_last_row_once_the_rate_has_fallen(trained):
    rows = read_history(trained.run.history)
    assert rows[-1].train_loss < rows[0].train_loss
    best = rows[-1]
    pixels, labels = arrays(trained.path / "export" / "val.npz")
    logits = best_logits(trained.run, pixels)
    assert (logits.argmax(axis=1) == labels).mean() == pytest.approx(best.val_accuracy, abs=1e-5)
    assert trained.evaluation.val.accuracy == pytest.approx(best.val_accuracy, abs=1e-5)
    assert trained.run.args().best_epoch == best.epoch


def test_the_unknown_score_of_the_run_keeps_95_of_100_validation_photos(trained):
    run = trained.run
    pixels, _ = arrays(trained.path / "export" / "val.npz")
    with run.unknown.open("rb") as file:
        head = DistanceHead.read(file)
    network = keras.saving.load_model(run.best, compile=False)
    features = keras.Model(network.inputs, network.get_layer("features").output).predict(pixels, verbose=0)
    kept = (head.score(features) <= run.read_confidence().unknown.limit * (1 + 1e-4)).mean()
    assert kept >= 0.94
    assert kept == pytest.approx(1 - trained.evaluation.unknown.review.val, abs=0.05)


def test_predictions_csv_is_what_the_figures_are_made_of(trained):
    rows = table(trained.run.predictions)
    for split, figures in ((Split.VAL, trained.evaluation.val), (Split.TEST, trained.evaluation.test)):
        found = [row for row in rows if row["split"] == split]
        assert [(row["image"], row["label"]) for row in found] == [
            (str(photo.path.relative_to(trained.run.args().data)), photo.label)
            for photo in splits_of(trained.run, split)
        ]
        assert np.mean([row["label"] == row["predicted"] for row in found]) == pytest.approx(figures.accuracy)
    pixels, _ = arrays(trained.path / "export" / "val.npz")
    run = trained.run
    sure = calibrated(best_logits(run, pixels), run.read_confidence().temperature).max(axis=1)
    assert [float(row["confidence"]) for row in rows if row["split"] == "val"] == pytest.approx(sure, abs=1e-4)


def test_label_issues_are_of_photos_that_were_learned_from_or_held_back(trained):
    assert (trained.path / "label_issues.csv").read_text().startswith("image,split,label,suggested,score,")
    photos = [*splits_of(trained.run, Split.TRAIN), *splits_of(trained.run, Split.VAL)]
    used = {str(photo.path.relative_to(trained.request.data)) for photo in photos}
    assert {row["image"] for row in table(trained.run.label_issues)} <= used


def test_pages_and_pictures_are_what_their_names_say(trained):
    run = trained.run
    assert run.report.read_text().lstrip().lower().startswith("<!doctype html>")
    assert "# cnn" in run.model_card.read_text()
    for path, kind in ((run.train_batch, "JPEG"), (run.path / "confusion_matrix.png", "PNG")):
        with Image.open(path) as image:
            assert image.format == kind


def test_splits_csv_has_every_readable_photo_once_with_duplicates_together(trained, catalogue):
    photos = read_splits(trained.path / "splits.csv")
    with (trained.path / "excluded.csv").open(newline="") as file:
        excluded = [row["image"] for row in csv.DictReader(file)]
    assert sorted([str(photo.path) for photo in photos] + excluded) == sorted(str(p) for p in catalogue.glob("*/*"))
    assert len({photo.group for photo in photos}) == len(photos) - 4
    assert count_leaks(photos).total() == 0
    assert {(p.label, p.split) for p in photos} == {(name, split) for name in CLASSES for split in Split}


def test_validation_pixels_are_those_of_preprocess(trained):
    pixels, labels = arrays(trained.path / "export" / "val.npz")
    photos = splits_of(trained.run, Split.VAL)
    assert [CLASSES[i] for i in labels] == [photo.label for photo in photos]
    assert np.array_equal(
        pixels, np.stack([preprocess(p.path.read_bytes(), trained.request.preprocess) for p in photos])
    )


def test_the_exporter_can_read_what_the_trainer_left(trained):
    read = read_training_run(trained.path)
    assert (read.name, read.classes, read.preprocess) == ("cnn", CLASSES, trained.request.preprocess)
    assert read.measured.accuracy == trained.evaluation.test.accuracy
    assert len(read.originals) == len(list(trained.run.originals.iterdir()))
