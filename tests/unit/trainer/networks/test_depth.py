from dataclasses import replace

import keras
import numpy as np
import pytest

from trainer.learning.recipe import recipe_for
from trainer.learning.training import depth_groups, prepare_layers
from trainer.request import Arch


@pytest.fixture
def cnn(random_network):
    return random_network(Arch.CNN)


def ids(variables):
    return [id(variable) for variable in variables]


def test_every_variable_is_in_one_group_from_early_to_late(network):
    groups = depth_groups(network)
    assert len(groups) == 3
    together = [variable for group in groups for variable in group]
    assert sorted(ids(together)) == sorted(ids(network.trainable_variables))
    assert id(network.trainable_variables[0]) in ids(groups[0])
    assert id(network.get_layer("logits").kernel) in ids(groups[-1])


def test_frozen_norms_stay_as_they_are_in_training(cnn, pixels):
    prepare_layers(cnn, replace(recipe_for(Arch.CNN, pretrained=False), head_first=True))
    cnn.compile("sgd", "categorical_crossentropy")
    norms = [layer for layer in cnn.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before = [[values.copy() for values in layer.get_weights()] for layer in norms]
    kernel = np.array(cnn.get_layer("logits").kernel)
    cnn.train_on_batch(pixels, np.eye(3))
    assert len(norms) == 9
    for layer, kept in zip(norms, before, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(layer.get_weights(), kept, strict=True))
    assert not np.array_equal(kernel, np.asarray(cnn.get_layer("logits").kernel))
    assert not any(variable.name in {"gamma", "beta"} for group in depth_groups(cnn) for variable in group)
