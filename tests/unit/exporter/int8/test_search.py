from dataclasses import replace

import numpy as np
import pytest

from exporter.cost import Float32
from exporter.int8 import Attempt, Refusal, find_int8
from exporter.options import ExportOptions


def unseen(what, done, total): ...


@pytest.fixture(scope="module")
def keep(trained, to_logits, training, says, tmp_path_factory):
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
def steps():
    return []


@pytest.fixture(scope="module")
def passed(search, steps):
    return search(100.0, lambda *step: steps.append(step))


def test_one_that_passes_is_taken_and_progress_ends_before_its_total(passed, steps, trained, says):
    assert isinstance(passed, Attempt)
    assert passed.gain > 0
    assert passed.photos == 48
    accuracy = (says(passed.model, trained.pixels).probabilities.argmax(axis=1) == trained.labels).mean()
    assert passed.drop.accuracy == pytest.approx(accuracy)
    assert passed.drop.photos == len(trained.pixels)
    assert passed.drop.compared == len(trained.pixels) + 48, "training photos too, that gave no ranges"
    assert steps == [("Quantizing", 0, 3), ("Quantizing", 1, 3), ("Quantizing", 2, 3)]


def test_a_model_that_always_loses_too_much_is_refused(search):
    tried = []
    assert isinstance(search(-101.0, lambda *step: tried.append(step)), Refusal)
    assert tried == [("Quantizing", 0, 3), ("Quantizing", 1, 3), ("Quantizing", 2, 3)]


def test_an_accurate_model_that_is_not_faster_is_refused(search):
    assert isinstance(search(100.0, min_gain=1e9), Refusal)


def test_too_few_training_photos_are_refused(keep):
    assert isinstance(find_int8(keep(15), ExportOptions(), unseen), Refusal)


@pytest.mark.rest
def test_a_block_is_not_cut_in_two(keep, make_network, says):
    """MobileNetV3's second convolution is in a block that adds the first one's output: it cannot be float alone."""
    from exporter.graph import to_logits

    few = keep(32)
    network = make_network("mobilenet_v3_large", len(few.run.classes))
    for layer in network.layers:
        if layer.name.endswith("bn"):
            layer.momentum = 0.0  # of these photos: with random weights and norms, values fade to a constant
    network(few.photos, training=True)
    model = to_logits(network, 32)
    source = replace(few, model=model, scores=says(model, few.photos))
    found = find_int8(source, ExportOptions(max_drop=100.0), unseen, min_gain=0.0)
    assert isinstance(found, Attempt)
    assert len(found.float_layers) < 2
