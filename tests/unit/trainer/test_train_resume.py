import shutil
import signal
from dataclasses import replace

import keras
import numpy as np
import pytest

from models.errors import DataError, InputError
from tests.unit.trainer.run_files import CLASSES, FILES, arrays, best_logits, figures_of, files_of
from trainer.networks.build import build_network
from trainer.networks.choice import NamedWeights
from trainer.request import Arch
from trainer.run import Run, RunState, open_run
from trainer.splits.assigned import read_splits
from trainer.train import resume, train


@pytest.fixture
def run_copy(trained, tmp_path):
    """A copy of the trained run, to be changed."""
    return Run(shutil.copytree(trained.path, tmp_path / "copy"))


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


@pytest.mark.proof
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


def test_a_run_that_is_being_trained_is_refused_and_left_alone(run_copy, trained, diary):
    with run_copy.alone(), pytest.raises(InputError, match=r"is being trained by another process; wait for it"):
        resume(run_copy, trained.request.cache, diary)
    assert files_of(run_copy.path) == FILES
    resume(run_copy, trained.request.cache, diary)
