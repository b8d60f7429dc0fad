import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from models.preprocess import PreprocessSpec, preprocess
from models.process import python_command, python_environment

SPEC = PreprocessSpec(size=16)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.linear_gradient("L").convert("RGB").save(path)
    return path


@pytest.fixture
def pixels(tmp_path):
    """A file with room for three photos, all black."""
    path = tmp_path / "pixels"
    path.write_bytes(bytes(3 * 16 * 16 * 3))
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_each_line_is_answered_with_a_fault_or_its_row_is_filled(pixels, photo, tmp_path):
    text = tmp_path / "page.jpg"
    text.write_text("<html>")
    lines = [json.dumps([row, str(path)]) for row, path in ((2, photo), (0, text), (1, tmp_path / "gone.jpg"))]
    command = python_command("trainer.data.photo_process", str(pixels), "60", SPEC.model_dump_json())
    done = subprocess.run(
        command,
        input="".join(f"{each}\n" for each in lines),
        stdout=-1,
        text=True,
        check=True,
        env=python_environment(),
    )
    ready, *answers = map(json.loads, done.stdout.splitlines())
    assert ready == {"ready": True}
    assert [answer.get("kind") for answer in answers] == [None, "unsupported", "missing"]
    assert [answer.get("sha256") for answer in answers] == [sha256(photo), sha256(text), None]
    assert "gone.jpg" in answers[2]["message"]
    rows = np.fromfile(pixels, np.uint8).reshape(3, 16, 16, 3)
    assert np.array_equal(rows[2], preprocess(photo.read_bytes(), SPEC))
    assert not rows[:2].any()


def test_it_loads_no_library_that_decoding_does_not_need():
    """Each photo has what is left of the process's memory, which is limited."""
    code = "import sys, trainer.data.photo_process; print([m for m in ('pyarrow', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
