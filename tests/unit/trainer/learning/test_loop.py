import math
from dataclasses import astuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util.event_pb2 import Event

from models.errors import DataError
from tests.unit.trainer.learning.steady import SIZE, STEADY, batches_of, held_of, learner_of
from tests.unit.trainer.run_files import Diary, at
from trainer.learning.loop import Limits, TensorBoardView, ValidationPhotos, fit
from trainer.run import EpochFigures, read_history

BLACK, WHITE = 0, 255


@pytest.fixture
def fit_script(run, photos, logits_network):
    """Fits a network that never changes and says the second class of bright photos; what is held back is by script.

    Args of what it gives:
        script: for each epoch, how bright the photos of the second class are that are held back.
    """

    def fit_with(script, patience=99, view=None, begin=0):
        network = logits_network([-1.0], weight=2 / (SIZE * SIZE * 3))
        told = iter(script[begin:])

        def pixels(start, end):
            return np.stack([np.full((SIZE, SIZE, 3), shade, np.uint8) for shade in next(told)])

        held = ValidationPhotos(pixels, np.ones(len(script[0]), int))
        learner = learner_of(network, STEADY)
        return fit(
            learner,
            STEADY,
            batches_of(photos, STEADY),
            held,
            run,
            Limits(len(script), patience),
            view or Diary(),
        )

    return fit_with


def test_every_epoch_is_in_results_csv_and_told_with_its_figures(fit_once, run):
    view = Diary()
    outcome = fit_once(epochs=3, view=view)
    assert view.epochs == outcome.history
    assert [astuple(row)[:-1] for row in read_history(run.history)] == [astuple(row)[:-1] for row in outcome.history]
    assert [(row.epoch, row.best) for row in outcome.history] == [(1, True), (2, True), (3, True)]
    assert not outcome.interrupted
    for row in outcome.history:
        assert (row.size, row.lr, row.train_accuracy) == (SIZE, 1e-4, 1.0)
        assert min(row.images_per_s, row.seconds) > 0
        assert 0 <= row.waiting <= 1
    assert outcome.history[0].val_loss > outcome.history[1].val_loss > outcome.history[2].val_loss
    assert view.steps == [(1, 2), (2, 2)] * 3
    assert view.expected == [3, 3, 3]


def test_many_classes_have_the_cross_entropy_of_their_softmax(run, make_store, logits_network):
    store = make_store(np.zeros((6, SIZE, SIZE, 3), np.uint8))
    biases = np.array([2.0, -1.0, 0.5])
    learner, batches = learner_of(logits_network(biases), STEADY), batches_of(store, STEADY, [0, 1, 2] * 2, 3)
    (row,) = fit(learner, STEADY, batches, held_of((0, 1, 2)), run, Limits(1, 9), Diary()).history
    assert row.val_accuracy == pytest.approx(1 / 3)
    assert row.val_loss == pytest.approx(-(biases - math.log(np.exp(biases).sum())).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("script", "best"),
    [
        ([[BLACK, WHITE], [WHITE, WHITE], [WHITE, BLACK]], 2),
        ([[WHITE, 100], [WHITE, 120], [WHITE, 110]], 2),
        ([[WHITE, 100], [WHITE, 100]], 1),
    ],
    ids=["accuracy first", "then loss", "then the earlier"],
)
def test_best_keras_is_of_the_epoch_with_the_highest_accuracy_then_the_lowest_loss(fit_script, run, script, best):
    written = []
    view = Diary(on_epoch=lambda epoch: written.append(run.best.stat().st_mtime_ns))
    outcome = fit_script(script, view=view)
    assert outcome.best_epoch == best
    assert [row.epoch for row in outcome.history if row.best][-1] == best
    assert [later != earlier for earlier, later in zip([0, *written], written, strict=False)] == [
        row.best for row in outcome.history
    ]


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_it_stops_when_so_many_epochs_were_no_better(fit_once, patience):
    outcome = fit_once(rate=0.0, epochs=9, patience=patience)
    assert [row.epoch for row in outcome.history] == list(range(1, 1 + patience + 1))
    assert outcome.best_epoch == 1
    assert not outcome.interrupted


def test_a_better_epoch_renews_the_patience(fit_script):
    script = [[100], [90], [90], [110], [90], [90], [90], [200]]
    outcome = fit_script(script, patience=3)
    assert [row.best for row in outcome.history] == [True, False, False, True, False, False, False]


@pytest.mark.parametrize(("patience", "best"), [(99, 10), (1, 1)], ids=["to its end", "out of patience"])
def test_where_the_rate_has_fallen_to_nothing_the_last_epoch_is_the_best(fit_once, run, patience, best):
    """It learns the wrong thing, so validation would choose the first epoch."""
    outcome = fit_once(truths=(0, 0, 0), epochs=10, patience=patience, cosine=True)
    assert outcome.best_epoch == best
    assert [row.epoch for row in outcome.history if row.best][-1] == best
    grey = np.full((1, SIZE, SIZE, 3), 128, np.uint8)
    (said,) = keras.saving.load_model(run.best).predict(grey, verbose=0)[0]
    assert -math.log(1 - said) == pytest.approx(outcome.history[best - 1].val_loss, rel=1e-4)


def test_best_and_last_are_the_networks_of_their_epochs(fit_once, run):
    """It learns the wrong thing: what is held back is of the other class."""
    outcome = fit_once(truths=(0, 0, 0), epochs=3)
    assert outcome.best_epoch == 1
    grey = np.full((1, SIZE, SIZE, 3), 128, np.uint8)
    for path, row in ((run.best, outcome.history[0]), (run.last, outcome.history[2])):
        (said,) = keras.saving.load_model(path).predict(grey, verbose=0)[0]
        assert -math.log(1 - said) == pytest.approx(row.val_loss, rel=1e-4)


def test_a_better_epoch_alone_takes_away_what_was_known_of_the_best_network(fit_once, run):
    run.path.mkdir()
    figures = (run.confidence, run.evaluation, run.class_figures, run.predictions, run.label_issues)
    judged = (*figures, run.report, run.model_card)
    for path in judged:
        path.write_text("of another network")
    fit_once(epochs=1, rate=0.0)
    assert not any(path.exists() for path in judged)
    run.confidence.write_text("of the first epoch")
    fit_once(epochs=2, rate=0.0)
    assert run.confidence.read_text() == "of the first epoch"


def test_a_loss_that_is_no_number_ends_the_training_in_words_and_keeps_the_best(run, photos, logits_network):
    learner, batches = learner_of(logits_network(), STEADY), batches_of(photos, STEADY)
    kernel = learner.network.get_layer("logits").kernel
    view = Diary(on_epoch=at(2, lambda: kernel.assign(np.full(kernel.shape, np.nan))))
    with pytest.raises(
        DataError, match=r"finite loss, got none in epoch 3; the weights of earlier epochs are in .*run\."
    ):
        fit(learner, STEADY, batches, held_of((1, 1)), run, Limits(5, 9), view)
    assert [row.epoch for row in read_history(run.history)] == [1, 2]
    assert run.best.is_file()


FIGURES = [
    EpochFigures(n, 2.0 / n, 0.1 * n, 3.0 / n, 0.2 * n, 1e-3 / n, waiting=0.01 * n, images_per_s=100.0 * n)
    for n in (1, 2)
]


def logged(folder):
    """What is in the event files: name and step → value."""
    found = {}
    for path in folder.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    return found


def test_the_figures_of_each_epoch_can_be_read_back(diary, tmp_path):
    view = TensorBoardView(diary, tmp_path / "logs")
    for row in FIGURES:
        view.epoch(row, 2)
    assert diary.epochs == FIGURES
    names = {"loss/train": "train_loss", "loss/val": "val_loss", "accuracy/train": "train_accuracy"}
    names |= {"accuracy/val": "val_accuracy", "learning_rate": "lr", "images_per_s": "images_per_s"}
    names |= {"waiting": "waiting"}
    assert logged(tmp_path / "logs") == {
        (name, row.epoch): pytest.approx(getattr(row, figure)) for row in FIGURES for name, figure in names.items()
    }
