import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.classifier import load
from models.errors import BundleError
from models.storage.storage import FolderStorage
from worker.jobs import BundleStore


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


def test_a_put_that_was_interrupted_is_completed_by_the_next(
    store: BundleStore, tmp_path: Path, bundle: Path, digest: str
) -> None:
    store.put(bundle, digest)
    whole = contents(tmp_path / "_bundles" / digest)
    (tmp_path / "_bundles" / digest / "manifest.json").unlink()
    (tmp_path / "_bundles" / digest / "labels.txt").unlink()
    store.put(bundle, digest)
    assert contents(tmp_path / "_bundles" / digest) == whole


def test_a_model_that_is_gone_is_told(store: BundleStore, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"Expected the model dddddddddddd in .*_bundles, it is gone"):
        store.fetch("d" * 64)
    assert not [path for path in tmp_path.rglob("*") if "d" * 64 in path.name]


def test_what_is_wrong_in_what_is_kept_is_mended(store: BundleStore, tmp_path: Path, bundle: Path, digest: str) -> None:
    store.put(bundle, digest)
    (tmp_path / "_bundles" / digest / "model.onnx").write_bytes(b"no model")
    store.put(bundle, digest)
    assert load(store.fetch(digest)).digest == digest


@pytest.mark.parametrize("name", [".", "model.onnx"])
def test_a_model_that_was_replaced_meanwhile_is_not_kept(
    store: BundleStore, tmp_path: Path, bundle: Path, name: str
) -> None:
    with pytest.raises(BundleError, match="was replaced while the job was being submitted"):
        store.put(bundle / name, "d" * 64)
    assert not (tmp_path / "_bundles").exists()


def test_a_damaged_bundle_is_not_kept(store: BundleStore, tmp_path: Path, bundle: Path, digest: str) -> None:
    shutil.copytree(bundle, tmp_path / "copy")
    (tmp_path / "copy" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(BundleError):
        store.put(tmp_path / "copy", digest)
    with pytest.raises(BundleError):
        load(store.fetch(digest))


def test_a_bundle_is_brought_once(tmp_path: Path, bundle: Path, digest: str) -> None:
    far = BundleStore(_FarStorage(tmp_path / "far", tmp_path / "machine"))
    far.put(bundle, digest)
    path = far.fetch(digest)
    shutil.rmtree(tmp_path / "far")
    assert far.fetch(digest) == path
    assert load(path).digest == digest


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
    with pytest.raises(BundleError, match="it is gone"):
        far.fetch(digest)
    assert not list((tmp_path / "machine").iterdir())
