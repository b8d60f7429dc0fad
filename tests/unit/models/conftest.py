import shutil
from pathlib import Path

import pytest
from PIL import Image

from models.classifier import Classifier, load


@pytest.fixture(scope="session")
def classifier(bundle: Path) -> Classifier:
    return load(bundle)


@pytest.fixture
def copy(golden_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(golden_bundle, tmp_path / "copy"))


@pytest.fixture(scope="module")
def quarters():
    image = Image.new("RGB", (240, 160), "red")
    image.paste("lime", (120, 0, 240, 80))
    image.paste("blue", (0, 80, 120, 160))
    image.paste("black", (120, 80, 240, 160))
    return image


@pytest.fixture(scope="module")
def halves():
    image = Image.new("L", (64, 64), "black")
    image.paste("white", (32, 0, 64, 64))
    return image


@pytest.fixture(scope="module")
def cut_out():
    image = Image.new("RGBA", (64, 64), (0, 0, 255, 255))
    image.paste((255, 0, 0, 0), (32, 0, 64, 64))
    return image
