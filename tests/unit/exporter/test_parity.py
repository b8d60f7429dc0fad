"""ONNX Runtime against Keras: agreement, differences, and how both run."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

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


def test_equals_agree(compare):
    found = compare(KERAS, KERAS.copy())
    assert found.passed
    assert (found.photos, found.largest, found.mean, found.flips, found.near_ties) == (3, 0.0, 0.0, (), 0)
    assert not compare(KERAS[:0], KERAS[:0]).passed


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


@given(st.data())
def test_a_flip_is_never_a_near_tie_and_always_a_changed_label(compare, data):
    rows = st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3)
    pairs = data.draw(st.lists(st.tuples(rows, rows), min_size=1, max_size=8))
    expected, got = np.array(pairs, np.float32).swapaxes(0, 1)
    found = compare(expected, got)
    changed = [(a, b) for a, b in zip(expected.argmax(axis=1), got.argmax(axis=1), strict=True) if a != b]
    assert set(found.flips) <= set(changed)
    assert len(changed) - found.near_ties <= len(found.flips) <= len(changed)
    assert not (found.passed and found.flips)


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


@given(st.data())
def test_a_photo_that_crosses_is_never_near_and_always_on_the_other_side(compare_unknown, data):
    scores = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=8)
    expected = np.array(data.draw(scores), np.float32)
    got = np.array(data.draw(st.lists(st.floats(-100, 100, width=32), min_size=len(expected), max_size=len(expected))))
    limit = data.draw(st.floats(-100, 100, width=32))
    found = compare_unknown(expected, got.astype(np.float32), limit)
    other_side = int(((expected <= limit) != (got <= limit)).sum())
    assert other_side - found.near_limit <= found.crossed <= other_side
    assert not (found.passed and found.crossed)


@pytest.mark.parametrize(("unknown", "probabilities", "passed"), [(0, 0, True), (2, 0, False), (0, 0.1, False)])
def test_all_passes_when_both_do(parity, unknown, probabilities, passed):
    expected = Scores(KERAS, UNKNOWN[:3])
    got = Scores(moved(probabilities), UNKNOWN[:3] + np.float32(unknown))
    assert parity.compare(expected, got, limit=100.0).passed is passed
    assert parity.compare(expected, got, limit=None).unknown is None


@pytest.fixture(scope="module")
def counting_model():
    """An ONNX model whose two columns are the batch's size and the sum of a photo's pixels."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 2, 2, 3])
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["floats", "axes"], ["sums"], keepdims=0),
        helper.make_node("Unsqueeze", ["sums", "last"], ["column"]),
        helper.make_node("Shape", ["column"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "last"], ["size"]),
        helper.make_node("Cast", ["size"], ["batch_size"], to=TensorProto.FLOAT),
        helper.make_node("Expand", ["batch_size", "shape"], ["sizes"]),
        helper.make_node("Concat", ["sizes", "column"], ["probabilities"], axis=1),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
    ]
    graph = helper.make_graph(nodes, "counting", [image], [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()


@pytest.mark.parametrize(
    ("batch", "sizes"), [(32, [32] * 64 + [6] * 6), (1, [1] * 70), (70, [70] * 70), (99, [70] * 70)]
)
def test_photos_are_run_in_batches_and_answered_in_order(parity, counting_model, batch, sizes):
    pixels = np.arange(70, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    said = parity.onnx_scores(counting_model, pixels, batch)
    assert said.probabilities[:, 0].tolist() == sizes
    assert said.probabilities[:, 1].tolist() == (np.arange(70) * 12).tolist()
    assert said.unknown is None


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
