import shutil
from pathlib import Path

import pytest

from models.classifier import load
from models.errors import BundleError
from tests.photo_jobs import verified_pin
from tests.variants import falsify
from worker.job.job import ModelPin
from worker.request import JobOptions


def test_a_pin_names_the_model_for_ever(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load(bundle)
    monkeypatch.chdir(bundle.parent)
    assert verified_pin(Path(bundle.name)) == ModelPin(
        path=str(bundle.resolve()),
        reference=classifier.reference,
        variant="float32",
        digest=classifier.digest,
        precision=0.90,
    )


def test_a_bundle_whose_golden_samples_disagree_is_refused(tmp_path: Path, bundle: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (copy / "golden" / "exif-rotated.jpg").write_bytes((copy / "golden" / "non-square.jpg").read_bytes())
    assert load(copy).digest == load(bundle).digest, "loading alone does not look at golden samples"
    with pytest.raises(BundleError, match=r"exif-rotated\.jpg"):
        verified_pin(copy)


def test_the_bundles_default_is_taken_unless_a_variant_is_named(int8_bundle: Path) -> None:
    assert verified_pin(int8_bundle).variant == "int8"
    assert verified_pin(int8_bundle, JobOptions(variant="float32")).variant == "float32"


def test_a_variant_that_disagrees_is_refused_and_the_other_is_named(tmp_path: Path, int8_bundle: Path) -> None:
    false_int8 = shutil.copytree(int8_bundle, tmp_path / "false")
    falsify(false_int8, "int8")
    for variant in ("auto", "int8"):
        with pytest.raises(BundleError, match=r"false/model\.int8\.onnx \(int8\).* differ by .* --variant float32"):
            verified_pin(false_int8, JobOptions(variant=variant))
    assert verified_pin(false_int8, JobOptions(variant="float32")).variant == "float32"
