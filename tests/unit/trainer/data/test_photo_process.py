import hashlib
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from models.preprocess import PreprocessSpec, preprocess
from models.process import python_command, python_environment

SPEC = PreprocessSpec(size=16)
PATIENT_S = "60"


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


@pytest.fixture
def start(pixels):
    """Starts a decoding process; it is gone when the test is over."""
    started = []

    def start_one(timeout_s=PATIENT_S):
        command = python_command("trainer.data.photo_process", str(pixels), timeout_s, SPEC.model_dump_json())
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=python_environment()
        )
        started.append(process)
        assert json.loads(process.stdout.readline()) == {"ready": True}
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def line(row, path):
    return json.dumps([row, str(path)])


def test_each_line_is_answered_with_a_fault_or_its_row_is_filled(start, pixels, photo, tmp_path):
    text = tmp_path / "page.jpg"
    text.write_text("<html>")
    process = start()
    process.send_signal(signal.SIGINT)  # Ctrl-C is left to the command that started it
    lines = [line(2, photo), line(0, text), line(1, tmp_path / "gone.jpg")]
    output, _ = process.communicate("".join(f"{each}\n" for each in lines), timeout=60)
    answers = [json.loads(answer) for answer in output.splitlines()]
    assert [answer.get("kind") for answer in answers] == [None, "unsupported", "missing"]
    assert [answer.get("sha256") for answer in answers] == [sha256(photo), sha256(text), None]
    assert "gone.jpg" in answers[2]["message"]
    rows = np.fromfile(pixels, np.uint8).reshape(3, 16, 16, 3)
    assert np.array_equal(rows[2], preprocess(photo.read_bytes(), SPEC))
    assert not rows[:2].any()
    assert process.returncode == 0


def test_it_loads_no_library_that_decoding_does_not_need():
    """Each photo has what is left of the process's memory, which is limited."""
    code = "import sys, trainer.data.photo_process; print([m for m in ('pyarrow', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
