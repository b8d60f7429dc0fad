import pytest

from models.benchmark.turn import ThreadTimes, TurnFigures
from models.bundle import open_bundle
from trainer.retrain.footprint import ModelFile, default_file, measure_footprints


def test_the_default_model_of_a_bundle(bundle):
    manifest = open_bundle(bundle).manifest
    found = default_file(bundle)
    assert found.path == bundle / manifest.variants[manifest.default_variant].file
    assert found.size == 32


def test_both_are_measured_in_turns_each_at_its_own_size(tmp_path):
    models = [ModelFile(tmp_path / "old.onnx", 96), ModelFile(tmp_path / "new.onnx", 128)]
    for model in models:
        model.path.write_bytes(b"x" * model.size)
    asked, told = [], []

    def take(turn):
        asked.append((turn.file.removeprefix(f"{tmp_path}/"), turn.size, turn.threads))
        slow = 100.0 if len(asked) > 2 else 1.0
        return TurnFigures(1.0, 1.0, 1.0, (ThreadTimes(1, (1.0,), (slow * 640.0, slow * 320.0)),))

    old, new = measure_footprints(models, lambda *at: told.append(at), take)
    assert asked == [
        (name, (size, size), (1,))
        for name, size in [("old.onnx", 96), ("new.onnx", 128), ("new.onnx", 128)]
        + [("old.onnx", 96)] * 2
        + [("new.onnx", 128)]
    ]
    assert told[-1] == (6, 6)
    assert (old.bytes, new.bytes) == (96, 128)
    assert (old.images_per_s, new.images_per_s) == (pytest.approx(100), pytest.approx(100))
