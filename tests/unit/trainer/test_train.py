import csv
import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from exporter.parity import class_probabilities
from exporter.training_run import read_training_run
from models.errors import DataError, InputError
from models.preprocess import preprocess
from trainer.arch import Arch
from trainer.architectures import build_network
from trainer.dataset import Split
from trainer.evaluate import score
from trainer.fit import read_history
from trainer.run import Run, RunState, open_run
from trainer.sample import draw_catalogue
from trainer.splits.assigned import read_splits
from trainer.splits.leaks import count_leaks
from trainer.train import resume, train

CLASSES = ("clock", "cushion", "dress", "hat", "lamp", "t-shirt", "trousers", "vase")


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory, catalogue):
    """The hats and vases of the catalogue, to be taken away by a test if need be."""
    folder = tmp_path_factory.mktemp("two") / "photos"
    for name in ("hat", "vase"):
        shutil.copytree(catalogue / name, folder / name)
    return folder


@pytest.fixture
def binary(trained, two_classes, tmp_path):
    """A request for three epochs of the classic recipe on two classes."""
    return replace(
        trained.request, data=two_classes, run=tmp_path / "binary", arch=Arch.SIMPLE, cache=tmp_path / "cache"
    )


@pytest.fixture
def run_copy(trained, tmp_path):
    """A copy of the trained run, to be changed."""
    return Run(shutil.copytree(trained.path, tmp_path / "copy"))


def splits_of(trained, split):
    return [photo for photo in read_splits(trained.result.run.splits) if photo.split is split]


def arrays(path):
    with np.load(path, allow_pickle=False) as found:
        return found["pixels"], found["labels"]


def test_a_run_is_these_files_and_no_others(trained):
    files = {path.relative_to(trained.path).as_posix() for path in trained.path.rglob("*") if path.is_file()}
    originals = {name for name in files if name.startswith("export/originals/")}
    assert originals
    assert files - originals == {
        "args.json",
        "confusion_matrix.png",
        "evaluation.json",
        "excluded.csv",
        "export/train_sample.npz",
        "export/val.npz",
        "results.csv",
        "results.png",
        "splits.csv",
        "weights/best.keras",
        "weights/last.keras",
    }


def test_args_json_says_what_was_learned_and_how_far_it_came(trained):
    args = open_run(trained.path).args()
    assert (args.name, args.data, args.arch) == ("small", str(trained.request.data), "cnn")
    assert (args.preprocess, args.classes) == (trained.request.preprocess, CLASSES)
    assert (args.epochs, args.batch, args.patience, args.seed) == (3, 16, 3, 1)
    assert (args.state, args.epochs_done) == (RunState.COMPLETE, 3)
    assert set(args.made_with) == {"hangtag", "tensorflow", "keras", "numpy", "pillow"}
    assert args == trained.result.args


def test_results_csv_has_a_row_for_each_epoch_that_was_told(trained):
    lines = (trained.path / "results.csv").read_text().splitlines()
    assert lines[0] == "epoch,train/loss,train/accuracy,val/loss,val/accuracy,lr"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    assert [row.epoch for row in trained.diary.epochs] == [1, 2, 3]


def test_the_network_learns(trained):
    losses = [row.train_loss for row in trained.diary.epochs]
    assert losses == sorted(losses, reverse=True)


def test_evaluation_json_has_figures_of_both_splits_and_of_every_class(trained):
    report = json.loads((trained.path / "evaluation.json").read_text())
    assert list(report) == ["val", "test"]
    for split, figures in report.items():
        assert list(figures) == ["n", "accuracy", "precision", "recall", "f1", "classes"]
        assert tuple(figures["classes"]) == CLASSES
        for row in figures["classes"].values():
            assert list(row) == ["precision", "recall", "f1", "support"]
        counts = Counter(photo.label for photo in splits_of(trained, Split(split)))
        assert {name: row["support"] for name, row in figures["classes"].items()} == counts
        assert figures["n"] == counts.total()
    assert report["val"] == trained.result.val.model_dump()
    assert report["test"] == trained.result.test.model_dump()


def test_best_keras_is_the_network_of_the_best_row(trained):
    rows = read_history(trained.result.run.history)
    best = max(rows, key=lambda row: (row.val_accuracy, -row.val_loss))
    pixels, labels = arrays(trained.path / "export" / "val.npz")
    output = class_probabilities(
        keras.saving.load_model(trained.result.run.best, compile=False).predict(pixels, verbose=0)
    )
    assert (output.argmax(axis=1) == labels).mean() == pytest.approx(best.val_accuracy, abs=1e-5)
    assert trained.result.val.accuracy == pytest.approx(best.val_accuracy, abs=1e-5)
    assert trained.result.args.best_epoch == best.epoch


def test_last_keras_can_go_on_learning(trained):
    network = keras.saving.load_model(trained.result.run.last)
    steps = len(splits_of(trained, Split.TRAIN)) // 16
    assert int(network.optimizer.iterations.numpy()) == 3 * steps


def test_splits_csv_has_every_readable_photo_once_with_duplicates_together(trained, catalogue):
    photos = read_splits(trained.path / "splits.csv")
    with (trained.path / "excluded.csv").open(newline="") as file:
        excluded = [row["image"] for row in csv.DictReader(file)]
    assert sorted([str(photo.path) for photo in photos] + excluded) == sorted(str(p) for p in catalogue.glob("*/*"))
    assert len({photo.group for photo in photos}) == len(photos) - 4
    assert count_leaks(photos).total() == 0
    assert {(p.label, p.split) for p in photos} == {(name, split) for name in CLASSES for split in Split}


def test_a_second_training_with_a_fifth_more_photos_keeps_every_old_one_in_its_split(
    trained, catalogue, tmp_path, diary
):
    data, more = shutil.copytree(catalogue, tmp_path / "photos"), tmp_path / "more"
    draw_catalogue(more, 48, seed=11)
    for photo in more.glob("*/*"):
        shutil.copyfile(photo, data / photo.parent.name / f"new-{photo.name}")
    tested = next(photo for photo in splits_of(trained, Split.TEST) if photo.path.suffix == ".jpg")
    with Image.open(tested.path) as image:
        image.save(data / tested.label / "again.jpg", quality=70)
    request = replace(trained.request, data=data, run=tmp_path / "second", epochs=1, splits=trained.result.run.splits)
    second = read_splits(train(request, diary).run.splits)
    kept = {photo.sha256: photo.split for photo in second}
    old = read_splits(trained.result.run.splits)
    assert {photo.sha256: kept[photo.sha256] for photo in old} == {photo.sha256: photo.split for photo in old}
    assert next(photo.split for photo in second if photo.path.name == "again.jpg") is Split.TEST
    assert len(second) >= len(old) + 48
    assert open_run(request.run).args().splits == str(trained.result.run.splits)


def test_splits_csv_has_the_hash_of_each_file(trained):
    for photo in splits_of(trained, Split.TEST):
        assert photo.sha256 == hashlib.sha256(photo.path.read_bytes()).hexdigest()
        assert photo.label == photo.path.parent.name


def test_excluded_csv_names_the_truncated_photo_and_the_web_page(trained):
    with (trained.path / "excluded.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["reason"] for row in rows) == ["truncated", "unsupported"]
    assert {row["image"].rsplit("/", 1)[1] for row in rows} == {"0244.jpg", "0245.jpg"}
    messages = {row["image"].rsplit("/", 1)[1]: row["message"] for row in rows}
    assert "ends too early" in messages["0244.jpg"]
    assert "a web page" in messages["0245.jpg"]


def test_validation_pixels_are_those_of_preprocess(trained):
    pixels, labels = arrays(trained.path / "export" / "val.npz")
    photos = splits_of(trained, Split.VAL)
    assert [CLASSES[i] for i in labels] == [photo.label for photo in photos]
    assert np.array_equal(
        pixels, np.stack([preprocess(p.path.read_bytes(), trained.request.preprocess) for p in photos])
    )


def test_the_training_sample_is_of_training_photos_with_their_labels(trained):
    pixels, labels = arrays(trained.path / "export" / "train_sample.npz")
    photos = splits_of(trained, Split.TRAIN)
    assert len(pixels) == len(labels) == len(photos)
    known = {
        (preprocess(p.path.read_bytes(), trained.request.preprocess).tobytes(), CLASSES.index(p.label)) for p in photos
    }
    assert {(photo.tobytes(), int(label)) for photo, label in zip(pixels, labels, strict=True)} == known


def test_originals_are_validation_photos_byte_for_byte(trained):
    kept = {path.read_bytes() for path in trained.result.run.originals.iterdir()}
    assert kept == {photo.path.read_bytes() for photo in splits_of(trained, Split.VAL)}


def test_the_exporter_can_read_what_the_trainer_left(trained):
    read = read_training_run(trained.path)
    assert (read.name, read.classes, read.preprocess) == ("small", CLASSES, trained.request.preprocess)
    assert read.test_accuracy == trained.result.test.accuracy
    assert len(read.originals) == len(list(trained.result.run.originals.iterdir()))


def test_a_view_is_told_of_the_data_before_the_first_step(trained):
    ((prepared, args),) = trained.diary.prepared_as
    assert prepared.photos == read_splits(trained.path / "splits.csv")
    assert args.state is RunState.TRAINING
    steps = len(splits_of(trained, Split.TRAIN)) // 16
    assert trained.diary.steps == [(i, steps) for i in range(1, steps + 1)] * 3


def test_the_same_request_gives_the_same_run(trained, diary, tmp_path):
    train(replace(trained.request, run=tmp_path / "again", epochs=1), diary)
    assert (tmp_path / "again" / "splits.csv").read_bytes() == (trained.path / "splits.csv").read_bytes()
    assert diary.epochs[0].train_loss == pytest.approx(trained.diary.epochs[0].train_loss, rel=0.1)


def test_a_run_that_exists_is_refused_and_left_alone(trained, diary):
    before = {path: path.stat().st_mtime_ns for path in trained.path.rglob("*")}
    with pytest.raises(InputError, match=rf"{trained.path} exists; .* hangtag train --resume {trained.path}"):
        train(trained.request, diary)
    assert {path: path.stat().st_mtime_ns for path in trained.path.rglob("*")} == before
    assert diary.prepared_as == []


def test_photos_that_cannot_be_learned_from_leave_no_run(trained, diary, tmp_path):
    (tmp_path / "photos" / "hat").mkdir(parents=True)
    with pytest.raises(DataError):
        train(replace(trained.request, run=tmp_path / "run", data=tmp_path / "photos"), diary)
    assert not (tmp_path / "run").exists()


def test_two_classes_are_learned_with_one_sigmoid(binary, diary):
    result = train(binary, diary)
    network = keras.saving.load_model(result.run.best, compile=False)
    assert network.output_shape == (None, 1)
    assert result.args.classes == ("hat", "vase")
    assert tuple(result.test.classes) == ("hat", "vase")
    assert result.val.accuracy == pytest.approx(max(row.val_accuracy for row in diary.epochs))


def test_a_resumed_training_ends_as_one_that_was_never_stopped(binary, diary, killed, tmp_path):
    diary.kill_after = 1
    with pytest.raises(killed):
        train(binary, diary)
    assert open_run(binary.run).args().state is RunState.TRAINING
    diary.kill_after = None
    build_network(Arch.SIMPLE, 32, 2).save(binary.run / "weights" / "best.keras")  # it goes on from last.keras
    resumed = resume(open_run(binary.run), binary.cache, diary)
    unbroken = replace(binary, run=tmp_path / "unbroken")
    train(unbroken, diary)
    assert [row.epoch for row in diary.epochs] == [1, 2, 3, 1, 2, 3]
    for one, other in zip(
        read_history(binary.run / "results.csv"), read_history(unbroken.run / "results.csv"), strict=True
    ):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-3)
        assert one.val_loss == pytest.approx(other.val_loss, rel=1e-3)
    assert (resumed.args.state, resumed.args.epochs_done) == (RunState.COMPLETE, 3)


def test_a_training_that_was_killed_before_its_first_epoch_begins_again(run_copy, trained, diary):
    for path in (run_copy.best, run_copy.last, run_copy.history):
        path.unlink()
    resume(run_copy, trained.request.cache, diary)
    assert [row.epoch for row in diary.epochs] == [1, 2, 3]
    assert diary.epochs[0].train_loss == pytest.approx(trained.diary.epochs[0].train_loss, rel=0.1)


def test_resuming_a_complete_run_only_evaluates_it_again(run_copy, trained, diary):
    run_copy.evaluation.unlink()
    result = resume(run_copy, trained.request.cache, diary)
    assert diary.steps == []
    assert (result.val, result.test) == (trained.result.val, trained.result.test)
    assert run_copy.evaluation.read_text() == (trained.path / "evaluation.json").read_text()
    assert run_copy.args() == trained.result.args


def test_what_is_evaluated_is_best_keras_and_not_the_last_epoch(run_copy, trained, diary):
    other = build_network(Arch.CNN, 32, len(CLASSES))
    other.save(run_copy.best)
    pixels, labels = arrays(trained.path / "export" / "val.npz")
    result = resume(run_copy, trained.request.cache, diary)
    expected = score(class_probabilities(other.predict(pixels, verbose=0)), labels, CLASSES)
    assert result.val == expected != trained.result.val


def test_a_torn_results_csv_is_refused_in_words(run_copy, trained, diary):
    text = run_copy.history.read_text()
    run_copy.history.write_text(text[: text.rindex(",") - 3])
    with pytest.raises(InputError, match=r"results\.csv"):
        resume(run_copy, trained.request.cache, diary)


def test_a_resume_needs_no_photos_while_their_pixels_are_cached(binary, two_classes, diary, killed, tmp_path):
    photos = shutil.copytree(two_classes, tmp_path / "photos")
    request = replace(binary, data=photos, epochs=2)
    diary.kill_after = 1
    with pytest.raises(killed):
        train(request, diary)
    shutil.rmtree(photos)
    diary.kill_after = None
    assert resume(open_run(request.run), request.cache, diary).args.state is RunState.COMPLETE


def test_a_resume_without_photos_and_without_cache_is_refused(run_copy, tmp_path, diary):
    table = run_copy.splits.read_text()
    (photo, *_) = read_splits(run_copy.splits)
    run_copy.splits.write_text(table.replace(str(photo.path), str(tmp_path / "gone.jpg")))
    with pytest.raises(DataError, match=r"gone\.jpg"):
        resume(run_copy, tmp_path / "empty", diary)


def test_a_resume_with_another_photo_in_a_photos_place_is_refused(run_copy, tmp_path, diary):
    table = run_copy.splits.read_text()
    (photo, other, *_) = read_splits(run_copy.splits)
    changed = tmp_path / "changed.jpg"
    shutil.copyfile(other.path, changed)
    run_copy.splits.write_text(table.replace(str(photo.path), str(changed)))
    with pytest.raises(DataError, match=r"changed\.jpg"):
        resume(run_copy, tmp_path / "empty", diary)


def test_a_resume_with_a_lost_cache_decodes_again(run_copy, trained, tmp_path, diary):
    result = resume(run_copy, tmp_path / "empty", diary)
    assert result.test == trained.result.test
    assert diary.advanced[-1][1] == diary.advanced[-1][2] == len({p.sha256 for p in read_splits(run_copy.splits)})
