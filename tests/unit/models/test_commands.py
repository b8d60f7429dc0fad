import json
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.errors import InputError


@pytest.fixture
def photos(tmp_path):
    Image.linear_gradient("L").save(tmp_path / "good.png")
    (tmp_path / "page.jpg").write_text("<html>")
    return tmp_path


def classify(*args):
    return CliRunner().invoke(make_app(), ["classify", *map(str, args)])


def test_classify_prints_a_json_object_a_line(bundle, photos):
    result = classify(photos / "good.png", "--model", bundle, "--json", "--top-k", 1)
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["top_k"]) == 1


def test_classify_leaves_with_1_when_a_photo_is_unreadable(bundle, photos):
    result = classify(photos / "page.jpg", photos / "good.png", "--model", bundle, "--json")
    assert result.exit_code == 1
    assert [json.loads(line)["status"] == "failed" for line in result.stdout.splitlines()] == [True, False]


@pytest.mark.parametrize("args", [[], ["a.jpg"], ["a.jpg", "--model", "m", "--top-k", "0"], ["--model", "m"]])
def test_classify_used_wrongly_leaves_with_2(args):
    assert classify(*args).exit_code == 2


def test_a_bundle_that_is_not_there_is_one_line_on_stderr_and_2(tmp_path):
    command = [sys.executable, "-m", "hangtag", "classify", "a.jpg", "--model", tmp_path / "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("hangtag: Expected a bundle")


def test_classify_refuses_a_precision_that_is_not_in_the_table(sure_bundle, photos):
    result = classify(photos / "good.png", "--model", sure_bundle, "--precision", 0.93)
    assert isinstance(result.exception, InputError)
    assert "one of 0.90, 0.98, 0.99, got 0.93" in str(result.exception)
    assert classify(photos / "good.png", "--model", sure_bundle, "--precision", 0.98).exit_code == 0
