import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

from models.errors import DataError, InputError
from models.fit import Fit
from models.preprocess import PreprocessSpec
from tests.unit.trainer.run_files import FILES, Diary, Killed, figures_of, files_of, kill, press_ctrl_c, splits_of
from trainer.data.dataset import Split
from trainer.learning.training import new_network
from trainer.networks.build import build_network
from trainer.networks.choice import NamedWeights
from trainer.request import Arch, Balance
from trainer.run import Run, RunState
from trainer.sample.catalogue import draw_catalogue
from trainer.splits.assigned import read_splits
from trainer.train import train


def test_a_second_training_with_a_fifth_more_photos_keeps_every_old_one_in_its_split(trained, catalogue, tmp_path):
    data, more = shutil.copytree(catalogue, tmp_path / "photos"), tmp_path / "more"
    draw_catalogue(more, 48, seed=11)
    for photo in more.glob("*/*"):
        shutil.copyfile(photo, data / photo.parent.name / f"new-{photo.name}")
    tested = next(photo for photo in splits_of(trained.run, Split.TEST) if photo.path.suffix == ".jpg")
    with Image.open(tested.path) as image:
        ImageOps.exif_transpose(image).save(data / tested.label / "again.jpg", quality=70)
    run = Run(tmp_path / "second")
    with pytest.raises(Killed):
        train(replace(trained.request, data=data, run=run.path, splits=trained.run.splits), Diary(on_step=kill))
    second, old = read_splits(run.splits), read_splits(trained.run.splits)
    kept = {photo.sha256: photo.split for photo in second}
    assert {photo.sha256: kept[photo.sha256] for photo in old} == {photo.sha256: photo.split for photo in old}
    assert next(photo.split for photo in second if photo.path.name == "again.jpg") is Split.TEST
    assert len(second) >= len(old) + 48
    assert run.args().splits == str(trained.run.splits)


def test_a_run_that_exists_is_refused_and_left_alone(trained, diary):
    before = {path: path.stat().st_mtime_ns for path in trained.path.rglob("*")}
    with pytest.raises(InputError, match=rf"{trained.path} is a complete run; pass another --name$"):
        train(trained.request, diary)
    assert {path: path.stat().st_mtime_ns for path in trained.path.rglob("*")} == before
    assert diary.advanced == []


def test_of_two_trainings_of_one_name_the_later_gives_way(binary):
    with pytest.raises(InputError, match=rf"{binary.run} exists; "):
        train(binary, Diary(on_prepared=lambda *_: binary.run.mkdir()))
    assert list(binary.run.iterdir()) == []


def test_photos_that_cannot_be_learned_from_leave_no_run(trained, diary, tmp_path):
    (tmp_path / "photos" / "hat").mkdir(parents=True)
    with pytest.raises(DataError):
        train(replace(trained.request, run=tmp_path / "run", data=tmp_path / "photos"), diary)
    assert not (tmp_path / "run").exists()


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


@pytest.mark.parametrize(
    ("shapes", "auto_fit", "fit"),
    [
        ([(30, 40)] * 18 + [(40, 30)] * 2, True, Fit.STRETCH),
        ([(30, 40)] * 17 + [(40, 30)] * 3, True, Fit.PAD),
        ([(38, 40)] * 20, True, Fit.PAD),
        ([(30, 40)] * 20, False, Fit.PAD),
    ],
    ids=["nearly all portraits", "too many landscapes", "nearly squares", "pad was asked for"],
)
def test_photos_of_one_shape_are_stretched_unless_somebody_says_pad(binary, tmp_path, shapes, auto_fit, fit):
    """Five banners without a product make no difference."""
    for seed, shape in enumerate([*shapes, *[(90, 20)] * 5]):
        label = ("hat", "vase")[seed % 2] if seed < len(shapes) else "_none"
        path = tmp_path / "photos" / label / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(coarse).resize(shape, Image.Resampling.NEAREST).save(path)
    with pytest.raises(Killed):
        train(replace(binary, data=tmp_path / "photos", auto_fit=auto_fit), Diary(on_step=kill))
    run = Run(binary.run)
    assert run.args().preprocess.fit is fit
    said = [note for note in run.notes() if "--fit pad" in note]
    assert len(said) == (fit is Fit.STRETCH)
    assert not said or ("90% have about the same shape" in said[0] and "25% of the square white" in said[0])


def test_a_cross_validated_training_tells_of_every_photo_but_test_photos(binary, diary):
    result = train(replace(binary, cv=2, epochs=2), diary)
    assert (result.args.cv, result.args.folds) == (True, 2)
    photos = [photo for photo in read_splits(result.run.splits) if photo.present]
    found = result.evaluation.cv
    assert (found.folds, found.n) == (2, sum(photo.split is not Split.TEST for photo in photos))
    assert found.n > result.evaluation.test.n
    words = f"2-fold cross-validation, n = {found.n}"
    assert words in result.run.report.read_text()
    assert words in result.run.model_card.read_text().replace("\n", " ")


def test_each_balance_teaches_something_else(make_training, diary):
    learned = []
    for balance in Balance:
        training = make_training(labels=(0,) * 20 + (1, 2, 2, 2), balance=balance, epochs=1)
        training = replace(training, run=Run(training.run.path / balance))
        training.train(new_network(training.args), None, diary)
        learned.append(tuple(figures_of(training.run)[0]))
    assert len(set(learned)) == len(Balance)


def test_a_training_with_a_time_limit_ends_with_its_schedule_at_the_end(binary, diary):
    result = train(replace(binary, arch=Arch.CNN, epochs=None, time_limit_s=1.0), diary)
    assert result.args.time_limit_s == 1.0
    assert result.args.state is RunState.COMPLETE
    assert diary.epochs[-1].lr == pytest.approx(0, abs=1e-9)


def test_folds_that_a_time_limit_has_no_room_for_are_given_up_and_it_is_said(binary, diary):
    told = []
    diary.on_epoch = lambda _: told.extend(diary.notes[:1])
    result = train(replace(binary, cv=2, epochs=30, time_limit_s=2.0), diary)
    assert result.args.state is RunState.COMPLETE
    assert (result.args.folds, result.args.cv, result.evaluation.cv) == (0, False, None)
    assert not (result.run.path / "folds").exists()
    (note,) = diary.notes
    assert told == [note] * len(diary.epochs), "said while one can still stop it"
    assert note.startswith("2 s are too little time for 2 folds of full trainings (--time-limit 1m would do)")
    assert note.endswith(f"any promise rests on {result.evaluation.val.n} validation photos alone")
    page = result.run.report.read_text()
    assert note in page
    assert f"{len(diary.epochs)} epochs, as the time limit allowed" in page.replace("1 epoch,", "1 epochs,")
    assert result.run.args() == result.args


def test_a_short_time_limit_leaves_no_time_for_folds(binary, tmp_path):
    told = []

    def stop(prepared, args):
        told.append(args.folds)
        press_ctrl_c()

    for limit in (119.0, 120.0):
        request = replace(binary, run=tmp_path / f"{limit:.0f}", folds=None, epochs=30, time_limit_s=limit)
        with pytest.raises(KeyboardInterrupt):
            train(request, Diary(on_prepared=stop))
    assert told == [0, 5]


@pytest.fixture
def pretrained(make_training, tmp_path):
    """A training of a small mobilenet that begins with weights of an earlier run."""
    earlier = tmp_path / "earlier.keras"
    build_network(Arch.MOBILENET, 32, 5, weights=NamedWeights.NONE, alpha=0.25).save(earlier)
    return make_training(size=32, arch=Arch.MOBILENET, alpha=0.25, weights=str(earlier), epochs=2)


def test_a_network_that_has_learned_before_teaches_all_but_its_norms(pretrained, diary):
    network = new_network(pretrained.args)
    before = {v.path: np.array(v) for v in network.weights}
    pretrained.train(network, None, diary)
    after = {v.path: np.array(v) for v in keras.saving.load_model(pretrained.run.best, compile=False).weights}
    same = {path for path in before if np.array_equal(before[path], after[path])}
    assert same == {path for path in before if "_bn/" in path}


@pytest.mark.proof
def test_a_pretrained_training_resumes_to_the_bit(pretrained, diary):
    broken = replace(pretrained, run=Run(pretrained.run.path / "killed"))
    pretrained.train(new_network(pretrained.args), None, diary)
    with pytest.raises(Killed):
        broken.train(new_network(broken.args), None, Diary(on_epoch=kill))
    broken.train(new_network(broken.args, begun=True), None, diary)
    assert figures_of(broken.run) == figures_of(pretrained.run)
    assert broken.run.last.is_file()
