import dataclasses

import numpy as np
import pytest

from models.statistics.out_of_distribution import DistanceHead


@pytest.fixture
def expected(make_network):  # loads TensorFlow
    import exporter.prove as module

    return module


def test_the_distance_is_that_worked_out_by_hand():
    """Features of length 5 count as of length 1; both lie 1 from a centre once the mean is off and all is doubled."""
    features = np.array([[3.0, 4.0], [0.0, -5.0]], np.float32)
    mean, twice = np.array([0.1, 0.3], np.float32), 2 * np.eye(2, dtype=np.float32)
    centres = np.array([[1.0, 0.0], [-0.2, -1.6]], np.float32)
    head = DistanceHead(mean, twice, centres, np.zeros((2, 0), np.float32))
    assert head.score(features) == pytest.approx([1.0, 1.0])
    head = dataclasses.replace(head, overall=np.array([[1.0], [0.0]], np.float32))
    assert head.score(features) == pytest.approx([1.0 - 0.25, 1.0 - 0.01])


def test_keras_is_asked_for_all_three_ends(expected, make_network, pixels):
    network = make_network("cnn", 2)
    found = expected.keras_outputs(network, pixels)
    assert (found.features.shape, found.logits.shape, found.probabilities.shape) == ((5, 320), (5, 2), (5, 1))
    second = found.scores(1.0, None).probabilities[:, 1]
    assert second == pytest.approx(found.probabilities[:, 0], abs=1e-6)
    assert found.scores(1.0, None).unknown is None
