import shutil
from pathlib import Path

import pytest

from models.classifier import load
from models.errors import BundleError, JobError
from worker.job import JobOptions, ModelPin
from worker.model import load_pinned, verified_pin


def test_a_pin_names_the_model_for_ever(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load(bundle)
    monkeypatch.chdir(bundle.parent)
    assert verified_pin(Path(bundle.name), None) == ModelPin(
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
        verified_pin(copy, None)


def test_a_pin_names_the_precision_that_rules(sure_bundle: Path) -> None:
    pins = [verified_pin(sure_bundle, None, JobOptions(precision=asked)) for asked in (None, 0.98, 0.99)]
    assert [(pin.precision, pin.all_to_review) for pin in pins] == [(0.90, False), (0.98, False), (0.99, True)]


def test_a_pinned_model_is_loaded_with_the_jobs_precision(sure_bundle: Path) -> None:
    asked = JobOptions(precision=0.98)
    pin = verified_pin(sure_bundle, None, asked)
    assert load_pinned(sure_bundle, pin, asked).precision == 0.98
    assert load_pinned(sure_bundle, pin).precision == 0.90


def test_a_pin_names_the_threshold_that_rules_in_the_place_of_a_promise(unsure_bundle: Path) -> None:
    asked = JobOptions(threshold=0.4)
    none, pin = verified_pin(unsure_bundle, None), verified_pin(unsure_bundle, None, asked)
    assert [(one.precision, one.threshold, one.all_to_review) for one in (none, pin)] == [
        (None, None, True),
        (None, 0.4, False),
    ]
    assert load_pinned(unsure_bundle, pin, asked).threshold == 0.4
    assert load_pinned(unsure_bundle, none).all_to_review


def test_a_job_that_an_earlier_hangtag_labels_without_a_promise_is_not_gone_on_with(
    unsure_bundle: Path, bundle: Path
) -> None:
    before = verified_pin(unsure_bundle, None).model_copy(update={"all_to_review": False})
    with pytest.raises(JobError, match=r"promises no precision, and labeled rows all the same\. Start again"):
        load_pinned(unsure_bundle, before)
    assert load_pinned(bundle, verified_pin(bundle, None)).precision == 0.90
