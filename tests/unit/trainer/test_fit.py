import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.fit import EpochFigures, FitOutcome, fit, read_history
from trainer.run import Run

SIZE, PHOTOS, BATCH = 4, 8, 4
HEADER = "epoch,train/loss,train/accuracy,val/loss,val/accuracy,lr"


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


@pytest.fixture
def photos():
    return np.random.default_rng(0).integers(0, 256, (PHOTOS, SIZE, SIZE, 3), np.uint8)


def perceptron(rate):
    """One sigmoid unit that always says 0.5 and a bit, until it has learned something."""
    inputs = keras.Input((SIZE, SIZE, 3), name="image")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    unit = keras.layers.Dense(1, activation="sigmoid", kernel_initializer="zeros", bias_initializer="ones")
    network = keras.Model(inputs, unit(flat))
    accuracy = keras.metrics.BinaryAccuracy(name="accuracy")
    network.compile(keras.optimizers.SGD(rate), "binary_crossentropy", metrics=[accuracy])
    return network


def targets(*labels):
    return np.array(labels, np.float32)[:, None]


@pytest.fixture
def fit_once(run, photos):
    """Fits to photos that are all of the second class; validation photos may be of either."""

    def fit_with(network, truths=(1, 1, 1), epochs=5, patience=99, on_step=None, on_epoch=None):
        ones = np.ones((PHOTOS, 1), np.float32)
        return fit(
            network,
            tf.data.Dataset.from_tensor_slices((photos.astype(np.float32), ones)).batch(BATCH),
            (photos[: len(truths)], targets(*truths)),
            run,
            steps=PHOTOS // BATCH,
            batch=BATCH,
            epochs=epochs,
            patience=patience,
            on_step=on_step or (lambda done, steps: None),
            on_epoch=on_epoch or (lambda figures: None),
        )

    return fit_with


def figures(epoch, val_accuracy, val_loss):
    return EpochFigures(epoch, 1.0, 0.5, val_loss, val_accuracy, 1e-3)


@pytest.mark.parametrize(
    ("history", "best"),
    [
        ([(0.5, 1.0), (0.7, 2.0), (0.6, 0.1)], 2),
        ([(0.7, 1.0), (0.7, 0.9), (0.7, 0.95)], 2),
        ([(0.7, 0.9), (0.7, 0.9)], 1),
    ],
    ids=["accuracy first", "then loss", "then the earlier"],
)
def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss(history, best):
    assert FitOutcome([figures(i, *pair) for i, pair in enumerate(history, 1)], interrupted=False).best_epoch == best


def test_there_is_no_best_epoch_before_the_first():
    assert FitOutcome([], interrupted=True).best_epoch is None


def test_results_csv_has_a_row_an_epoch_under_this_header(fit_once, run):
    outcome = fit_once(perceptron(0.1), epochs=3)
    lines = run.history.read_text().splitlines()
    assert lines[0] == HEADER
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    assert {len(line.split(",")) for line in lines} == {6}
    assert [row.epoch for row in outcome.history] == [1, 2, 3]
    assert not outcome.interrupted


def test_results_csv_is_read_as_it_was_written(fit_once, run):
    history = fit_once(perceptron(0.1), epochs=3).history
    for read, told in zip(read_history(run.history), history, strict=True):
        for name in ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr"):
            assert getattr(read, name) == getattr(told, name)


def test_a_run_without_results_has_no_history(run):
    assert read_history(run.history) == []


def test_each_epoch_is_told_with_its_figures(fit_once):
    told = []
    outcome = fit_once(perceptron(0.1), epochs=3, on_epoch=told.append)
    assert told == outcome.history
    assert [row.best for row in told] == [True, True, True]
    assert all(row.images_per_s > 0 and row.seconds > 0 and row.lr == pytest.approx(0.1) for row in told)
    assert told[0].val_loss > told[1].val_loss > told[2].val_loss


def test_each_step_is_told_with_their_number(fit_once):
    told = []
    fit_once(perceptron(0.1), epochs=2, on_step=lambda done, steps: told.append((done, steps)))
    assert told == [(1, 2), (2, 2)] * 2


def test_an_epoch_is_on_disk_when_it_is_told(fit_once, run):
    seen = []

    def look(row):
        seen.append((run.last.is_file(), run.best.is_file(), read_history(run.history)[-1].epoch == row.epoch))

    fit_once(perceptron(0.1), epochs=2, on_epoch=look)
    assert seen == [(True, True, True)] * 2


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_it_stops_when_so_many_epochs_were_no_better(fit_once, patience):
    outcome = fit_once(perceptron(0.0), epochs=9, patience=patience)
    assert [row.epoch for row in outcome.history] == list(range(1, 1 + patience + 1))
    assert outcome.best_epoch == 1
    assert not outcome.interrupted


def test_it_does_not_stop_while_it_gets_better(fit_once):
    assert len(fit_once(perceptron(0.1), epochs=5, patience=1).history) == 5


def test_a_better_epoch_renews_the_patience(fit_once):
    """It first unlearns; then the rate is turned round, and it gets better than it ever was."""
    network = perceptron(-0.05)

    def turn_round(row):
        if row.epoch == 2:
            network.optimizer.learning_rate = 0.2

    outcome = fit_once(network, epochs=9, patience=3, on_epoch=turn_round)
    assert [row.best for row in outcome.history][:2] == [True, False]
    assert len(outcome.history) == 9


def test_out_of_patience_is_out_of_patience_when_it_is_resumed(fit_once):
    network = perceptron(0.0)
    first = fit_once(network, epochs=9, patience=2)
    told = []
    again = fit_once(network, epochs=9, patience=2, on_epoch=told.append)
    assert told == []
    assert len(again.history) == len(first.history) == 3


def test_best_and_last_are_the_networks_of_their_epochs(fit_once, run, photos):
    """It learns the wrong thing: validation photos are of the other class."""
    outcome = fit_once(perceptron(0.01), truths=(0, 0, 0), epochs=3)
    assert outcome.best_epoch == 1
    for path, row in ((run.best, outcome.history[0]), (run.last, outcome.history[2])):
        loss, accuracy = keras.saving.load_model(path).evaluate(photos[:3], targets(0, 0, 0), verbose=0)
        assert (loss, accuracy) == (pytest.approx(row.val_loss), pytest.approx(row.val_accuracy))


def test_a_resumed_fit_goes_on_with_the_next_epoch(fit_once, run):
    fit_once(perceptron(0.1), epochs=2)
    before = run.history.read_text()
    outcome = fit_once(keras.saving.load_model(run.last), epochs=4)
    assert [row.epoch for row in outcome.history] == [1, 2, 3, 4]
    assert run.history.read_text().startswith(before)
    assert outcome.best_epoch == 4


def test_an_epoch_whose_network_was_not_saved_before_a_kill_is_trained_again(fit_once, run):
    fit_once(perceptron(0.1), epochs=1)
    first = run.last.read_bytes()
    unbroken = fit_once(keras.saving.load_model(run.last), epochs=3).history
    run.last.write_bytes(first)
    told = []
    again = fit_once(keras.saving.load_model(run.last), epochs=3, on_epoch=told.append).history
    assert [row.epoch for row in told] == [2, 3]
    assert [row.epoch for row in again] == [row.epoch for row in read_history(run.history)] == [1, 2, 3]
    assert [row.val_loss for row in again] == pytest.approx([row.val_loss for row in unbroken])


def test_a_resumed_fit_of_all_epochs_does_nothing(fit_once, run):
    fit_once(perceptron(0.1), epochs=2)
    files = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert len(fit_once(keras.saving.load_model(run.last), epochs=2).history) == 2
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == files


@pytest.mark.parametrize("truths", [(1, 0, 0), (1, 1, 0), (1, 1, 1, 1, 1, 1, 0)])
def test_an_epoch_that_only_equals_the_best_is_not_the_best_after_a_resume(fit_once, run, truths):
    fit_once(perceptron(0.0), truths, epochs=1)
    outcome = fit_once(keras.saving.load_model(run.last), truths, epochs=2)
    assert [row.best for row in outcome.history[1:]] == [False]
    assert outcome.best_epoch == 1


def ctrl_c_at(moment, times=1):
    """Presses Ctrl-C when it has been called so often."""
    calls = []

    def press(*_):
        calls.append(None)
        if len(calls) == moment:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return press


def test_ctrl_c_stops_after_the_step_and_keeps_the_whole_epochs(fit_once, run):
    earlier = signal.getsignal(signal.SIGINT)
    told = []
    press = ctrl_c_at(3)

    def on_step(done, steps):
        told.append((done, steps))
        press()

    outcome = fit_once(perceptron(0.1), on_step=on_step)
    assert outcome.interrupted
    assert told == [(1, 2), (2, 2), (1, 2)]
    assert [row.epoch for row in outcome.history] == [row.epoch for row in read_history(run.history)] == [1]
    assert signal.getsignal(signal.SIGINT) is earlier


def test_ctrl_c_in_the_first_epoch_leaves_no_epoch(fit_once, run):
    outcome = fit_once(perceptron(0.1), on_step=ctrl_c_at(1))
    assert outcome.interrupted
    assert outcome.history == read_history(run.history) == []
    assert not run.best.exists()


def test_ctrl_c_between_two_epochs_keeps_the_one_that_is_over(fit_once):
    outcome = fit_once(perceptron(0.1), on_epoch=ctrl_c_at(2))
    assert outcome.interrupted
    assert [row.epoch for row in outcome.history] == [1, 2]


def test_a_second_ctrl_c_does_not_wait(fit_once):
    earlier = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit_once(perceptron(0.1), on_step=ctrl_c_at(1, times=2))
    assert signal.getsignal(signal.SIGINT) is earlier


def test_nothing_temporary_is_left(fit_once, run):
    fit_once(perceptron(0.1), epochs=2)
    assert sorted(path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()) == [
        "results.csv",
        "weights/best.keras",
        "weights/last.keras",
    ]
