import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.benchmark.benchmark import benchmark, open_and_find, print_record
from models.errors import InputError
from tests.unit.models.benchmark.colours import QUICK
from tests.unit.models.benchmark.test_record import RECORD


def printed(record, width):
    console = Console(file=io.StringIO(), width=width)
    print_record(record, console)
    return console.file.getvalue()


@pytest.mark.parametrize(("width", "tables"), [(80, 2), (160, 1)])
def test_no_figure_is_cut_off_on_a_narrow_terminal(make_bundle, photos, width, tables):
    record = benchmark(*open_and_find(make_bundle(), photos), QUICK)
    text = printed(record, width)
    rows = [line.split() for line in text.splitlines() if line.startswith((" float32", " int8"))]
    assert len(rows) == 4 * tables
    assert sum(len(row) - 1 - ("edge" in row) for row in rows) == 4 * (5 + 3 * len(record.measured[0].speeds))
    assert "…" not in text


def test_it_says_what_the_figures_are_of():
    text = " ".join(printed(RECORD, 200).split())
    assert "accuracy: not known; name class folders with --images." in text
    assert "agrees: predicts what float32 predicts, on the 3 golden photos." in text
    assert "1 more photos could not be read." in text
    assert "A, 2 cores (avx2), Linux 6, Python 3, onnxruntime 1" in text


def test_100_percent_is_said_of_nothing_else():
    (row,) = RECORD.judging.files
    files = (row.model_copy(update={"agreement": 1999 / 2000 + 1e-4}),)
    judging = RECORD.judging.model_copy(update={"files": files})
    assert ">99.9%" in printed(RECORD.model_copy(update={"judging": judging}), 200)
    assert "100.0%" in printed(RECORD, 200)


def run(*args):
    return CliRunner().invoke(make_app(), ["benchmark", *map(str, args)])


def test_the_command_prints_a_record_and_draws_a_picture(make_bundle, photos, tmp_path):
    bundle = make_bundle(edges=False)
    result = run(bundle, "--images", photos, "--json", "--plot", tmp_path / "speed.png")
    assert result.exit_code == 0
    assert [row["file"] for row in json.loads(result.stdout)["measured"]] == ["model.onnx", "model.int8.onnx"]
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(result.stdout)["schema_version"] == 1


@pytest.mark.parametrize("images", [[], ["--images", "green"]])
def test_what_cannot_be_drawn_is_said_before_anything_is_measured(make_bundle, photos, tmp_path, images):
    flat = [photos / arg if arg == "green" else arg for arg in images]
    result = run(make_bundle(accuracy=None), *flat, "--plot", tmp_path / "speed.png")
    assert isinstance(result.exception, InputError)
    assert "name class folders with --images" in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize("place", ["nowhere/speed.png", "."])
def test_a_picture_that_cannot_be_saved_is_refused_before_anything_is_measured(make_bundle, tmp_path, place):
    result = run(make_bundle(), "--plot", tmp_path / place)
    assert isinstance(result.exception, InputError)
    assert result.stdout == ""
