"""ONNX Runtime against Keras: agreement, differences, and how both run."""

from dataclasses import replace

import numpy as np
import pytest

from models.decision import Scores
from models.statistics.confidence import UnknownLimit
from models.statistics.out_of_distribution import DistanceHead
from tests.keras_to_onnx import convert
from tests.unit.exporter.edge.materials import metadata_of

KERAS = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3]], np.float32)
UNKNOWN = np.array([10.0, 20.0, 30.0, -20.0], np.float32)


@pytest.fixture(scope="module")
def parity(make_network):  # loads TensorFlow
    import exporter.parity

    return exporter.parity


@pytest.fixture(scope="module")
def compare(parity):
    return lambda expected, got: parity.compare(Scores(expected, None), Scores(got, None))


@pytest.fixture(scope="module")
def compare_unknown(parity):
    def compared(expected, got, limit):
        same = np.eye(2, dtype=np.float32)[np.zeros(len(expected), int)]
        return parity.compare(Scores(same, expected), Scores(same, got), limit).unknown

    return compared


def moved(by, photo=0, label=0):
    got = KERAS.copy()
    got[photo, label] += by
    return got


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("by", "passed"), [(0.9e-4, True), (1.1e-4, False)])
def test_the_largest_difference_may_reach_the_tolerance(compare, by, passed, sign):
    found = compare(KERAS, moved(sign * by, photo=1, label=2))
    assert found.largest == pytest.approx(by, abs=1e-6)
    assert found.mean == pytest.approx(by / 9, abs=1e-6)
    assert found.passed is passed


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_never_passes(compare, compare_unknown, wrong):
    assert not compare(KERAS, moved(wrong)).passed
    assert not compare(moved(np.nan), moved(wrong)).passed
    assert not compare_unknown(UNKNOWN, UNKNOWN * np.array([1, wrong, 1, 1], np.float32), limit=15.0).passed
    assert not compare_unknown(np.full(1, wrong, np.float32), np.full(1, wrong, np.float32), limit=15.0).passed


def test_a_changed_label_is_a_flip(compare):
    got = KERAS[:, [1, 0, 2]]
    found = compare(KERAS, got)
    assert found.flips == tuple(zip(KERAS.argmax(axis=1).tolist(), got.argmax(axis=1).tolist(), strict=True))
    assert not compare(KERAS[:1], np.array([[0.3, 0.6, 0.1]], np.float32)).passed


def test_a_near_tie_is_within_twice_the_tolerance_in_keras_and_may_go_either_way(compare):
    keras = np.array([[0.40009, 0.3999, 0.2], [0.40011, 0.39989, 0.2]], np.float64)
    found = compare(keras, keras[:, [1, 0, 2]])
    assert (found.near_ties, found.flips) == (1, ((0, 1),))


@pytest.mark.parametrize(("part", "passed"), [(0.0, True), (0.9e-2, True), (-0.9e-2, True), (1.1e-2, False)])
def test_an_unknown_score_may_be_off_by_a_hundredth_of_its_size(compare_unknown, part, passed):
    found = compare_unknown(UNKNOWN, UNKNOWN * np.array([1, 1, 1 + part, 1], np.float32), limit=15.0)
    assert found.passed is passed
    assert found.largest == pytest.approx(abs(part), abs=1e-6)


def test_photos_that_cross_the_limit_are_named_unless_they_are_near_it(compare_unknown):
    expected = np.array([10.0, 20.0, 15.2, -20.0], np.float32)
    found = compare_unknown(expected, np.array([16.0, 14.0, 14.9, -20.0], np.float32), limit=15.0)
    assert (found.crossed, found.near_limit, found.passed) == (2, 1, False)
    found = compare_unknown(expected[2:], np.array([14.9999, -20.0], np.float32) + 0.1, limit=15.0)
    assert (found.crossed, found.near_limit) == (0, 1)


def metadata(temperature=1.0, limit=None):
    unknown = None if limit is None else UnknownLimit(score="distance", limit=limit, kept=0.95)
    return metadata_of(3).model_copy(update={"temperature": temperature, "unknown": unknown})


def test_the_model_of_another_network_or_temperature_is_no_proof(parity, make_network, pixels):
    network = make_network("simple", 3)
    model = convert(network, 32, 2.0).SerializeToString()
    assert all(found.passed for found in parity.prove(network, model, pixels, metadata(2.0), None))
    for other, temperature in ((network, 1.9), (make_network("cnn", 3), 2.0)):
        assert not any(found.passed for found in parity.prove(other, model, pixels, metadata(temperature), None))


def test_another_unknown_score_is_no_proof(parity, make_network, pixels):
    network = make_network("simple", 3)
    chance, size = np.random.default_rng(3), network.get_layer("features").output.shape[-1]
    shapes = (size, (size, 4), (3, 4), (size, 0))
    head = DistanceHead(*(chance.normal(size=shape).astype(np.float32) for shape in shapes))
    model = convert(network, 32, 1.0, head).SerializeToString()
    assert all(found.passed for found in parity.prove(network, model, pixels, metadata(1.0, 5.0), head))
    elsewhere = replace(head, centres=head.centres + np.float32(1.0))
    many, _ = parity.prove(network, model, pixels, metadata(1.0, 5.0), elsewhere)
    assert (many.probabilities_passed, many.unknown.passed, many.passed) == (True, False, False)
