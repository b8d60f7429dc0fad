from dataclasses import replace

import numpy as np
import pytest

from exporter.cost import Drop, Float32
from exporter.int8.quantize import QuantizeError
from exporter.int8.search import Attempt, find_int8, why_refused
from exporter.options import ExportOptions


def unseen(what, done, total): ...


@pytest.fixture(scope="module")
def keep(trained, to_logits, training, says, tmp_path_factory):
    """The float32 model of the run, with so many training photos."""

    def keeping(count):
        file = tmp_path_factory.mktemp("sample") / "train_sample.npz"
        np.savez(file, pixels=training[:count], labels=np.zeros(count, int), groups=np.arange(count))
        run = replace(trained, sample=file)
        photos = run.compared_pixels()
        return Float32(to_logits, photos, says(to_logits, photos), run, "20261121T000000Z")

    return keeping


@pytest.fixture(scope="module")
def search(keep):
    few = keep(96)

    def find(max_drop, advance=unseen, min_gain=0.0):
        return find_int8(few, ExportOptions(max_drop=max_drop), advance, min_gain)

    return find


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def passed(search, told):
    return search(100.0, lambda *step: told.append(step))


def test_the_quickest_of_those_that_pass_is_taken(passed, trained, says):
    assert [len(attempt.float_layers) for attempt in passed.attempts] == [0, 1, 2]
    assert passed.chosen.gain == max(attempt.gain for attempt in passed.attempts) > 0
    assert passed.photos == 48
    accuracy = (says(passed.model, trained.pixels).probabilities.argmax(axis=1) == trained.labels).mean()
    assert passed.chosen.drop.accuracy == pytest.approx(accuracy)
    assert passed.chosen.drop.photos == len(trained.pixels)


def test_labels_are_compared_on_training_photos_too_that_gave_no_ranges(passed, trained):
    assert {attempt.drop.compared for attempt in passed.attempts} == {len(trained.pixels) + 48}


def test_a_model_that_costs_too_much_is_refused_whatever_stays_in_floating_point(search):
    """Nobody loses less than all there is to lose."""
    refused = search(-101.0)
    assert (refused.model, refused.chosen) == (None, None)
    assert [len(attempt.float_layers) for attempt in refused.attempts] == [0, 1, 2]


def test_a_model_that_is_no_quicker_is_refused_however_right_it_is(search):
    assert search(100.0, min_gain=1e9).model is None


def test_progress_is_told_and_ends_before_its_total(passed, told):
    assert passed.model is not None
    assert told == [("Quantizing", 0, 3), ("Quantizing", 1, 3), ("Quantizing", 2, 3)]


def test_too_few_training_photos_are_refused(keep):
    with pytest.raises(QuantizeError, match=r"it takes 16 training photos .* the run keeps 15"):
        find_int8(keep(15), ExportOptions(), unseen)


def test_a_block_is_not_cut_in_two(keep, make_network, says):
    """MobileNetV3's second convolution is in a block that adds what the first one gave: it cannot be float alone."""
    from exporter.graph import to_logits

    few = keep(32)
    network = make_network("mobilenet_v3_large", len(few.run.classes))
    for layer in network.layers:
        if layer.name.endswith("bn"):
            layer.momentum = 0.0  # of these photos: with random weights and norms, values fade to a constant
    network(few.photos, training=True)
    model = to_logits(network, 32)
    found = find_int8(
        replace(few, model=model, scores=says(model, few.photos)), ExportOptions(max_drop=100.0), unseen, min_gain=0.0
    )
    assert [len(attempt.float_layers) for attempt in found.attempts] == [0, 1]
    assert found.model is not None


def attempt(estimate, gain, *layers):
    drop = Drop(200, 0.8, 0.83, 3.0, (2.0, 4.0), 500, 0.95, estimate)
    return Attempt(layers, drop, gain)


LOSES = (
    "it loses about {} points of accuracy, and 0.5 are allowed (5.0% of 500 photos change their label; 3.00 lost on "
    "200 validation photos, 95% interval of the loss: 2.00 to 4.00); it is {} times as fast as float32 in the network"
)


@pytest.mark.parametrize(
    ("attempts", "reason"),
    [
        ((), "it has no layers that would be quicker with integers"),
        ((attempt(2.5, 2.0), attempt(3.0, 1.75, "a")), LOSES.format("2.50", "2.00")),
        (
            (attempt(2.5, 2.0), attempt(2.25, 1.75, "a"), attempt(3.0, 1.5, "a", "b")),
            LOSES.format("2.25", "1.75") + ", with 1 layer in floating point",
        ),
        (
            (attempt(0.25, 0.5), attempt(0.5, 0.75, "a"), attempt(0.375, 0.875, "a", "b")),
            "it loses about 0.38 points of accuracy; it is 0.88 times as fast as float32 in the network, with 2 "
            "layers in floating point",
        ),
    ],
)
def test_the_reason_is_that_of_the_best_attempt(attempts, reason):
    assert why_refused(attempts, 0.5) == reason
