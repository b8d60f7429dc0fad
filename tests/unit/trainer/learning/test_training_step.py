import math
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.errors import InputError
from tests.unit.trainer.learning.steady import STEADY
from trainer.learning.training_step import Learner, measure_pace

RECIPE = replace(STEADY, epochs=1, batch=8, rate=1e-2)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.float32)


def forgetful(classes=3, seed=5):
    """A small network with every kind of state: batch norm, dropout, a head."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Conv2D(4, 3, strides=4)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D(name="features")(x))
    x = keras.layers.Dense(classes, name="logits")(x)
    return keras.Model(image, keras.layers.Activation("softmax", name="probabilities")(x))


def learner_of(network, class_weights=None, **changes):
    return Learner(network, replace(RECIPE, **changes), [network.trainable_variables], class_weights)


def eye(count, classes=3):
    return np.eye(classes, dtype=np.float32)[np.arange(count) % classes]


def step(learner, pixels, targets, rate=1e-2, share=0.1):
    loss, right = learner.step(tf.constant(pixels), tf.constant(targets), rate, share)
    return float(loss), float(right)


def weights(network):
    return [np.array(variable) for variable in network.variables]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_cross_entropy_of_smoothed_targets(logits_network, pixels, smoothing):
    biases = np.array([0.5, -1.0, 2.0])
    logs = biases - math.log(np.exp(biases).sum())
    soft = eye(8) * (1 - smoothing) + smoothing / 3
    loss, right = step(learner_of(logits_network(biases), smoothing=smoothing), pixels, eye(8), rate=0.0)
    assert loss == pytest.approx(-(soft * logs).sum(axis=1).mean(), rel=1e-5)
    assert right == pytest.approx(2 / 8)

    targets = np.array([1, 1, 1, 0, 0, 0, 0, 0], np.float32)[:, None]  # of two classes: one sigmoid
    soft = targets * (1 - smoothing) + smoothing / 2
    logs = math.log(1 / (1 + math.exp(-0.7))), math.log(1 - 1 / (1 + math.exp(-0.7)))
    loss, right = step(learner_of(logits_network([0.7]), smoothing=smoothing), pixels, targets, rate=0.0)
    assert loss == pytest.approx(-(soft * logs[0] + (1 - soft) * logs[1]).mean(), rel=1e-5)
    assert right == pytest.approx(3 / 8)


@pytest.mark.parametrize("biases", [(0.0,), (0.0, 0.0, 0.0)])
def test_class_weights_weigh_the_loss_of_each_photo(logits_network, pixels, biases):
    classes = max(2, len(biases))
    weighed = np.array([3.0, 0.5, 0.25][:classes], np.float32)
    labels = np.array([0, 0, 0, 1, 1, 1, 1, classes - 1])
    targets = labels[:, None].astype(np.float32) if classes == 2 else np.eye(3, dtype=np.float32)[labels]
    loss, _ = step(learner_of(logits_network(biases), weighed), pixels, targets, rate=0.0)
    assert loss == pytest.approx(weighed[labels].mean() * math.log(classes), rel=1e-5)


def test_weights_decay_and_biases_and_norms_do_not(pixels):
    network = forgetful()
    for variable in network.trainable_variables:
        variable.assign(np.ones(variable.shape))
    step(learner_of(network, np.zeros(3, np.float32), weight_decay=0.5), pixels, eye(8))
    shrunk = {variable.name for variable in network.trainable_variables if np.array(variable).min() < 1}
    assert shrunk == {"kernel"}


def test_early_layers_move_less_and_layers_in_no_group_stay(pixels):
    """Adam's first step moves each weight with a gradient by the rate."""
    for early_learns in (True, False):
        network = forgetful()
        early, late = network.layers[2].trainable_variables, network.get_layer("logits").trainable_variables
        before = [[np.array(v) for v in group] for group in (early, late)]
        recipe = replace(RECIPE, depth_rates=(0.1, 1.0))
        step(Learner(network, recipe, [early if early_learns else [], late]), pixels, eye(8), rate=1e-2)
        moved = [
            max(np.abs(np.array(v) - old).max() for v, old in zip(group, olds, strict=True))
            for group, olds in zip((early, late), before, strict=True)
        ]
        assert moved == pytest.approx([1e-3 if early_learns else 0, 1e-2], rel=0.02)


def test_the_average_is_the_running_average_of_the_weights(logits_network, pixels):
    network = logits_network((0.0, 0.0, 0.0))
    learner = learner_of(network, average=0.5)
    expected = weights(network)
    for number in range(1, 31):
        step(learner, pixels, eye(8), share=0.1)
        keep = min((1 + number) / (10 + number), math.exp(-0.1 / 0.5))
        expected = [keep * old + (1 - keep) * new for old, new in zip(expected, weights(network), strict=True)]
    own = weights(network)
    with learner.averaged():
        for found, wanted in zip(weights(network), expected, strict=True):
            assert found == pytest.approx(wanted, abs=1e-5)
        assert not same(weights(network), own)
    assert same(weights(network), own)


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_a_restored_state_goes_on_to_the_bit(pixels, average):
    """Dropout's random numbers, the optimizers' moments and the average's age are restored."""
    network = forgetful()
    learner = learner_of(network, average=average, weight_decay=0.1)
    for _ in range(3):
        step(learner, pixels, eye(8))
    state = learner.state()
    losses = [step(learner, pixels, eye(8)) for _ in range(3)]
    with learner.averaged():
        expected = weights(network)

    other = forgetful(seed=6)
    taken_up = learner_of(other, average=average, weight_decay=0.1)
    step(taken_up, pixels, eye(8))
    taken_up.restore(state)
    assert [step(taken_up, pixels, eye(8)) for _ in range(3)] == losses
    with taken_up.averaged():
        assert same(weights(other), expected)


def test_the_state_of_another_network_is_refused():
    state = learner_of(forgetful(classes=4)).state()
    with pytest.raises(InputError, match="another network"):
        learner_of(forgetful()).restore(state)


def test_the_quickest_step_is_the_pace_and_the_first_one_compiles():
    """Eight photos a step."""
    took = [9.0, 2.0, 1.0, 3.0, 2.0]
    times = iter([time for second in took for time in (0.0, second)])
    pace = measure_pace(learner_of(forgetful()), 16, 8, clock=lambda: next(times))
    assert (pace.photos_per_s, pace.compile_s) == (8.0, 8.0)
    assert next(times, None) is None
