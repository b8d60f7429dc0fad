import csv
import hashlib
import json
import shutil
import signal
from collections import Counter
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from exporter.confidence.calibrate import calibrated, class_logits
from exporter.confidence.unknown import DistanceHead
from exporter.training_run import read_training_run
from models.errors import DataError, InputError
from models.fit import Decode, Fit
from models.preprocess import PreprocessSpec, preprocess
from trainer.arch import Arch
from trainer.data.dataset import Split
from trainer.judging.evaluate import Evaluation
from trainer.judging.figures import ClassFigures, Figures
from trainer.learning.balance import Balance
from trainer.learning.history import read_history
from trainer.learning.lesson import new_network
from trainer.networks.build import build_network
from trainer.networks.weights import NamedWeights
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


def files_of(folder):
    """All of them, but for the copies of validation photos."""
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in files if not name.startswith("export/originals/")}


FILES = {
    "README.md",
    "args.json",
    "confidence.json",
    "confusion_matrix.png",
    "evaluation.json",
    "excluded.csv",
    "export/train_sample.npz",
    "export/unknown.npz",
    "export/val.npz",
    "label_issues.csv",
    "notes.txt",
    "predictions.csv",
    "report.html",
    "results.csv",
    "results.png",
    "splits.csv",
    "train_batch.jpg",
    "weights/best.keras",
    "weights/last.keras",
    "weights/state.npz",
}


def test_a_run_is_these_files_and_no_others(trained):
    assert files_of(trained.path) == FILES
    assert list(trained.result.run.originals.iterdir())


def test_args_json_says_what_was_learned_and_how_far_it_came(trained):
    args = open_run(trained.path).args()
    assert (args.name, args.data, args.arch) == ("small", str(trained.request.data), "cnn")
    assert (args.preprocess, args.classes) == (trained.request.preprocess, CLASSES)
    assert (args.epochs, args.batch, args.patience, args.seed) == (3, 16, 3, 1)
    assert (args.weights, args.alpha, args.time_limit_s, args.folds, args.tensorboard) == ("none", None, None, 0, False)
    assert (args.state, args.epochs_done) == (RunState.COMPLETE, 3)
    assert set(args.made_with) == {"hangtag", "tensorflow", "keras", "numpy", "pillow"}
    assert args == trained.result.args


def test_results_csv_has_a_row_for_each_epoch_that_was_told(trained):
    lines = (trained.path / "results.csv").read_text().splitlines()
    assert lines[0] == "epoch,train/loss,train/accuracy,val/loss,val/accuracy,lr,size,seconds,waiting,images_per_s"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    assert [row.epoch for row in trained.diary.epochs] == [1, 2, 3]


def test_the_network_learns(trained):
    losses = [row.train_loss for row in trained.diary.epochs]
    assert losses == sorted(losses, reverse=True)


def test_evaluation_json_has_figures_of_both_splits_and_of_every_class(trained):
    report = json.loads((trained.path / "evaluation.json").read_text())
    assert set(report) == set(Evaluation.model_fields)
    for split in ("val", "test"):
        figures = report[split]
        assert set(figures) == set(Figures.model_fields)
        assert tuple(figures["classes"]) == CLASSES
        for row in figures["classes"].values():
            assert set(row) == set(ClassFigures.model_fields)
        counts = Counter(photo.label for photo in splits_of(trained, Split(split)))
        assert {name: row["support"] for name, row in figures["classes"].items()} == counts
        assert figures["n"] == counts.total()
    assert report == trained.result.evaluation.model_dump(mode="json")


def best_logits(run, pixels):
    """Class logits of the best network."""
    network = keras.saving.load_model(run.best, compile=False)
    logits = keras.Model(network.inputs, network.get_layer("logits").output)
    return class_logits(logits.predict(pixels, verbose=0))


def test_best_keras_is_the_network_of_the_best_row(trained):
    rows = read_history(trained.result.run.history)
    best = max(rows, key=lambda row: (row.val_accuracy, -row.val_loss))
    pixels, labels = arrays(trained.path / "export" / "val.npz")
    logits = best_logits(trained.result.run, pixels)
    assert (logits.argmax(axis=1) == labels).mean() == pytest.approx(best.val_accuracy, abs=1e-5)
    assert trained.result.evaluation.val.accuracy == pytest.approx(best.val_accuracy, abs=1e-5)
    assert trained.result.args.best_epoch == best.epoch


def test_confidence_json_is_what_the_evaluation_was_made_with(trained):
    confidence = trained.result.run.read_confidence()
    validated = len(splits_of(trained, Split.VAL))
    assert (confidence.rows, confidence.out_of_fold) == (validated, 0)
    assert confidence.temperature == trained.result.evaluation.temperature
    assert confidence.targets == trained.result.evaluation.thresholds
    assert {len(target.thresholds) for target in confidence.targets} == {len(CLASSES)}


def test_the_unknown_score_of_the_run_keeps_95_of_100_validation_photos(trained):
    run = trained.result.run
    pixels, _ = arrays(trained.path / "export" / "val.npz")
    with run.unknown.open("rb") as file:
        head = DistanceHead.read(file)
    network = keras.saving.load_model(run.best, compile=False)
    features = keras.Model(network.inputs, network.get_layer("features").output).predict(pixels, verbose=0)
    kept = (head.score(features) <= run.read_confidence().unknown.limit * (1 + 1e-4)).mean()
    assert kept >= 0.94
    assert kept == pytest.approx(1 - trained.result.evaluation.unknown.review.val, abs=0.05)


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_predictions_csv_is_what_the_figures_are_made_of(trained):
    rows = table(trained.result.run.predictions)
    for split, figures in ((Split.VAL, trained.result.evaluation.val), (Split.TEST, trained.result.evaluation.test)):
        found = [row for row in rows if row["split"] == split]
        assert [(row["image"], row["label"]) for row in found] == [
            (str(photo.path), photo.label) for photo in splits_of(trained, split)
        ]
        assert np.mean([row["label"] == row["predicted"] for row in found]) == pytest.approx(figures.accuracy)
    pixels, _ = arrays(trained.path / "export" / "val.npz")
    run = trained.result.run
    sure = calibrated(best_logits(run, pixels), run.read_confidence().temperature).max(axis=1)
    assert [float(row["confidence"]) for row in rows if row["split"] == "val"] == pytest.approx(sure, abs=1e-4)


def test_what_is_labelled_by_itself_is_what_the_evaluation_counts(trained):
    rows, run = table(trained.result.run.predictions), trained.result.run
    ruling = run.read_confidence().precision
    if ruling is None:
        assert all(float(row["confidence"]) >= 0.5 for row in rows if row["status"] == "labeled")
    else:
        expected = trained.result.evaluation.coverage_at_precision[f"{ruling:.2f}"]
        for split in ("val", "test"):
            counted = sum(row["status"] == "labeled" for row in rows if row["split"] == split)
            assert counted == getattr(expected, split).automatic


def test_label_issues_are_of_photos_that_were_learned_from_or_held_back(trained):
    assert (trained.path / "label_issues.csv").read_text().startswith("image,split,label,suggested,score,")
    used = {str(photo.path) for split in (Split.TRAIN, Split.VAL) for photo in splits_of(trained, split)}
    for row in table(trained.result.run.label_issues):
        assert row["image"] in used
        assert row["suggested"] != row["label"]


def test_pages_and_pictures_are_what_their_names_say(trained):
    run = trained.result.run
    assert run.report.read_text().lstrip().lower().startswith("<!doctype html>")
    assert "small" in run.model_card.read_text()
    for path, kind in ((run.train_batch, "JPEG"), (run.path / "results.png", "PNG")):
        with Image.open(path) as image:
            assert image.format == kind


def test_what_the_view_was_told_of_the_data_is_in_notes_txt(trained):
    ((prepared, _),) = trained.diary.prepared_as
    assert trained.result.run.notes() == prepared.notes
    assert any(note.startswith("2 files set aside") for note in prepared.notes)


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
    assert read.test_accuracy == trained.result.evaluation.test.accuracy
    assert len(read.originals) == len(list(trained.result.run.originals.iterdir()))


def test_a_view_is_told_of_the_data_before_the_first_step(trained):
    ((prepared, args),) = trained.diary.prepared_as
    assert prepared.photos == read_splits(trained.path / "splits.csv")
    assert args.state is RunState.TRAINING
    steps = len(splits_of(trained, Split.TRAIN)) // 16
    assert trained.diary.steps == [(i, steps) for i in range(1, steps + 1)] * 3


def figures_of(path):
    """The rows of results.csv, but for what depends on the clock."""
    return [row.split(",")[:7] for row in (path / "results.csv").read_text().splitlines()]


def test_the_same_request_gives_the_same_run_to_the_bit(trained, diary, tmp_path):
    again = tmp_path / "again"
    train(replace(trained.request, run=again), diary)
    assert figures_of(again) == figures_of(trained.path)
    exact = ("splits.csv", "evaluation.json", "confidence.json", "predictions.csv", "label_issues.csv")
    for name in (*exact, "train_batch.jpg"):
        assert (again / name).read_bytes() == (trained.path / name).read_bytes(), name


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
    assert tuple(result.evaluation.test.classes) == ("hat", "vase")
    assert result.evaluation.val.accuracy == pytest.approx(max(row.val_accuracy for row in diary.epochs))
    assert files_of(result.run.path) == FILES
    assert {len(target.thresholds) for target in result.run.read_confidence().targets} == {2}


def same_weights(one, other):
    networks = [keras.saving.load_model(path, compile=False).get_weights() for path in (one, other)]
    return all(np.array_equal(a, b) for a, b in zip(*networks, strict=True))


def test_a_training_that_was_killed_and_resumed_ends_as_one_that_was_never_stopped(trained, diary, killed, tmp_path):
    """To the bit, for cnn as it comes: augmentation, dropout, batch norm, averages, schedule."""
    request = replace(trained.request, run=tmp_path / "killed")
    diary.kill_after = 2
    with pytest.raises(killed):
        train(request, diary)
    assert open_run(request.run).args().state is RunState.TRAINING
    diary.kill_after = None
    resumed = resume(open_run(request.run), request.cache, diary)
    assert [row.epoch for row in diary.epochs] == [1, 2, 3]
    assert figures_of(request.run) == figures_of(trained.path)
    for name in ("weights/best.keras", "weights/last.keras"):
        assert same_weights(request.run / name, trained.path / name)
    assert (request.run / "evaluation.json").read_bytes() == (trained.path / "evaluation.json").read_bytes()
    assert (resumed.args.state, resumed.args.epochs_done) == (RunState.COMPLETE, 3)
    assert files_of(request.run) == FILES


def test_a_training_that_was_killed_before_its_first_epoch_begins_again(run_copy, trained, diary):
    for path in (run_copy.best, run_copy.last, run_copy.state, run_copy.history):
        path.unlink()
    resume(run_copy, trained.request.cache, diary)
    assert [row.epoch for row in diary.epochs] == [1, 2, 3]
    assert figures_of(run_copy.path) == figures_of(trained.path)


def test_resuming_a_complete_run_only_evaluates_it_again(run_copy, trained, diary):
    run_copy.evaluation.unlink()
    result = resume(run_copy, trained.request.cache, diary)
    assert diary.steps == []
    assert result.evaluation == trained.result.evaluation
    assert run_copy.evaluation.read_text() == (trained.path / "evaluation.json").read_text()
    assert run_copy.args() == trained.result.args


def test_what_is_evaluated_is_best_keras_and_not_the_last_epoch(run_copy, trained, diary):
    other = build_network(Arch.CNN, 32, len(CLASSES), weights=NamedWeights.NONE, alpha=None)
    other.save(run_copy.best)
    pixels, labels = arrays(trained.path / "export" / "val.npz")
    result = resume(run_copy, trained.request.cache, diary)
    expected = (best_logits(run_copy, pixels).argmax(axis=1) == labels).mean()
    assert result.evaluation.val.accuracy == pytest.approx(expected)
    assert result.evaluation.val != trained.result.evaluation.val


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
    assert result.evaluation == trained.result.evaluation
    decoded = [(done, total) for what, done, total in diary.advanced if what == "Decoding"]
    assert decoded[-1] == (len({p.sha256 for p in read_splits(run_copy.splits)}),) * 2


def press_ctrl_c_at(diary, step):
    """Presses Ctrl-C at a step of the training."""
    told = diary.step

    def press(done, total):
        told(done, total)
        if len(diary.steps) == step:
            signal.raise_signal(signal.SIGINT)

    diary.step = press


def test_an_interrupted_training_leaves_everything_a_complete_one_does(binary, diary):
    press_ctrl_c_at(diary, 4)
    result = train(replace(binary, folds=2), diary)
    assert result.interrupted
    assert (result.args.state, result.args.epochs_done) == (RunState.INTERRUPTED, len(diary.epochs))
    assert open_run(binary.run).args() == result.args
    assert 1 <= len(diary.epochs) < 3
    assert files_of(binary.run) == FILES
    assert result.run.read_confidence().out_of_fold == 0


def test_an_interrupted_training_without_an_epoch_leaves_what_a_resume_needs(binary, diary, make_diary):
    press_ctrl_c_at(diary, 1)
    result = train(binary, diary)
    assert (result.interrupted, result.evaluation, result.args.best_epoch) == (True, None, None)
    resumed = resume(result.run, binary.cache, make_diary())
    assert (resumed.args.state, resumed.args.epochs_done) == (RunState.COMPLETE, 3)
    assert files_of(binary.run) == FILES


@pytest.fixture
def folded(binary, make_diary):
    """The two classes with two folds, interrupted in the second of them and resumed."""
    diaries = [make_diary(), make_diary()]
    told = diaries[0].advance

    def press(what, done, total):
        told(what, done, total)
        if what == "Fold 2 of 2" and done == 2:
            signal.raise_signal(signal.SIGINT)

    diaries[0].advance = press
    request = replace(binary, folds=2, tensorboard=True)
    return [train(request, diaries[0]), resume(open_run(binary.run), binary.cache, diaries[1])], diaries


def test_folds_join_what_thresholds_rest_on_whenever_they_were_trained(folded):
    (stopped, resumed), diaries = folded
    assert stopped.interrupted
    assert stopped.evaluation is not None
    assert resumed.args.state is RunState.COMPLETE
    assert [what for what, *_ in diaries[1].advanced if what.startswith("Fold 1")] == []
    assert diaries[1].epochs == []
    photos = read_splits(resumed.run.splits)
    learned = sum(photo.split is Split.TRAIN for photo in photos)
    confidence = resumed.run.read_confidence()
    assert confidence.out_of_fold == learned
    assert confidence.rows == learned + sum(photo.split is Split.VAL for photo in photos)
    extra = {name for name in files_of(resumed.run.path) - FILES if not name.startswith("tensorboard/events.out.")}
    assert extra == {f"folds/{n}/{name}" for n in (1, 2) for name in ("answers.npz", "results.csv")}
    assert list(resumed.run.tensorboard.glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 0.5}, "cnn has no alpha"),
        ({"weights": "imagenet"}, "cnn has no ImageNet weights"),
        ({"weights": "gone.keras"}, "there is no such file"),
        ({"arch": Arch.MOBILENET, "alpha": 0.3}, "ImageNet weights for alpha 0.25, 0.5"),
        ({"arch": Arch.MOBILENET, "alpha": 5.0, "weights": "none"}, "Expected an alpha from 0.1 to 2"),
        ({"arch": Arch.VGG16, "preprocess": PreprocessSpec(size=16)}, "vgg16 needs 32 px or more"),
    ],
)
def test_a_network_that_does_not_exist_is_refused_before_any_photo_is_looked_at(
    trained, diary, tmp_path, changes, message
):
    request = replace(trained.request, run=tmp_path / "run", data=tmp_path / "no-such-data", **changes)
    with pytest.raises(InputError, match=message):
        train(request, diary)
    assert diary.advanced == []
    assert not (tmp_path / "run").exists()


def test_classes_of_unlike_sizes_are_balanced_by_themselves_and_it_is_said(
    binary, two_classes, catalogue, tmp_path, diary
):
    """One of the classes has a single photo."""
    data = tmp_path / "uneven"
    shutil.copytree(two_classes / "hat", data / "hat")
    for name, count in (("vase", 4), ("cushion", 1)):
        (data / name).mkdir()
        for photo in sorted((catalogue / name).glob("*.png"))[:count]:
            shutil.copy(photo, data / name)
    result = train(replace(binary, data=data, folds=2, epochs=1), diary)
    assert result.args.classes == ("cushion", "hat", "vase")
    assert result.args.balance is Balance.WEIGHTS
    assert any("--balance none turns it off" in note for note in result.run.notes())
    assert files_of(result.run.path) >= FILES


def test_a_wish_for_balance_is_obeyed_and_changes_what_is_learned(binary, two_classes, tmp_path, make_diary):
    data, learned = tmp_path / "data", []
    shutil.copytree(two_classes / "hat", data / "hat")
    (data / "vase").mkdir()
    for photo in sorted((two_classes / "vase").glob("*.png"))[:5]:
        shutil.copy(photo, data / "vase")
    for wish in Balance:
        result = train(replace(binary, data=data, run=tmp_path / wish, epochs=1, balance=wish), make_diary())
        assert result.args.balance is wish
        assert not any("--balance" in note for note in result.run.notes())
        learned.append(tuple(figures_of(result.run.path)[1]))
    assert len(set(learned)) == len(Balance)


def test_fit_and_decode_reach_args_json_and_the_pixels(binary, diary):
    spec = PreprocessSpec(size=32, fit=Fit.STRETCH, decode=Decode.FULL)
    result = train(replace(binary, preprocess=spec, epochs=1), diary)
    assert open_run(binary.run).args().preprocess == spec
    pixels, _ = arrays(binary.run / "export" / "val.npz")
    photos = [photo for photo in read_splits(result.run.splits) if photo.split is Split.VAL]
    assert np.array_equal(pixels, np.stack([preprocess(photo.path.read_bytes(), spec) for photo in photos]))


def test_more_classes_than_photos_in_a_batch_are_learned(trained, diary, tmp_path):
    request = replace(trained.request, run=tmp_path / "run", arch=Arch.SIMPLE, batch=4, epochs=1)
    result = train(request, diary)
    assert len(result.args.classes) > result.args.batch
    assert files_of(result.run.path) == FILES


def test_a_batch_may_be_larger_than_all_photos(binary, diary):
    assert train(replace(binary, batch=4096, epochs=1), diary).args.epochs_done == 1
    assert diary.steps == [(1, 1)]


def test_validation_photos_may_be_fewer_than_folds(binary, diary):
    result = train(replace(binary, folds=10, epochs=1), diary)
    photos = read_splits(result.run.splits)
    assert sum(photo.split is Split.VAL for photo in photos) < 10
    assert result.run.read_confidence().out_of_fold == sum(photo.split is Split.TRAIN for photo in photos)


def test_a_training_with_a_time_limit_ends_with_its_schedule_at_the_end(binary, diary):
    result = train(replace(binary, arch=Arch.CNN, epochs=None, time_limit_s=2.0), diary)
    assert result.args.time_limit_s == 2.0
    assert result.args.state is RunState.COMPLETE
    assert diary.epochs[-1].lr == pytest.approx(0, abs=1e-9)


@pytest.fixture(scope="module")
def pretrained(trained, two_classes, tmp_path_factory, make_diary):
    """A small mobilenet that began with weights of an earlier run, two epochs long; not to be changed."""
    folder = tmp_path_factory.mktemp("pretrained")
    build_network(Arch.MOBILENET, 32, 5, weights=NamedWeights.NONE, alpha=0.25).save(folder / "earlier.keras")
    weights = str(folder / "earlier.keras")
    request = replace(
        trained.request,
        data=two_classes,
        run=folder / "run",
        arch=Arch.MOBILENET,
        alpha=0.25,
        weights=weights,
        epochs=2,
    )
    return request, train(request, make_diary())


def test_a_network_that_has_learned_before_teaches_all_but_its_norms(pretrained):
    request, result = pretrained
    assert result.args.weights == request.weights
    before = {v.path: np.array(v) for v in new_network(result.args).weights}
    after = {v.path: np.array(v) for v in keras.saving.load_model(result.run.best, compile=False).weights}
    same = {path for path in before if np.array_equal(before[path], after[path])}
    assert same == {path for path in before if "_bn/" in path}
    assert files_of(result.run.path) == FILES


def test_a_pretrained_training_resumes_to_the_bit(pretrained, diary, killed, tmp_path):
    unbroken, _ = pretrained
    request = replace(unbroken, run=tmp_path / "killed")
    diary.kill_after = 1
    with pytest.raises(killed):
        train(request, diary)
    diary.kill_after = None
    resume(open_run(request.run), request.cache, diary)
    assert figures_of(request.run) == figures_of(unbroken.run)
    assert same_weights(request.run / "weights" / "last.keras", unbroken.run / "weights" / "last.keras")
