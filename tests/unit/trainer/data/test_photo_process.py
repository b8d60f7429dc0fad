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


def rows_of(pixels):
    return np.fromfile(pixels, np.uint8).reshape(3, 16, 16, 3)


def test_each_line_is_answered_and_its_row_filled(start, pixels, photo):
    output, _ = start().communicate(f"{line(2, photo)}\n{line(0, photo)}\n", timeout=60)
    expected = preprocess(photo.read_bytes(), SPEC)
    assert [json.loads(answer) for answer in output.splitlines()] == [{"sha256": sha256(photo)}] * 2
    assert np.array_equal(rows_of(pixels)[0], expected)
    assert np.array_equal(rows_of(pixels)[2], expected)
    assert not rows_of(pixels)[1].any()


def test_a_bad_photo_is_answered_with_its_fault_and_the_next_one_decoded(start, pixels, photo, tmp_path):
    text = tmp_path / "page.jpg"
    text.write_text("<html>")
    lines = [line(0, text), line(1, tmp_path / "gone.jpg"), line(2, photo)]
    output, _ = start().communicate("".join(f"{each}\n" for each in lines), timeout=60)
    answers = [json.loads(answer) for answer in output.splitlines()]
    assert [answer.get("kind") for answer in answers] == ["unsupported", "missing", None]
    assert [answer.get("sha256") for answer in answers] == [sha256(text), None, sha256(photo)]
    assert "web page" in answers[0]["message"]
    assert "gone.jpg" in answers[1]["message"]
    assert [bool(row.any()) for row in rows_of(pixels)] == [False, False, True]


def test_it_loads_no_library_that_decoding_does_not_need():
    """Each photo has what is left of the process's memory, which is limited."""
    code = "import sys, trainer.data.photo_process; print([m for m in ('pyarrow', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_ctrl_c_is_left_to_the_command_that_started_it(start, photo):
    process = start()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(f"{line(0, photo)}\n", timeout=60)
    assert json.loads(output) == {"sha256": sha256(photo)}
    assert process.returncode == 0
