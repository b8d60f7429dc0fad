import subprocess
import sys
from dataclasses import replace

import pytest

from models.benchmark import child
from models.benchmark.child import Turn
from models.benchmark.measure import Effort, Figures, Speed, measure, take_turn
from models.errors import BundleError
from tests.unit.models.benchmark.colours import QUICK, SIZE, model_bytes


@pytest.fixture
def square(manifest, tmp_path):
    place = tmp_path / "model.onnx"
    place.write_bytes(model_bytes(manifest, "float32", 0.0))
    return place


@pytest.fixture
def edge(manifest, tmp_path):
    place = tmp_path / "edge.onnx"
    place.write_bytes(model_bytes(manifest, "float32", 0.0, edge=True))
    return place


def turn_of(file):
    return Turn(str(file), (SIZE, SIZE), edge=False, threads=(1,), calls=5, batches=2, seconds=1.0)


def test_figures_of_a_real_process_are_what_they_can_be(square, edge):
    seen = []
    both = measure({"float32": square}, SIZE, {"float32": edge}, QUICK, (1, 2), lambda *so_far: seen.append(so_far))
    assert [(row.variant, row.file, row.edge) for row in both] == [
        ("float32", "model.onnx", False),
        ("float32", "edge.onnx", True),
    ]
    assert [row.bytes for row in both] == [square.stat().st_size, edge.stat().st_size]
    for row in both:
        assert row.peak_memory_mb >= row.baseline_memory_mb > 5
        assert row.load_ms > 0
        assert [speed.threads for speed in row.speeds] == [1, 2]
        assert all(0 < speed.p50_ms <= speed.p95_ms for speed in row.speeds)
        assert all((speed.images_per_s is None) == row.edge for speed in row.speeds)
    assert seen == [(1, 2), (2, 2)]


def test_models_take_turns_and_every_second_round_is_backwards(square, edge):
    turns = []

    def take(turn):
        turns.append(turn)
        return figures(1.0)

    measure({"float32": square}, SIZE, {"float32": edge}, replace(QUICK, rounds=3), (1,), take=take)
    files = [str(square), str(edge)]
    assert [turn.file for turn in turns] == [*files, *reversed(files), *files]
    assert {(turn.edge, turn.size) for turn in turns} == {(False, (SIZE, SIZE)), (True, (640, 480))}


def figures(ms: float, load: float = 10.0) -> Figures:
    speed = Speed(threads=1, p50_ms=ms, p95_ms=3 * ms, images_per_s=1000 / ms)
    return Figures(load_ms=load, baseline_memory_mb=40.0, peak_memory_mb=60.0, speeds=(speed,))


def test_one_noisy_round_changes_nothing(square):
    rounds = iter([figures(2.0), figures(2000.0, load=9000.0), figures(2.0)])
    (row,) = measure({"float32": square}, SIZE, {}, replace(QUICK, rounds=3), (1,), take=lambda turn: next(rounds))
    (speed,) = row.speeds
    assert (speed.p50_ms, speed.p95_ms, speed.images_per_s, row.load_ms) == (2.0, 6.0, 500.0, 10.0)


@pytest.mark.parametrize(("seconds", "calls"), [(60.0, 5), (0.0, 1)])
def test_a_turn_ends_with_its_calls_or_with_its_time(square, monkeypatch, seconds, calls):
    made = []

    class Session:
        def run(self, _outputs, inputs):
            made.append(len(inputs["image"]))

    monkeypatch.setattr(child, "bare_session", lambda data, threads: Session())
    (speed,) = child.take(replace(turn_of(square), seconds=seconds))["speeds"]
    warm = 2
    assert (made.count(1), made.count(child.BATCH)) == (warm + calls, warm + min(calls, 2))
    assert 0 < speed["p50_ms"] <= speed["p95_ms"]


def test_memory_is_of_the_model(square, manifest, tmp_path):
    large = tmp_path / "large.onnx"
    large.write_bytes(model_bytes(manifest, "float32", 0.0, weight=10_000_000))
    small, more = take_turn(turn_of(square)), take_turn(turn_of(large))
    assert more.peak_memory_mb - small.peak_memory_mb > 35
    assert abs(more.baseline_memory_mb - small.baseline_memory_mb) < 10


def test_the_process_that_measures_is_bare():
    code = "import sys, models.benchmark.child; print([m for m in ('pydantic', 'PIL', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("data", [b"", b"no model"])
def test_a_broken_model_is_refused_by_name(tmp_path, data):
    (tmp_path / "broken.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"Expected to measure .*broken\.onnx, .* ended with status 1: .*; check it"):
        measure({"float32": tmp_path / "broken.onnx"}, SIZE, effort=Effort(1, 1, 1, 0.0))
