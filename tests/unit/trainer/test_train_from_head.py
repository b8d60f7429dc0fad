"""A training of a pretrained network: first a head on frozen features, then fine-tuning in its own run."""

import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from exporter.training_run import read_training_run
from models.errors import InputError
from models.fit import Fit
from tests.unit.trainer.run_files import (
    FILES,
    Diary,
    Killed,
    arrays,
    at,
    awaken,
    best_logits,
    files_of,
    kill,
    press_ctrl_c,
    same_weights,
    splits_of,
)
from trainer.data.dataset import Split
from trainer.learning.training import new_network, prepare_layers, recipe_of
from trainer.learning.training_step import Learner, save_network
from trainer.networks.architectures import published_body
from trainer.request import Arch, TrainRequest
from trainer.run import EpochFigures, Run, RunState, read_history, write_history
from trainer.train import resume, train

COLOURS = {"blue": (40, 60, 220), "green": (40, 220, 60), "red": (220, 60, 40)}
FOLDS = {f"folds/{n}/answers.npz" for n in range(1, 6)}
OF_A_HEAD = FILES - {"weights/last.keras", "weights/state.npz"}


def body_file(path, pixels):
    keras.utils.set_random_seed(3)
    body = published_body(Arch.MOBILENET, 32, 0.25)
    if pixels is not None:
        awaken(body, pixels)
    body.save_weights(path)
    return path


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Class folders with photos of noise in the classes' colours."""
    folder, rng = tmp_path_factory.mktemp("colours") / "photos", np.random.default_rng(7)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(14):
            noise = np.kron(rng.integers(-40, 36, (8, 8, 3)), np.ones((4, 4, 1)))
            Image.fromarray((colour + noise).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def request_of(colours, tmp_path_factory):
    """A request with pretrained weights whose features separate the colours, or are useless."""
    pixels = np.stack([np.array(Image.open(path)) for path in sorted(colours.rglob("*.png"))])
    folder = tmp_path_factory.mktemp("bodies")
    bodies = {True: body_file(folder / "good.weights.h5", pixels), False: body_file(folder / "poor.weights.h5", None)}

    def make(*, good=True, **changes):
        usual = {"arch": Arch.MOBILENET, "alpha": 0.25, "image_size": 32, "fit": Fit.PAD, "batch": 16, "seed": 1}
        return TrainRequest(data=colours, weights=str(bodies[good]), **usual | changes)

    return make


@pytest.fixture(scope="module")
def head(request_of, tmp_path_factory, session_cache):
    """The result of a training that ends with the head, and its diary; read-only."""
    diary = Diary()
    return train(request_of(epochs=0), tmp_path_factory.mktemp("head") / "run", session_cache, diary), diary


def contents(folder, *without):
    """The bytes of all files, without the fine-tuning."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(("finetuning/", *without))}


def test_without_epochs_a_head_is_fitted_and_judged_by_five_folds_and_its_run_is_whole(head):
    result, diary = head
    run, args = result.run, result.args
    assert files_of(run.path) == OF_A_HEAD | FOLDS
    assert (args.state, args.epochs, args.best_epoch, args.folds) == (RunState.COMPLETE, 0, 0, 5)
    assert run.args() == args
    (row,) = read_history(run.history)
    assert (row.epoch, row.lr) == (0, 0.0)
    pixels, labels = arrays(run.path / "export" / "val.npz")
    assert (best_logits(run, pixels).argmax(axis=1) == labels).mean() == pytest.approx(row.val_accuracy)
    learned = [photo for split in (Split.TRAIN, Split.VAL) for photo in splits_of(run, split)]
    evaluation = result.evaluation
    assert (evaluation.cv.n, evaluation.cv.folds) == (len(learned), 5)
    assert evaluation.cv.accuracy > 0.8
    assert run.read_confidence().rows == len(learned)
    assert len(read_training_run(run.path).folds) == 5
    photos = len(learned) + len(splits_of(run, Split.TEST))
    assert ("Computing features", 0, photos) in diary.advanced
    assert (diary.steps, diary.epochs) == ([], [])


@pytest.mark.rest
def test_a_second_training_reuses_features_and_a_resumed_one_ends_with_the_same_files(
    head, request_of, tmp_path, session_cache
):
    """Killed at its first judgement, with only the splits and the args on disk."""
    result, _ = head
    diary = Diary(on_advance=at("Judging", kill))
    with pytest.raises(Killed):
        train(request_of(epochs=0), tmp_path / "run", session_cache, diary)
    assert "Computing features" not in diary.advanced_with
    run = Run(tmp_path / "run")
    assert run.args().state is RunState.TRAINING
    assert resume(run, session_cache, Diary()).evaluation == result.evaluation
    clock = ("report.html", "README.md", "results.csv", "weights/", "args.json")
    assert contents(run.path, *clock) == contents(result.run.path, *clock)
    assert same_weights(run.best, result.run.best)


@pytest.mark.rest
def test_a_resume_with_other_weights_in_the_file_is_refused(head, request_of, tmp_path, session_cache):
    """Features on disk come from the earlier weights."""
    run, body = Run(shutil.copytree(head[0].run.path, tmp_path / "run")), tmp_path / "body.weights.h5"
    run.write_args(run.args().model_copy(update={"weights": str(body)}))
    before = contents(run.path)
    shutil.copyfile(request_of(good=False).weights, body)
    with pytest.raises(InputError, match=r"body\.weights\.h5\), but the file has changed"):
        resume(run, session_cache, Diary())
    assert contents(run.path) == before


def test_epochs_of_nothing_need_pretrained_features(request_of, tmp_path, session_cache):
    """A run's network is refused before its name is logged, and before photos are decoded."""
    of_run, diary = tmp_path / "best.keras", Diary()
    keras.Model(*[keras.Input((32, 32, 3))] * 2).save(of_run)
    for changes in ({"arch": Arch.CNN, "alpha": None, "weights": None}, {"weights": str(of_run)}):
        request = request_of().model_copy(update={"epochs": 0} | changes)
        with pytest.raises(InputError, match=r"--epochs 0 needs pretrained features, .* or a run's weights \(best"):
            train(request, tmp_path / "run", session_cache, diary)
    assert (diary.notes, diary.advanced) == ([], [])
    assert not (tmp_path / "run").exists()


def test_weights_that_do_not_fit_leave_no_run(request_of, tmp_path, session_cache):
    with pytest.raises(InputError, match="does not fit mobilenet of width"):
        train(request_of(alpha=0.5), tmp_path / "run", session_cache, Diary())
    assert not (tmp_path / "run").exists()


@pytest.mark.rest
def test_a_time_limit_without_room_keeps_the_head_and_says_so(request_of, tmp_path, session_cache):
    diary = Diary(on_goes_on=kill)
    result = train(request_of(time_limit_s=0.5, folds=0), tmp_path / "run", session_cache, diary)
    assert [note for note in diary.notes if "leaves no time to fine-tune" in note] == diary.notes
    assert len(diary.notes) == 1
    assert (result.args.state, result.args.best_epoch) == (RunState.COMPLETE, 0)
    assert files_of(result.run.path) == OF_A_HEAD


@pytest.mark.rest
def test_a_resume_plans_fine_tuning_by_the_time_that_is_left(request_of, tmp_path, session_cache):
    """The training was killed before the plan."""
    request = request_of(time_limit_s=0.5, folds=0)
    with pytest.raises(Killed):
        train(request, tmp_path / "run", session_cache, Diary(on_advance=at("Judging", kill)))
    diary = Diary(on_goes_on=kill)
    assert resume(Run(tmp_path / "run"), session_cache, diary).args.state is RunState.COMPLETE
    assert [note for note in diary.notes if "leaves no time to fine-tune" in note]


@pytest.mark.rest
def test_a_heads_report_does_not_count_the_seconds_of_fine_tuning(head, tmp_path, session_cache):
    run = Run(shutil.copytree(head[0].run.path, tmp_path / "run"))
    epochs = [EpochFigures(1, 1.0, 0.5, 1.0, 0.5, 0.0, size=32, seconds=36_000.0)]
    write_history(run.finetuning.history, epochs)
    write_history(run.finetuning.fold(1).history, epochs)
    resume(run, session_cache, Diary())
    assert "hours" not in run.model_card.read_text()


def fine_tuned(network):
    """Write a finished fine-tuning of one epoch with this network."""

    def leave(evaluation, run, args, seconds):
        own, recipe, tuned = new_network(args), recipe_of(args), run.finetuning
        learner = Learner(own, recipe, prepare_layers(own, recipe))
        save_network(network, tuned.best)
        write_history(tuned.history, [EpochFigures(1, 1.0, 0.5, 1.0, 0.5, 0.0, size=32, seconds=1.0, best=True)])
        np.savez(tuned.state, **learner.state(), progress=1.0, epoch=1)

    return leave


def colour_network(sharpness=1 / 20):
    """Separates the three colours by the mean of all pixels; without sharpness all colours are equally likely."""
    image = keras.Input((32, 32, 3), name="image")
    features = keras.layers.GlobalAveragePooling2D(name="features")(image)
    logits = keras.layers.Dense(3, name="logits")
    network = keras.Model(image, keras.layers.Activation("softmax", name="probabilities")(logits(features)))
    logits.set_weights([np.eye(3, dtype=np.float32)[::-1] * sharpness, np.zeros(3)])
    return network


def test_the_heads_run_is_complete_until_a_better_fine_tuning_replaces_all_files(request_of, tmp_path, session_cache):
    better, seen = colour_network(), []

    def look(evaluation, run, args, seconds):
        assert read_training_run(run.path).confidence == run.read_confidence()
        assert {name for name in contents(run.path) if not name.startswith("export/originals/")} == OF_A_HEAD
        seen.append((evaluation, args.epochs, run.args().epochs))
        fine_tuned(better)(evaluation, run, args, seconds)

    diary = Diary(on_goes_on=look)
    result = train(request_of(good=False, epochs=1, folds=0), tmp_path / "run", session_cache, diary)
    run, ((head, *epochs),) = result.run, seen
    assert epochs == [1, 0]
    assert same_weights(run.best, better)
    assert result.evaluation.val.accuracy == 1.0 > head.val.accuracy
    assert (result.args.epochs, result.args.best_epoch, result.args.state) == (1, 1, RunState.COMPLETE)
    assert (run.args(), run.evaluation.read_text()) == (result.args, result.evaluation.model_dump_json(indent=1))
    assert files_of(run.path) == FILES
    assert [row.epoch for row in read_history(run.history)] == [1]
    assert diary.notes == []


@pytest.mark.rest
def test_fine_tuning_that_is_worse_is_thrown_away(head, request_of, tmp_path, session_cache):
    seen = []
    worse = fine_tuned(colour_network(0.0))
    diary = Diary(on_goes_on=lambda *of: (seen.append((of[0], contents(of[1].path))), worse(*of)))
    result = train(request_of(epochs=1, folds=0), tmp_path / "run", session_cache, diary)
    assert diary.notes == [
        "The fine-tuned network was no better on photos outside its training: the run keeps the head"
    ]
    ((evaluation, files),) = seen
    assert contents(result.run.path, "args.json") == {name: files[name] for name in files if name != "args.json"}
    assert files_of(result.run.path) == OF_A_HEAD
    assert (result.evaluation, result.args.state) == (evaluation, RunState.COMPLETE)
    assert same_weights(result.run.best, head[0].run.best), "the head is the same with folds and without"


@pytest.mark.rest
def test_fine_tuning_that_diverges_keeps_the_head(request_of, tmp_path, session_cache):
    body = shutil.copyfile(request_of().weights, tmp_path / "body.weights.h5")
    spoilt = published_body(Arch.MOBILENET, 32, 0.25)
    spoilt.set_weights([np.full_like(array, np.nan) for array in spoilt.get_weights()])
    request = request_of(epochs=1, folds=0).model_copy(update={"weights": str(body)})
    diary = Diary(on_goes_on=lambda *_: spoilt.save_weights(body))
    result = train(request, tmp_path / "run", session_cache, diary)
    assert ["Fine-tuning diverged: the run keeps the head" in note for note in diary.notes] == [True]
    assert (result.args.state, result.args.is_frozen) == (RunState.COMPLETE, True)
    assert files_of(result.run.path) == OF_A_HEAD


@pytest.mark.rest
def test_a_resume_ends_a_change_of_networks_that_was_killed(request_of, tmp_path, session_cache):
    run, better = Run(tmp_path / "run"), colour_network()
    diary = Diary(on_goes_on=fine_tuned(better))
    whole = train(request_of(good=False, epochs=1, folds=0), run.path, session_cache, diary)
    shutil.copytree(run.path, run.finetuning.path)
    for name in ("weights/best.keras", "results.csv", "splits.csv", "excluded.csv", "notes.txt"):
        (run.finetuning.path / name).unlink()
    run.forget_judgement()
    run.write_args(whole.args.model_copy(update={"epochs": 0, "state": RunState.TRAINING, "best_epoch": 0}))
    result = resume(run, session_cache, Diary(on_goes_on=kill))
    assert result.evaluation == whole.evaluation
    assert (result.args.state, result.args.epochs, result.args.best_epoch) == (RunState.COMPLETE, 1, 1)
    assert same_weights(run.best, better)
    assert files_of(run.path) == FILES


@pytest.mark.rest
def test_ctrl_c_in_fine_tuning_keeps_the_head_and_a_resume_ends_like_an_unstopped_run(
    request_of, tmp_path, session_cache
):
    request, unbroken, kept = request_of(epochs=2, folds=0), Diary(), []
    whole = train(request, tmp_path / "whole", session_cache, unbroken)
    diary = Diary(on_goes_on=lambda *of: kept.append(contents(of[1].path)), on_epoch=at(1, press_ctrl_c))
    result = train(request, tmp_path / "run", session_cache, diary)
    run = result.run
    assert (result.interrupted, run.args().state, result.args.is_frozen) == (True, RunState.INTERRUPTED, True)
    assert contents(run.path, "args.json") == {name: data for name, data in kept[0].items() if name != "args.json"}
    assert read_training_run(run.path).confidence == run.read_confidence()
    diary.on_epoch = lambda epoch: None
    result = resume(run, session_cache, diary)
    assert [row.train_loss for row in diary.epochs] == [row.train_loss for row in unbroken.epochs]
    assert (result.args.state, result.args.epochs) == (RunState.COMPLETE, whole.args.epochs)
    assert same_weights(run.best, whole.run.best)
    assert result.evaluation == whole.evaluation
    assert files_of(run.path) == files_of(whole.run.path)
