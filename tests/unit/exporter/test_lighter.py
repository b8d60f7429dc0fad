from dataclasses import replace

import numpy as np
import pytest

from exporter.options import ExportOptions

VERSION = "20261121T000000Z"


def unseen(what, done, total): ...


@pytest.fixture(scope="module")
def run(small_run):
    from exporter.load_tensorflow import load_tensorflow
    from exporter.training_run import read_training_run

    load_tensorflow()
    return read_training_run(small_run)


@pytest.fixture(scope="module")
def model(run):
    import keras

    from exporter.graph import to_logits

    return to_logits(keras.saving.load_model(run.network, compile=False), 32, run.unknown)


@pytest.fixture
def int8(run, model):
    from exporter.lighter import make_int8

    return lambda **asked: make_int8(model, run, VERSION, ExportOptions(**asked), unseen)


@pytest.fixture
def float16(run, model):
    from exporter.lighter import make_float16

    return lambda changed=run, **asked: make_float16(model, changed, VERSION, ExportOptions(**asked))


def test_int8_has_a_temperature_thresholds_and_a_limit_of_its_own(int8, run):
    from models.session import open_session, read_metadata

    made = int8(max_drop=100.0)
    assert made.name == made.metadata.variant == "int8"
    assert made.metadata.temperature != run.confidence.temperature
    assert made.metadata.temperature == pytest.approx(run.confidence.temperature, rel=0.5)
    assert made.metadata.unknown.limit != run.confidence.unknown.limit
    assert made.metadata.unknown.limit == pytest.approx(run.confidence.unknown.limit, rel=0.5)
    assert read_metadata(open_session(made.model, "model.int8.onnx", 1), "model.int8.onnx") == made.metadata


def test_its_limit_keeps_as_many_of_the_known_as_it_says(int8, run):
    from exporter.onnx_says import onnx_says

    made = int8(max_drop=100.0)
    unknown = onnx_says(made.model, run.pixels).unknown
    assert (unknown <= made.metadata.unknown.limit + 1e-3).mean() >= made.metadata.unknown.kept


@pytest.mark.parametrize(("vnni", "bits"), [(False, 7), (True, 8)])
def test_the_manifest_says_whether_it_is_safe_without_vnni(int8, vnni, bits):
    listed = int8(max_drop=100.0, vnni=vnni).listed(ort=False)
    assert listed.quantization.weight_bits == bits
    assert listed.quantization.photos > 0
    assert (listed.file, listed.edge, listed.ort) == ("model.int8.onnx", None, None)


def test_int8_that_costs_too_much_is_refused_with_what_it_costs(int8, monkeypatch):
    from exporter import lighter
    from exporter.drop import Drop
    from exporter.int8.quantize import Ranges
    from exporter.int8.search import Attempt, Int8Search

    def cost(points, layers):
        drop = Drop(200, 0.8, 0.8 + points / 100, points, (points - 1, points + 1), 0.9)
        return Attempt(Ranges.MINMAX, layers, drop, 2.0)

    found = Int8Search(None, (cost(3.0, ()), cost(1.5, ("a",)), cost(2.0, ("a", "b"))), 32)
    monkeypatch.setattr(lighter, "find_int8", lambda *asked: found)
    refusal = int8(max_drop=0.5)
    assert refusal.name == "int8"
    assert refusal.reason == (
        "it loses 3.00 points of accuracy on 200 validation photos (95%: 2.00 to 4.00; 0.5 are allowed); it is 2.00 "
        "times as fast as float32. With a sensitive layer in floating point it loses 1.50 and is 2.00 times as fast as "
        "float32"
    )
    assert refusal.attempts == found.attempts


def test_int8_that_is_no_quicker_is_refused_for_that(int8, monkeypatch):
    from exporter import lighter
    from exporter.drop import Drop
    from exporter.int8.quantize import Ranges
    from exporter.int8.search import Attempt, Int8Search

    slow = Attempt(Ranges.MINMAX, (), Drop(200, 0.8, 0.8, 0.0, (-1.0, 1.0), 1.0), 0.75)
    monkeypatch.setattr(lighter, "find_int8", lambda *asked: Int8Search(None, (slow,), 32))
    assert int8().reason == (
        "it loses 0.00 points of accuracy on 200 validation photos (95%: -1.00 to 1.00; 0.5 are allowed); it is 0.75 "
        "times as fast as float32"
    )


def test_float16_takes_half_the_room_and_says_the_same(float16, run, model):
    from exporter.onnx_says import onnx_says
    from exporter.variant import finished

    made = float16()
    assert made.name == "float16"
    full = finished(model, made.metadata)
    assert len(made.model) < 0.6 * len(full)
    assert (
        np.abs(onnx_says(made.model, run.pixels).probabilities - onnx_says(full, run.pixels).probabilities).max() < 5e-3
    )
    assert made.cost.agreement > 0.98


def test_float16_that_costs_too_much_is_refused(float16, run):
    assert "points of accuracy" in float16(replace(run), max_drop=-101.0).reason
