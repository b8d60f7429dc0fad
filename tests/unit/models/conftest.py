import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

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


@pytest.fixture(scope="module")
def quarters():
    """No corner like another, no side like another."""
    image = Image.new("RGB", (240, 160), "red")
    image.paste("lime", (120, 0, 240, 80))
    image.paste("blue", (0, 80, 120, 160))
    image.paste("black", (120, 80, 240, 160))
    return image


@pytest.fixture(scope="module")
def halves():
    """Black on the left, white on the right: every mode can hold it."""
    image = Image.new("L", (64, 64), "black")
    image.paste("white", (32, 0, 64, 64))
    return image


@pytest.fixture(scope="module")
def cut_out():
    """Blue on the left; on the right red that nobody should see."""
    image = Image.new("RGBA", (64, 64), (0, 0, 255, 255))
    image.paste((255, 0, 0, 0), (32, 0, 64, 64))
    return image
