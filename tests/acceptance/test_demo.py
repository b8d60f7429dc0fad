"""``hangtag demo``, small: the whole path ends with a picture and a page."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


@pytest.mark.slow
def test_the_demo_ends_with_a_picture_and_a_page(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "hangtag", "demo", "--out", str(out), "--photos", "300"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.size[0] > 1000
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert page.count("data:image/jpeg;base64,") >= 40
    assert "https://" not in page
    assert (out / "labels.parquet").is_file()
    assert (out / "bundles" / "demo" / "manifest.json").is_file()


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").touch()
    done = subprocess.run(
        [sys.executable, "-m", "hangtag", "demo", "--out", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert (tmp_path / "precious.txt").exists()
