from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "blue.png"
    Image.new("RGB", (300, 300), (0, 0, 255)).save(path)
    return path
