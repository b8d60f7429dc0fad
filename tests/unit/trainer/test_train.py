import shutil
import signal
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from models.errors import DataError, InputError
from models.fit import Decode, Fit
from models.preprocess import PreprocessSpec, preprocess
from tests.unit.trainer.run_files import FILES, arrays, figures_of, files_of, splits_of
from trainer.data.dataset import Split
from trainer.learning.training import new_network
from trainer.request import Arch, Balance
from trainer.run import RunState, open_run
from trainer.sample import draw_catalogue
from trainer.splits.assigned import read_splits
from trainer.train import resume, train


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


def test_a_view_is_told_of_the_data_before_the_first_step(trained):
    ((prepared, args),) = trained.diary.prepared_as
    assert prepared.photos == read_splits(trained.path / "splits.csv")
    assert args.state is RunState.TRAINING
    steps = len(splits_of(trained, Split.TRAIN)) // 16
    assert trained.diary.steps == [(i, steps) for i in range(1, steps + 1)] * 3


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


def test_of_two_trainings_of_one_name_the_later_gives_way(binary, diary):
    def another_begins(prepared, args):
        binary.run.mkdir()

    diary.prepared = another_begins
    with pytest.raises(InputError, match=rf"{binary.run} exists; "):
        train(binary, diary)
    assert list(binary.run.iterdir()) == []


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


@pytest.fixture
def folded(binary, make_diary):
    """The two classes with two folds, interrupted in the second of them and resumed."""
    diaries = [make_diary(), make_diary()]
    told = diaries[0].advance

    def press(what, done, total):
        told(what, done, total)
        if what == "Fold 2 of 2" and done == 1:
            signal.raise_signal(signal.SIGINT)

    diaries[0].advance = press
    request = replace(binary, folds=2, epochs=9, tensorboard=True)
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
        ({"arch": Arch.CONVNEXT_TINY, "preprocess": PreprocessSpec(size=63)}, "cannot be exported below 64 px, got 63"),
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


def test_a_training_with_a_time_limit_ends_with_its_schedule_at_the_end(binary, diary):
    result = train(replace(binary, arch=Arch.CNN, epochs=None, time_limit_s=2.0), diary)
    assert result.args.time_limit_s == 2.0
    assert result.args.state is RunState.COMPLETE
    assert diary.epochs[-1].lr == pytest.approx(0, abs=1e-9)


def test_a_network_that_has_learned_before_teaches_all_but_its_norms(pretrained):
    request, result = pretrained
    assert result.args.weights == request.weights
    before = {v.path: np.array(v) for v in new_network(result.args).weights}
    after = {v.path: np.array(v) for v in keras.saving.load_model(result.run.best, compile=False).weights}
    same = {path for path in before if np.array_equal(before[path], after[path])}
    assert same == {path for path in before if "_bn/" in path}
    assert files_of(result.run.path) == FILES


def test_a_short_time_limit_leaves_no_time_for_folds(binary, make_diary, tmp_path):
    told = []
    for limit in (119.0, 120.0):
        diary = make_diary()

        def stop(prepared, args):
            told.append(args.folds)
            raise KeyboardInterrupt

        diary.prepared = stop
        request = replace(binary, run=tmp_path / f"{limit:.0f}", folds=None, epochs=30, time_limit_s=limit)
        with pytest.raises(KeyboardInterrupt):
            train(request, diary)
    assert told == [0, 2]


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
