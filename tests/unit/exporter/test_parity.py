import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from exporter.parity import class_probabilities, compare, compare_scores, compare_unknown
from exporter.prove import onnx_scores
from models.classifier import Scores

KERAS = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3]], np.float32)


def moved(by, photo=0, label=0):
    got = KERAS.copy()
    got[photo, label] += by
    return got


def test_equals_agree():
    parity = compare(KERAS, KERAS.copy())
    assert parity.passed
    assert (parity.photos, parity.largest, parity.mean, parity.flips, parity.near_ties) == (3, 0.0, 0.0, (), ())


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("by", "passed"), [(0.25, True), (0.251, False), (0.249, True)])
def test_the_largest_difference_may_reach_the_tolerance(by, passed, sign):
    parity = compare(KERAS, moved(sign * by, photo=1, label=2), tolerance=float(np.float32(0.1) + np.float32(0.15)))
    assert parity.largest == pytest.approx(by, abs=1e-6)
    assert parity.passed is passed


def test_the_tolerance_is_a_ten_thousandth():
    assert compare(KERAS, moved(0.9e-4)).passed
    assert not compare(KERAS, moved(1.1e-4)).passed


def test_the_mean_is_over_every_probability():
    assert compare(KERAS, moved(0.09)).mean == pytest.approx(0.01)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_never_passes(wrong):
    assert not compare(KERAS, moved(wrong)).passed
    assert not compare(KERAS, moved(wrong), tolerance=1e9).passed


def test_not_a_number_on_both_sides_never_passes():
    both = moved(np.nan)
    assert not compare(both, both.copy()).passed


def test_no_photos_prove_nothing():
    assert not compare(KERAS[:0], KERAS[:0]).passed


def test_a_changed_label_is_a_flip():
    got = KERAS[:, [1, 0, 2]]
    parity = compare(KERAS, got, tolerance=0.01)
    assert parity.flips == (0, 1, 2)
    assert parity.changed == tuple(zip(KERAS.argmax(axis=1).tolist(), got.argmax(axis=1).tolist(), strict=True))
    parity = compare(KERAS[:1], np.array([[0.3, 0.6, 0.1]], np.float32), tolerance=0.2)
    assert parity.flips == (0,)
    assert not parity.passed


def test_a_near_tie_may_go_either_way():
    keras = np.array([[0.40004, 0.4, 0.19996], [0.7, 0.2, 0.1]], np.float32)
    onnx = np.array([[0.4, 0.40004, 0.19996], [0.7, 0.2, 0.1]], np.float32)
    parity = compare(keras, onnx)
    assert parity.flips == ()
    assert [tie.index for tie in parity.near_ties] == [0]
    assert parity.near_ties[0].margin == pytest.approx(4e-5, abs=1e-6)
    assert parity.passed


def test_a_near_tie_is_within_twice_the_tolerance_in_keras():
    keras = np.array([[0.5001, 0.4999], [0.50011, 0.49989]], np.float64)
    assert [tie.index for tie in compare(keras, keras).near_ties] == [0]


@given(st.data())
def test_a_flip_is_never_a_near_tie_and_always_a_changed_label(data):
    rows = st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3)
    pairs = data.draw(st.lists(st.tuples(rows, rows), min_size=1, max_size=8))
    expected, got = np.array(pairs, np.float32).swapaxes(0, 1)
    parity = compare(expected, got, data.draw(st.floats(1e-6, 1.0)))
    ties = {tie.index for tie in parity.near_ties}
    changed = set(np.flatnonzero(expected.argmax(axis=1) != got.argmax(axis=1)))
    assert set(parity.flips) == changed - ties
    assert not (parity.passed and changed - ties)


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
def test_photos_are_run_in_batches_and_answered_in_order(counting_model, batch, sizes):
    pixels = np.arange(70, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    said = onnx_scores(counting_model, pixels, batch)
    assert said.probabilities[:, 0].tolist() == sizes
    assert said.probabilities[:, 1].tolist() == (np.arange(70) * 12).tolist()
    assert said.unknown is None


def test_a_sigmoid_is_the_probability_of_the_second_class():
    assert class_probabilities(np.array([[0.25], [1.0]], np.float32)).tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert class_probabilities(KERAS) is KERAS


UNKNOWN = np.array([10.0, 20.0, 30.0, -20.0], np.float32)


@pytest.mark.parametrize(("part", "passed"), [(0.0, True), (0.9e-2, True), (-0.9e-2, True), (1.1e-2, False)])
def test_an_unknown_score_may_be_off_by_a_hundredth_of_its_size(part, passed):
    got = UNKNOWN * np.array([1, 1, 1 + part, 1], np.float32)
    parity = compare_unknown(UNKNOWN, got, limit=15.0)
    assert parity.passed is passed
    assert parity.largest == pytest.approx(abs(part), abs=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_an_unknown_score_that_is_no_number_never_passes(wrong):
    assert not compare_unknown(UNKNOWN, UNKNOWN * np.array([1, wrong, 1, 1], np.float32), limit=15.0).passed
    assert not compare_unknown(np.full(1, wrong, np.float32), np.full(1, wrong, np.float32), limit=15.0).passed


def test_photos_that_cross_the_limit_are_named_unless_they_are_near_it():
    got = UNKNOWN.copy()
    got[[0, 2]] = [16.0, 14.0]
    parity = compare_unknown(UNKNOWN, got, limit=15.0, tolerance=1.0)
    assert (parity.crossed, parity.near_limit) == ((), (0, 1, 2, 3))
    parity = compare_unknown(UNKNOWN, got, limit=15.0, tolerance=0.1)
    assert (parity.crossed, parity.near_limit) == ((0, 2), ())
    assert not parity.passed


def test_a_score_at_the_limit_may_be_on_either_side():
    expected, got = np.array([15.0001, 30.0], np.float32), np.array([14.9999, 30.0], np.float32)
    parity = compare_unknown(expected, got, limit=15.0)
    assert (parity.crossed, parity.near_limit) == ((), (0,))
    assert parity.passed


@given(st.data())
def test_a_photo_that_crosses_is_never_near_and_always_on_the_other_side(data):
    scores = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=8)
    expected = np.array(data.draw(scores), np.float32)
    got = np.array(data.draw(st.lists(st.floats(-100, 100, width=32), min_size=len(expected), max_size=len(expected))))
    limit = data.draw(st.floats(-100, 100, width=32))
    parity = compare_unknown(expected, got.astype(np.float32), limit, data.draw(st.floats(1e-6, 1.0)))
    other_side = set(np.flatnonzero((expected <= limit) != (got <= limit)))
    assert set(parity.crossed) == other_side - set(parity.near_limit)
    assert not (parity.passed and parity.crossed)


@pytest.mark.parametrize(("unknown", "probabilities", "passed"), [(0, 0, True), (2, 0, False), (0, 0.1, False)])
def test_all_passes_when_both_do(unknown, probabilities, passed):
    expected = Scores(KERAS, UNKNOWN[:3])
    got = Scores(moved(probabilities), UNKNOWN[:3] + np.float32(unknown))
    parity = compare_scores(expected, got, limit=100.0)
    assert parity.unknown is not None
    assert parity.passed is passed
    assert compare_scores(expected, got, limit=None).unknown is None


def test_what_is_no_number_passes_no_tolerance():
    assert not compare(KERAS, KERAS * np.nan, float("inf")).passed
