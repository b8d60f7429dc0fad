import json
import shutil
from pathlib import Path

import pytest

from models.errors import BundleError, JobError
from models.manifest import AUTO
from models.storage.storage import FolderStorage
from worker.job.jobs import BundleStore
from worker.job.model import verified_pin
from worker.job.spec import ModelPin
from worker.queue.runner import LoadedModels
from worker.request import JobOptions


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(FolderStorage(tmp_path / "_bundles"))


@pytest.fixture
def pins(store: BundleStore, tmp_path: Path, bundle: Path) -> list[ModelPin]:
    """Three models that differ in nothing but their digests; all are kept."""
    shutil.copytree(bundle, tmp_path / "copy")
    manifest = tmp_path / "copy" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text())))
    models = [bundle, bundle / "model.onnx", tmp_path / "copy"]
    pins = [verified_pin(model) for model in models]
    for model, pin in zip(models, pins, strict=True):
        store.put(model, pin.digest)
    assert len({pin.digest for pin in pins}) == 3
    return pins


def test_a_model_is_loaded_once(store: BundleStore, pins: list[ModelPin]) -> None:
    models = LoadedModels(store, kept=3)
    first = [models.get(pin) for pin in pins]
    assert [model.digest for model in first] == [pin.digest for pin in pins]
    assert all(models.get(pin) is model for pin, model in zip(pins, first, strict=True))


def test_each_precision_and_each_threshold_has_a_model_of_its_own(store: BundleStore, sure_bundle: Path) -> None:
    options = [JobOptions(precision=0.98), JobOptions(), JobOptions(threshold=0.5), JobOptions(threshold=0.6)]
    pin = verified_pin(sure_bundle, options[0])
    store.put(sure_bundle, pin.digest)
    models = LoadedModels(store, kept=4)
    loaded = [models.get(pin, asked) for asked in options]
    assert [model.precision for model in loaded] == [0.98, 0.90, None, None]
    assert [model.threshold for model in loaded] == [None, None, 0.5, 0.6]
    assert all(models.get(pin, asked) is model for asked, model in zip(options, loaded, strict=True))


def test_the_least_recently_used_goes_first(store: BundleStore, pins: list[ModelPin]) -> None:
    models = LoadedModels(store, kept=2)
    a, b = models.get(pins[0]), models.get(pins[1])
    assert models.get(pins[0]) is a
    c = models.get(pins[2])
    assert models.get(pins[0]) is a
    assert models.get(pins[2]) is c
    assert models.get(pins[1]) is not b


def test_a_model_that_is_not_the_pinned_one_is_refused(store: BundleStore, tmp_path: Path, pins) -> None:
    root = tmp_path / "_bundles"
    shutil.rmtree(root / pins[0].digest)
    (root / pins[2].digest).rename(root / pins[0].digest)
    with pytest.raises(JobError, match=r"pinned to .*, but .* now holds"):
        LoadedModels(store, kept=1).get(pins[0])


def test_a_model_whose_golden_samples_disagree_is_refused(store: BundleStore, tmp_path: Path, pins) -> None:
    golden = tmp_path / "_bundles" / pins[0].digest / "golden"
    (golden / "exif-rotated.jpg").write_bytes((golden / "non-square.jpg").read_bytes())
    models = LoadedModels(store, kept=1)
    for _ in range(2):
        with pytest.raises(BundleError, match=r"exif-rotated\.jpg"):
            models.get(pins[0])
