import keras
import numpy as np
import pytest

from trainer.networks.architectures import head


def test_two_classes_share_a_logit():
    logits, probabilities = head(2)
    assert (logits.units, probabilities.activation) == (1, keras.activations.sigmoid)


def test_probabilities_are_the_softmax_of_the_logits():
    logits, probabilities = head(4)
    said = np.asarray(logits(np.random.default_rng(0).normal(size=(3, 8))))
    expected = np.exp(said) / np.exp(said).sum(axis=1, keepdims=True)
    assert np.asarray(probabilities(said)) == pytest.approx(expected, abs=1e-6)
