import pytest

from models.bundle import open_bundle
from models.errors import BundleError
from trainer.retrain.compare import ModelFile, default_file, measure_footprints, quickest


def test_the_default_model_of_a_bundle(bundle):
    manifest = open_bundle(bundle).manifest
    found = default_file(bundle)
    assert found.path == bundle / manifest.variants[manifest.default_variant].file
    assert found.size == 32


def test_a_model_is_about_as_quick_as_itself(bundle):
    model, told = default_file(bundle), []
    one, other = measure_footprints([model, model], lambda *at: told.append(at))
    assert one.bytes == other.bytes == model.path.stat().st_size
    assert 0.5 < one.images_per_s / other.images_per_s < 2
    assert told[-1] == (60, 60)


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(BundleError):
        measure_footprints([ModelFile(tmp_path / "no.onnx", 32)], lambda done, total: None)


def test_tasks_are_done_in_turns_and_the_first_round_does_not_count():
    now, done = [0.0], []
    took = {"old": iter([1.0, 5.0, 3.0, 4.0]), "new": iter([0.5, 2.0, 9.0, 9.0])}

    def task(name):
        def run():
            done.append(name)
            now[0] += next(took[name])

        return run

    assert quickest([task("old"), task("new")], 3, lambda done, total: None, lambda: now[0]) == [3.0, 2.0]
    assert done == ["old", "new"] * 4


def test_slow_tasks_are_done_five_times():
    now, told = [0.0], []

    def slow():
        now[0] += 7.0

    assert quickest([slow], 60, lambda *at: told.append(at), lambda: now[0]) == [7.0]
    assert now == [6 * 7.0]
    assert told[-1] == (60, 60)
