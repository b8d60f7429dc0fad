import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.classifier import Classifier, load


@pytest.fixture(scope="session")
def classifier(bundle: Path) -> Classifier:
    return load(bundle)


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """The bundle once more, to be spoiled."""
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


@pytest.fixture
def forge(copy: Path) -> Callable[[str, bytes], None]:
    """Put other bytes into a file of the copy, and their SHA-256 into its manifest."""

    def put(name: str, data: bytes) -> None:
        (copy / name).write_bytes(data)
        manifest = json.loads((copy / "manifest.json").read_text())
        manifest["files"][name] = hashlib.sha256(data).hexdigest()
        (copy / "manifest.json").write_text(json.dumps(manifest))

    return put


@pytest.fixture
def restate(copy: Path) -> Callable[..., None]:
    """Change what the copy's manifest says, and nothing else."""

    def change(**changes: object) -> None:
        manifest = json.loads((copy / "manifest.json").read_text())
        (copy / "manifest.json").write_text(json.dumps({**manifest, **changes}))

    return change
