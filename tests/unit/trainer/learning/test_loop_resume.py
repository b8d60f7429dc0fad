import signal
from dataclasses import replace

import keras
import numpy as np
import pytest

from models.errors import InputError
from tests.unit.trainer.learning.steady import STEADY, batches_of, learner_of
from tests.unit.trainer.run_files import Diary, Killed, at, figures_of, kill, press_ctrl_c, same_weights
from trainer.learning.loop import TrainingBudget, ValidationPhotos, fit
from trainer.learning.recipe import Augmentation, Stage
from trainer.run import Run, read_history

LIVELY = replace(
    STEADY,
    rate=2e-3,
    weight_decay=0.05,
    cosine=True,
    smoothing=0.1,
    average=0.1,
    augmentation=Augmentation(erase=0.5),
    stages=(Stage(0.5, 0.5),),
)


def lively_network():
    """A network with every kind of state, for photos of any size."""
    keras.utils.set_random_seed(5)
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(8, 3, strides=4)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    x = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling2D(name="features")(x))
    x = keras.layers.Dense(3, name="logits")(x)
    return keras.Model(image, keras.layers.Activation("softmax", name="probabilities")(x))


@pytest.fixture
def fit_lively(tmp_path, make_store):
    """Fits a lively network for four epochs in a folder."""
    return lambda name, view=None: lively_fit(tmp_path / name, make_store, view or Diary())


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, make_store):
    """The same, never stopped."""
    return lively_fit(tmp_path_factory.mktemp("lively") / "unbroken", make_store, Diary())


def lively_fit(folder, make_store, view):
    """Run, network and outcome of four epochs, two of them on smaller photos."""
    store = make_store(np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8))
    network, run = lively_network(), Run(folder)
    held = ValidationPhotos(lambda start, end: store.take([str(i) for i in range(start, end)]), np.array([0, 1, 2] * 2))
    batches = batches_of(store, LIVELY, [0, 1, 2] * 4, 3)
    return run, network, fit(learner_of(network, LIVELY), LIVELY, batches, held, run, TrainingBudget(4), view)


def same_arrays(one, other):
    with np.load(one) as first, np.load(other) as second:
        return set(first) == set(second) and all(np.array_equal(first[name], second[name]) for name in first)


def assert_same_end(one, other):
    assert figures_of(one[0]) == figures_of(other[0])
    assert same_arrays(one[0].state, other[0].state)
    assert same_weights(one[1], other[1])
    for path in ("weights/best.keras", "weights/last.keras"):
        assert same_weights(one[0].path / path, other[0].path / path)


def test_the_first_epochs_have_smaller_photos_and_the_rate_ends_at_nothing(unbroken):
    _, _, outcome = unbroken
    assert [row.size for row in outcome.history] == [32, 32, 64, 64]
    assert [row.lr for row in outcome.history] == sorted((row.lr for row in outcome.history), reverse=True)
    assert outcome.history[-1].lr == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("view", "left"),
    [
        pytest.param(Diary(on_epoch=at(3, kill)), [4], marks=pytest.mark.rest),
        (Diary(on_step=at(5, kill)), [2, 3, 4]),
        (Diary(on_step=at(5, press_ctrl_c)), [2, 3, 4]),
    ],
    ids=["after the third epoch", "within the second", "Ctrl-C within the second"],
)
@pytest.mark.rest
def test_a_resumed_fit_is_equal_to_the_bit(fit_lively, unbroken, view, left):
    try:
        run, network, outcome = fit_lively("stopped", view)
    except Killed:
        pass
    else:
        assert outcome.interrupted
        assert len(outcome.history) == 1
        for path in (run.last, run.best):
            assert same_weights(path, network)
    again = Diary()
    resumed = fit_lively("stopped", again)
    assert [row.epoch for row in again.epochs] == left
    assert_same_end(resumed, unbroken)


@pytest.mark.parametrize(("step", "epochs"), [(1, []), (3, [1])])
def test_ctrl_c_stops_after_the_step_and_keeps_the_whole_epochs(fit_once, run, step, epochs):
    earlier = signal.getsignal(signal.SIGINT)
    view = Diary(on_step=at(step, press_ctrl_c))
    outcome = fit_once(view=view)
    assert outcome.interrupted
    assert len(view.steps) == step
    assert [row.epoch for row in outcome.history] == [row.epoch for row in read_history(run.history)] == epochs
    assert run.best.exists() == run.last.exists() == bool(epochs)
    assert signal.getsignal(signal.SIGINT) is earlier


def test_a_second_ctrl_c_does_not_wait(fit_once):
    earlier = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit_once(view=Diary(on_step=lambda _: (press_ctrl_c(), press_ctrl_c())))
    assert signal.getsignal(signal.SIGINT) is earlier


@pytest.mark.parametrize("keep", [0, -10])
def test_a_damaged_state_is_refused(fit_once, run, keep):
    fit_once(epochs=1)
    run.state.write_bytes(run.state.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"state\.npz"):
        fit_once(epochs=2)
