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
