import shutil

import keras
import numpy as np
import pytest

from models.errors import DataError, InputError
from models.fit import Decode, Fit
from models.preprocess import preprocess
from tests.unit.trainer.run_files import (
    CLASSES,
    FILES,
    Diary,
    Killed,
    arrays,
    at,
    best_logits,
    figures_of,
    files_of,
    kill,
    press_ctrl_c,
    same_weights,
    splits_of,
)
from trainer.data.dataset import Split
from trainer.networks.build import build_network
from trainer.request import Arch, NamedWeights
from trainer.run import Run, RunState
from trainer.splits.assigned import read_splits
from trainer.train import resume, train


@pytest.mark.rest
def test_a_killed_and_resumed_training_ends_like_an_unstopped_one(trained, tmp_path, session_cache):
    """To the bit, for cnn with its defaults: augmentation, dropout, batch norm, averages, schedule."""
    run, seen = Run(tmp_path / "killed"), []
    diary = Diary(on_prepared=lambda *prepared: seen.append(prepared), on_epoch=at(2, kill))
    with pytest.raises(Killed):
        train(trained.request.model_copy(update={"name": "cnn"}), run.path, session_cache, diary)
    ((prepared, args),) = seen
    assert prepared.photos == read_splits(trained.run.splits)
    assert args.state is run.args().state is RunState.TRAINING
    steps = len(splits_of(trained.run, Split.TRAIN)) // 16
    assert diary.steps == [(i, steps) for i in range(1, steps + 1)] * 2
    diary.on_epoch = lambda epoch: None
    resumed = resume(run, session_cache, diary)
    assert [row.epoch for row in diary.epochs] == list(range(1, 11))
    assert figures_of(run) == figures_of(trained.run)
    for name in ("weights/best.keras", "weights/last.keras"):
        assert same_weights(run.path / name, trained.path / name)
    exact = ("splits.csv", "evaluation.json", "classes.csv", "confidence.json", "predictions.csv", "label_issues.csv")
    for name in exact:
        assert (run.path / name).read_bytes() == (trained.path / name).read_bytes(), name
    assert (resumed.args.state, resumed.args.epochs_done) == (RunState.COMPLETE, 10)
    assert files_of(run.path) == FILES


@pytest.mark.rest
def test_a_training_stopped_several_times_leaves_its_results_and_continues(
    binary, two_classes, tmp_path, session_cache
):
    """Stopped in the first epoch, after the second and in a fold; the photos are deleted after the first stop."""
    photos, run = shutil.copytree(two_classes, tmp_path / "photos"), Run(tmp_path / "run")
    changes = {"data": photos, "fit": Fit.STRETCH, "decode": Decode.FULL, "folds": 2, "epochs": 4}
    stop = Diary(on_step=at(1, press_ctrl_c))
    result = train(binary.model_copy(update=changes), run.path, session_cache, stop)
    assert (result.interrupted, result.evaluation, result.args.best_epoch) == (True, None, None)
    shutil.rmtree(photos)

    result = resume(run, session_cache, Diary(on_epoch=at(2, press_ctrl_c)))
    assert run.args() == result.args
    assert (result.args.state, result.args.epochs_done) == (RunState.INTERRUPTED, 2)
    assert files_of(run.path) >= FILES
    assert run.read_confidence().out_of_fold == 0

    second_fold = "Cross-validation, network 2 of 2"
    stop = Diary(on_advance=at(second_fold, press_ctrl_c))
    result = resume(run, session_cache, stop)
    assert result.interrupted
    assert result.evaluation is not None
    assert stop.notes, "that Ctrl-C was pressed is said in a fold, too"

    diary = Diary()
    result = resume(run, session_cache, diary)
    assert result.args.state is RunState.COMPLETE
    assert diary.epochs == []
    assert second_fold in diary.advanced_with
    assert "Cross-validation, network 1 of 2" not in diary.advanced_with
    learned, confidence = len(splits_of(run, Split.TRAIN)), run.read_confidence()
    assert confidence.out_of_fold == learned
    assert confidence.rows == learned + len(splits_of(run, Split.VAL))
    extra = {f"folds/{n}/{name}" for n in (1, 2) for name in ("answers.npz", "results.csv")}
    assert files_of(run.path) - FILES == extra

    assert keras.saving.load_model(run.best, compile=False).output_shape == (None, 1)
    assert tuple(result.evaluation.test.classes) == result.args.classes == ("hat", "vase")
    assert {len(target.thresholds) for target in confidence.targets} == {2}
    held = [(two_classes / photo.label / photo.path.name).read_bytes() for photo in splits_of(run, Split.VAL)]
    pixels, _ = arrays(run.path / "export" / "val.npz")
    assert np.array_equal(pixels, np.stack([preprocess(data, result.args.preprocess) for data in held]))


@pytest.fixture
def run_copy(trained, tmp_path):
    return Run(shutil.copytree(trained.path, tmp_path / "copy"))


@pytest.mark.rest
def test_resuming_a_complete_run_only_evaluates_it_again(run_copy, trained, tmp_path, diary):
    build_network(Arch.CNN, 32, len(CLASSES), weights=NamedWeights.NONE, alpha=None).save(run_copy.best)
    pixels, labels = arrays(trained.path / "export" / "val.npz")
    result = resume(run_copy, tmp_path / "empty", diary)
    assert diary.steps == []
    assert result.evaluation.val.accuracy == pytest.approx(
        (best_logits(run_copy, pixels).argmax(axis=1) == labels).mean()
    )
    assert result.evaluation.val != trained.evaluation.val
    decoded = [(done, total) for what, done, total in diary.advanced if what == "Decoding"]
    assert decoded[-1] == (len({p.sha256 for p in read_splits(run_copy.splits)}),) * 2


@pytest.mark.parametrize("name", ["gone.jpg", "changed.jpg"])
def test_a_resume_without_a_photo_and_without_cache_is_refused(run_copy, tmp_path, diary, name):
    photo, other, *_ = read_splits(run_copy.splits)
    run_copy.splits.write_text(run_copy.splits.read_text().replace(str(photo.path), str(tmp_path / name)))
    shutil.copyfile(other.path, tmp_path / "changed.jpg")
    with pytest.raises(DataError, match=name):
        resume(run_copy, tmp_path / "empty", diary)


def test_a_run_that_is_being_trained_is_refused_and_left_alone(run_copy, session_cache, diary):
    with run_copy.alone(), pytest.raises(InputError, match=f"{run_copy.path}"):
        resume(run_copy, session_cache, diary)
    assert files_of(run_copy.path) == FILES
    with run_copy.alone():
        pass
