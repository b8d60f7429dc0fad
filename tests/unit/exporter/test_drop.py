from itertools import pairwise

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.cost import drop, expected_loss, speed_gain
from models.statistics.calibration import calibrated


def says(*labels):
    return np.eye(3, dtype=np.float32)[list(labels)]


def test_points_are_of_the_photos_that_are_no_longer_right():
    cost = drop(says(0, 1, 2, 0), says(0, 1, 0, 1), np.array([0, 1, 2, 2]))
    assert (cost.photos, cost.reference, cost.accuracy, cost.points) == (4, 0.75, 0.5, 25.0)
    assert (cost.compared, cost.agreement) == (4, 0.5)
    low, high = cost.points_95
    assert low < 25.0 < high


def variant(photos, lost=0, won=0, changed=0, others=0, changed_others=0, expected=0.0):
    before = [0] * (photos - won - changed) + [1] * (won + changed) + [0] * others
    after = [1] * lost + [0] * (photos - lost - won - changed) + [0] * won + [2] * changed
    after += [1] * changed_others + [0] * (others - changed_others)
    return drop(says(*before), says(*after), np.zeros(photos, int), expected)


@pytest.mark.parametrize("lost", [0, 1, 3, 9])
@pytest.mark.parametrize("won", [0, 3])
def test_a_variant_with_a_large_expected_loss_cannot_pass_by_luck_on_thirty_photos(lost, won):
    assert "points of accuracy" in variant(30, lost, won, expected=0.015).too_much(0.5)


@pytest.mark.parametrize("lost", [6, 12])
def test_what_is_expected_excuses_no_loss_that_many_photos_show(lost):
    assert variant(341, lost, expected=0.0005).too_much(0.5)


def logits_of(photos, chance, lead):
    exact = chance.normal(0, 1, (photos, 3)) + chance.exponential(lead, (photos, 1)) * [1, 0, 0]
    return exact, exact + chance.normal(0, 0.2, exact.shape)


def test_the_expected_loss_is_of_unseen_photos_when_training_labels_hardly_change():
    chance = np.random.default_rng(0)
    learned, rounded = logits_of(500, chance, lead=40)
    unseen, unseen_rounded = logits_of(20_000, chance, lead=4)
    likely = calibrated(unseen, 1.0)
    rows, before, after = np.arange(len(unseen)), unseen.argmax(axis=1), unseen_rounded.argmax(axis=1)
    true = float(np.mean(likely[rows, before] - likely[rows, after]))
    found = expected_loss(learned, rounded, unseen[:300])
    changed = np.mean(before != after)
    assert np.mean(learned.argmax(axis=1) != rounded.argmax(axis=1)) < changed / 4
    assert found == pytest.approx(true, rel=0.5)
    assert found < changed / 5


def busy(layers):
    value = helper.make_tensor_value_info
    names = [f"x{number}" for number in range(layers + 1)]
    nodes = [helper.make_node("Cast", ["image"], ["flat"], to=TensorProto.FLOAT)]
    nodes.append(helper.make_node("ReduceMean", ["flat", "axes"], [names[0]], keepdims=0))
    nodes += [helper.make_node("MatMul", [a, "w"], [b]) for a, b in pairwise(names)]
    constants = [
        numpy_helper.from_array(np.array([1], np.int64), "axes"),
        numpy_helper.from_array(np.eye(256, dtype=np.float32), "w"),
    ]
    ends = (
        [value("image", TensorProto.UINT8, ["batch", 2, 64, 256])],
        [value(names[-1], TensorProto.FLOAT, ["batch", 64, 256])],
    )
    graph = helper.make_graph(nodes, "busy", *ends, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()


PIXELS = np.zeros((3, 2, 64, 256), np.uint8)


def test_a_model_with_a_tenth_of_the_work_is_quicker_and_the_other_way_round():
    assert speed_gain(busy(40), busy(2), PIXELS, rounds=3) > 2
    assert speed_gain(busy(2), busy(40), PIXELS, rounds=3) < 0.5
