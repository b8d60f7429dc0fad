import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.classifier import load
from models.errors import BundleError, InputError
from models.storage.storage import FolderStorage
from worker.job.jobs import BundleStore, Jobs, check_name

ROOT = FolderStorage(Path("/srv/jobs"))
BAD = ["", ".", "..", "-a", "_a", ".a", "a b", "a/b", "../a", "a\n", "ä", "x" * 65, "a:b", "a\x00", "٣"]


@given(st.text(max_size=70) | st.sampled_from(BAD))
def test_no_name_that_is_taken_leads_elsewhere(name: str) -> None:
    try:
        check_name(name)
    except InputError:
        return
    assert name not in BAD
    root = ROOT.child(name).root
    assert root.parent == ROOT.root
    assert root.name == name


def test_a_job_is_found_by_name_and_one_that_is_not_there_is_told_with_those_that_are(jobs: Jobs, paper_job) -> None:
    with pytest.raises(InputError, match="none"):
        jobs.find("spring")
    job = paper_job(name="spring")
    assert jobs.find("spring") == jobs.get("spring") == job
    assert jobs.get("autumn") is None
    with pytest.raises(InputError, match=r"autumn .*: spring\."):
        jobs.find("autumn")


def test_a_folder_has_one_identity_wherever_it_is_mounted(tmp_path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").symlink_to(tmp_path / "here")
    here, there, other = (Jobs(FolderStorage(tmp_path / name)) for name in ("here", "there", "other"))
    assert here.identity() == there.identity() == here.identity()
    assert other.identity() != here.identity()


@dataclass(frozen=True)
class _FarStorage(FolderStorage):
    """A storage that is not on this machine: what is read of it must be brought here."""

    machine: Path

    @property
    def scratch(self) -> Path:
        return self.machine


@pytest.fixture
def digest(bundle: Path) -> str:
    return load(bundle).digest


@pytest.fixture(params=["near", "far"])
def store(request, tmp_path: Path) -> BundleStore:
    root = tmp_path / "_bundles"
    return BundleStore(FolderStorage(root) if request.param == "near" else _FarStorage(root, tmp_path / "machine"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_bundle_is_fetched_as_it_was_put(store: BundleStore, bundle: Path, digest: str) -> None:
    store.put(bundle, digest)
    path = store.fetch(digest)
    assert load(path).digest == digest
    assert contents(path).items() <= contents(bundle).items()
    assert store.fetch(digest) == path


def test_a_lone_file_is_fetched_as_it_was_put(store: BundleStore, bundle: Path) -> None:
    model = bundle / "model.onnx"
    store.put(model, load(model).digest)
    path = store.fetch(load(model).digest)
    assert path.suffix == ".onnx"
    assert path.read_bytes() == model.read_bytes()


def test_a_bundle_that_is_kept_stays_when_the_original_goes(store, tmp_path: Path, bundle: Path, digest: str) -> None:
    shutil.copytree(bundle, tmp_path / "original")
    store.put(tmp_path / "original", digest)
    shutil.rmtree(tmp_path / "original")
    assert load(store.fetch(digest)).digest == digest


def test_what_is_wrong_in_what_is_kept_is_mended(store: BundleStore, tmp_path: Path, bundle: Path, digest: str) -> None:
    store.put(bundle, digest)
    (tmp_path / "_bundles" / digest / "model.onnx").write_bytes(b"no model")
    store.put(bundle, digest)
    assert load(store.fetch(digest)).digest == digest


@pytest.mark.parametrize("name", [".", "model.onnx"])
def test_a_model_that_was_replaced_meanwhile_is_not_kept(
    store: BundleStore, tmp_path: Path, bundle: Path, name: str
) -> None:
    with pytest.raises(BundleError):
        store.put(bundle / name, "d" * 64)
    assert not (tmp_path / "_bundles").exists()


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "labels.txt"])
def test_what_a_cleaner_takes_of_a_bundle_is_brought_again(
    tmp_path: Path, bundle: Path, digest: str, name: str
) -> None:
    far = BundleStore(_FarStorage(tmp_path / "far", tmp_path / "machine"))
    far.put(bundle, digest)
    path = far.fetch(digest)
    (path / name).unlink()
    assert load(far.fetch(digest)).digest == digest
    assert contents(path) == contents(tmp_path / "far" / digest)
    assert [folder.name for folder in (tmp_path / "machine").iterdir()] == [digest]


def test_a_bundle_that_cannot_be_brought_whole_is_not_brought(tmp_path: Path, bundle: Path, digest: str) -> None:
    far = BundleStore(_FarStorage(tmp_path / "far", tmp_path / "machine"))
    far.put(bundle, digest)
    (tmp_path / "far" / digest / "labels.txt").unlink()
    with pytest.raises(BundleError):
        far.fetch(digest)
    assert not list((tmp_path / "machine").iterdir())
