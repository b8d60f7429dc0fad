import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from catalogue.catalogue import open_catalogue
from models.classifier import Classifier, load
from models.errors import BundleError, DisagreementError
from models.reference import ModelReference
from models.storage.storage import FolderStorage
from tests.variants import falsify
from worker.job.job import Job, ModelPin, Question
from worker.job.model import (
    JobModel,
    fallback_pin,
    load_job_model,
    load_pinned,
    note_models,
    verified_pin,
)
from worker.job.writer import create_job
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


@pytest.fixture
def false_int8(tmp_path: Path, int8_bundle: Path) -> Path:
    """The golden samples of its default are not repeated here."""
    copy = shutil.copytree(int8_bundle, tmp_path / "false")
    falsify(copy, "int8")
    return copy


def test_the_bundles_default_is_taken_where_its_golden_samples_agree(int8_bundle: Path) -> None:
    sentences: list[str] = []
    assert verified_pin(int8_bundle, say=sentences.append).variant == "int8"
    assert verified_pin(int8_bundle, JobOptions(variant="float32"), say=sentences.append).variant == "float32"
    assert sentences == []


def test_where_the_default_disagrees_float32_is_taken_and_that_is_said(false_int8: Path) -> None:
    sentences: list[str] = []
    pin = verified_pin(false_int8, say=sentences.append)
    assert (pin.variant, "/float32@" in pin.reference) == ("float32", True)
    (sentence,) = sentences
    assert "float32 instead of int8" in sentence
    with pytest.raises(DisagreementError):
        verified_pin(false_int8, JobOptions(variant="int8"))
    falsify(false_int8, "float32")
    with pytest.raises(DisagreementError):
        verified_pin(false_int8)


@pytest.mark.parametrize("file", ["model.int8.onnx", "golden/exif-rotated.jpg"])
def test_damage_is_no_disagreement(tmp_path: Path, int8_bundle: Path, file: str) -> None:
    copy = shutil.copytree(int8_bundle, tmp_path / "copy")
    (copy / file).write_bytes((copy / file).read_bytes()[:-1])
    with pytest.raises(BundleError, match=Path(file).name) as caught:
        verified_pin(copy)
    assert not isinstance(caught.value, DisagreementError)


class Machine:
    """A worker's machine, where the ``wrong`` variants disagree; ``meanwhile`` is what others do as it loads one."""

    def __init__(self, bundle: Path, *wrong: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._bundle = bundle
        self._wrong = wrong
        self._meanwhile = meanwhile
        self.reasons: list[str] = []

    def load(self, pin: ModelPin) -> Classifier:
        self._meanwhile()
        if pin.variant in self._wrong:
            msg = f"probabilities of {pin.variant} differ"
            raise DisagreementError(msg)
        return load_pinned(self._bundle, pin)

    def model(self, job: Job) -> str:
        """The variant that it labels the job with."""
        return load_job_model(job, self.load, self.reasons.append).metadata.variant


@pytest.fixture
def undecided(tmp_path: Path, int8_bundle: Path) -> Job:
    """A job of a bundle whose default is int8; nobody named a variant."""
    source = tmp_path / "list.txt"
    source.write_text("a.jpg\n")
    pin = verified_pin(int8_bundle)
    question = Question(name="", model=pin, fallback=fallback_pin(int8_bundle, pin, JobOptions()))
    storage = FolderStorage(tmp_path / "job")
    note_models(storage, [JobModel(question, ModelReference(int8_bundle, "shop"))])
    return create_job(storage, open_catalogue(source), [question])


def test_the_first_worker_that_agrees_chooses_for_all(undecided: Job, int8_bundle: Path) -> None:
    first, second, third = Machine(int8_bundle), Machine(int8_bundle, "int8"), Machine(int8_bundle)
    assert first.model(undecided) == "int8"
    with pytest.raises(DisagreementError):
        second.model(undecided)
    assert third.model(undecided) == undecided.model.variant == "int8"
    assert first.reasons == second.reasons == []


def test_the_first_worker_that_disagrees_chooses_for_all_and_says_why(undecided: Job, int8_bundle: Path) -> None:
    first, second = Machine(int8_bundle, "int8"), Machine(int8_bundle)
    assert first.model(undecided) == "float32"
    assert second.model(undecided) == undecided.model.variant == "float32"
    (reason,) = first.reasons
    assert reason.endswith(": probabilities of int8 differ")
    assert (second.reasons, undecided.choice.because) == ([], reason)


def test_of_two_that_choose_at_once_the_later_takes_what_the_earlier_chose(undecided: Job, int8_bundle: Path) -> None:
    disagrees = Machine(int8_bundle, "int8")
    agrees = Machine(int8_bundle, meanwhile=lambda: undecided.choice or disagrees.model(undecided))
    assert agrees.model(undecided) == "float32"


class _KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("wrong", [(), ("int8",)])
def test_a_kill_at_any_step_leaves_no_choice_or_one_that_holds(
    undecided: Job, int8_bundle: Path, wrong: tuple[str, ...]
) -> None:
    def die() -> None:
        raise _KilledError

    with pytest.raises(_KilledError):
        Machine(int8_bundle, *wrong, meanwhile=die).model(undecided)
    assert undecided.choice is None

    def die_after_choosing(_words: str) -> None:
        raise _KilledError

    if wrong:
        with pytest.raises(_KilledError):
            load_job_model(undecided, Machine(int8_bundle, *wrong).load, die_after_choosing)
        assert undecided.choice
    assert Machine(int8_bundle).model(undecided) == ("float32" if wrong else "int8")
