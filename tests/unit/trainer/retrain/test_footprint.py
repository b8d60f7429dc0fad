import pytest

from models.bundle import open_bundle
from models.errors import BundleError
from tests.paper_bundle import write_paper_bundle
from trainer.retrain.compare import measure_footprints, quickest


def test_a_model_is_about_as_quick_as_itself(bundle):
    manifest, told = open_bundle(bundle).manifest, []
    one, other = measure_footprints([bundle, bundle], lambda *at: told.append(at))
    assert one.bytes == other.bytes == (bundle / manifest.variants[manifest.default_variant].file).stat().st_size
    assert 0.5 < one.images_per_s / other.images_per_s < 2
    assert told[-1] == (60, 60)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(BundleError):
        measure_footprints([write_paper_bundle(tmp_path / "no-model", 1)], lambda done, total: None)


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
