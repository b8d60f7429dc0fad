import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from models.manifest import ModelMetadata
from models.preprocess import PreprocessSpec
from models.statistics.confidence import UnknownLimit
from models.statistics.out_of_distribution import DistanceHead


@pytest.fixture
def exporter(make_network):  # loads TensorFlow
    from exporter.graph import convert
    from exporter.prove import keras_outputs, prove

    return SimpleNamespace(convert=convert, prove=prove, keras_outputs=keras_outputs)


def metadata(temperature=1.0, limit=None):
    return ModelMetadata(
        schema_version=1,
        name="shop",
        version="20261121T000000Z",
        variant="float32",
        labels=("bag", "hat", "shoe"),
        preprocess=PreprocessSpec(size=32),
        temperature=temperature,
        thresholds=(0.5, 0.5, 0.5),
        unknown=None if limit is None else UnknownLimit(score="distance", limit=limit, kept=0.95),
    )


def test_the_model_of_another_network_is_no_proof(exporter, make_network, pixels):
    other = exporter.convert(make_network("cnn", 3), 32).SerializeToString()
    many, one = exporter.prove(make_network("simple", 3), other, pixels, metadata(), None)
    assert not many.passed
    assert not one.passed


def test_another_temperature_is_no_proof(exporter, make_network, pixels):
    network = make_network("simple", 3)
    model = exporter.convert(network, 32, 2.0).SerializeToString()
    many, one = exporter.prove(network, model, pixels, metadata(2.0), None)
    assert many.passed
    assert one.passed
    many, _ = exporter.prove(network, model, pixels, metadata(1.9), None)
    assert not many.probabilities_passed


def test_another_unknown_score_is_no_proof(exporter, make_network, pixels):
    network = make_network("cnn", 3)
    chance = np.random.default_rng(3)
    head = DistanceHead(*(chance.normal(size=shape).astype(np.float32) for shape in (320, (320, 4), (3, 4), (320, 0))))
    moved = dataclasses.replace(head, centres=head.centres + np.float32(1.0))
    model = exporter.convert(network, 32, 1.0, head).SerializeToString()
    assert all(parity.passed for parity in exporter.prove(network, model, pixels, metadata(1.0, 5.0), head))
    many, _ = exporter.prove(network, model, pixels, metadata(1.0, 5.0), moved)
    assert many.probabilities_passed
    assert not many.unknown.passed
    assert not many.passed


def test_the_tolerance_is_the_one_that_is_asked_for(exporter, make_network, pixels):
    network = make_network("simple", 3)
    model = exporter.convert(network, 32).SerializeToString()
    many, one = exporter.prove(network, model, pixels, metadata(), None, atol=1e-12)
    assert (many.tolerance, one.tolerance) == (1e-12, 1e-12)
    assert not many.passed


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
