from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from exporter.cost import Drop
from exporter.int8.quantize import QuantizeError, Ranges
from exporter.int8.search import Attempt, find_int8, why_refused
from exporter.options import ExportOptions


def unseen(what, done, total): ...


@pytest.fixture(scope="module")
def keep(trained, training, tmp_path_factory):
    """The run, with so many training photos."""

    def keeping(count):
        file = tmp_path_factory.mktemp("sample") / "train_sample.npz"
        np.savez(file, pixels=training[:count], labels=np.zeros(count, int))
        return replace(trained, sample=file)

    return keeping


@pytest.fixture(scope="module")
def few(keep):
    return keep(96)


@pytest.fixture(scope="module")
def search(to_logits, few):
    def find(max_drop, advance=unseen, min_gain=0.0):
        return find_int8(to_logits, few, ExportOptions(max_drop=max_drop), advance, min_gain)

    return find


@pytest.fixture(scope="module")
def passed(search):
    return search(100.0)


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def refused(search, told):
    """Nobody loses less than all there is to lose."""
    return search(-101.0, lambda *step: told.append(step))


def test_the_first_that_passes_ends_the_search(passed, trained, says):
    (attempt,) = passed.attempts
    assert attempt.float_layers == ()
    assert passed.photos == 48
    accuracy = (says(passed.model, trained.pixels).probabilities.argmax(axis=1) == trained.labels).mean()
    assert attempt.drop.accuracy == pytest.approx(accuracy)
    assert attempt.drop.photos == len(trained.pixels)
    assert attempt.gain > 0


def test_a_model_that_costs_too_much_is_refused_after_more_and_more_layers_were_left_alone(refused):
    assert refused.model is None
    counts = [len(attempt.float_layers) for attempt in refused.attempts]
    assert counts == [0, 1, 2, 4]
    for fewer, more in pairwise(refused.attempts):
        assert set(fewer.float_layers) < set(more.float_layers)


def test_a_model_that_is_no_quicker_is_refused_however_right_it_is(search):
    assert search(100.0, min_gain=1e9).model is None


def test_the_layer_that_goes_first_is_the_one_that_moves_the_probabilities_most(to_logits, few):
    """A network is made in which rounding one layer hurts: one of its weights dwarfs the others of its channel."""
    import onnx
    from onnx import numpy_helper

    spoiled = onnx.ModelProto.FromString(to_logits.SerializeToString())
    convolutions = [node for node in spoiled.graph.node if node.op_type == "Conv"]
    victim = convolutions[4]
    (array,) = (array for array in spoiled.graph.initializer if array.name == victim.input[1])
    weights = numpy_helper.to_array(array).copy()
    weights[:, 0, 0, 0] = 60 * np.abs(weights).max()
    array.CopyFrom(numpy_helper.from_array(weights, array.name))
    found = find_int8(spoiled, few, ExportOptions(max_drop=-101.0), unseen, min_gain=0.0)
    assert found.attempts[1].float_layers == (victim.name,)


def test_progress_is_told_and_ends_before_its_total(refused, told):
    assert refused.model is None
    assert {what for what, _, _ in told} == {"Finding ranges", "Measuring layers"}
    assert all(0 <= done < total for _, done, total in told)


def test_too_few_training_photos_are_refused(to_logits, keep):
    with pytest.raises(QuantizeError, match=r"it takes 16 training photos .* the run keeps 15"):
        find_int8(to_logits, keep(15), ExportOptions(), unseen)


def attempt(points, gain, *layers):
    drop = Drop(200, 0.8, 0.8 + points / 100, points, (points - 1, points + 1), 0.9)
    return Attempt(Ranges.MINMAX, layers, drop, gain)


FIRST = (
    "it loses 3.00 points of accuracy on 200 validation photos (95%: 2.00 to 4.00; 0.5 are allowed); it is 2.00 times "
    "as fast as float32 in the network"
)


@pytest.mark.parametrize(
    ("attempts", "reason"),
    [
        ((), "it has no layers that would be quicker with integers"),
        ((attempt(3.0, 2.0),), FIRST),
        (
            (attempt(3.0, 2.0), attempt(1.5, 1.75, "a"), attempt(2.0, 1.5, "a", "b")),
            f"{FIRST}. With a sensitive layer in floating point it loses 1.50 and is 1.75 times as fast as float32 "
            "in the network",
        ),
        (
            (attempt(3.0, 2.0), attempt(3.5, 1.75, "a"), attempt(2.0, 1.5, "a", "b")),
            f"{FIRST}. With 2 sensitive layers in floating point it loses 2.00 and is 1.50 times as fast as float32 "
            "in the network",
        ),
        (
            (attempt(3.0, 2.0), attempt(4.0, 1.0, "a")),
            f"{FIRST}. Leaving sensitive layers in floating point did not help",
        ),
    ],
)
def test_the_reason_says_what_was_lost_and_what_leaving_layers_alone_came_to(attempts, reason):
    assert why_refused(attempts, 0.5) == reason
