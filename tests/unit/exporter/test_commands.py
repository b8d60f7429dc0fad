import json

import numpy as np
import pytest
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.bundle import open_bundle
from tests.command import run_hangtag


def export(*args):
    return CliRunner().invoke(make_app(), ["export", *map(str, args)], catch_exceptions=False)


@pytest.mark.parametrize("as_json", [True, False])
def test_export_shows_its_proof(make_network, make_run, tmp_path, as_json):
    run = make_run(make_network("simple", 3))
    result = export(run, "--no-int8", "--out", tmp_path / "bundle", *(["--json"] if as_json else []))
    assert result.exit_code == 0
    assert open_bundle(tmp_path / "bundle").manifest.name == "shop"
    if as_json:
        shown = json.loads(result.stdout)
        assert shown["bundle"] == str(tmp_path / "bundle")
        assert shown["keras"]["batches"]["flips"] == []
        assert shown["passed"]
    else:
        assert f"SHA-256 {open_bundle(tmp_path / 'bundle').digest}" in result.stdout
        assert "ONNX Runtime against Keras" in result.stdout
        assert "hangtag label PHOTOS" in result.stdout


def test_a_place_that_is_taken_is_one_line_on_stderr_and_2(tmp_path):
    done = run_hangtag("export", tmp_path / "run", "--out", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"hangtag: {tmp_path} exists")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_network_that_cannot_be_proved_shows_why_and_is_one_line_on_stderr_and_1(
    make_network, make_run, tmp_path, as_json
):
    network = make_network("simple", 3)
    network.get_layer("logits").set_weights([np.nan * weights for weights in network.get_layer("logits").get_weights()])
    done = run_hangtag("export", make_run(network), "--out", tmp_path / "bundle", *["--json"] * as_json)
    assert done.returncode == 1
    assert not (tmp_path / "bundle").exists()
    assert done.stderr.splitlines()[-1].startswith("hangtag: ONNX Runtime and Keras disagree")
    if as_json:
        shown = json.loads(done.stdout, parse_constant=pytest.fail)
        assert (shown["bundle"], shown["passed"], shown["keras"]["batches"]["largest"]) == (None, False, None)
    else:
        assert "✗" in done.stdout
        assert "✓" not in done.stdout


def test_every_option_does_what_it_says(small_run, tmp_path):
    asked = ("--edge", "--ort", "--fp16", "--vnni", "--atol", "0.002", "--max-drop", "100", "--json")
    asked += ("--default-variant", "float16")
    result = export(small_run, "--out", tmp_path / "bundle", *asked)
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert shown["keras"]["batches"]["tolerance"] == 0.002
    names = [f"{what}{variant}.onnx" for what in ("model", "edge") for variant in ("", ".int8", ".float16")]
    assert set(shown["bytes"]) == set(names)
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert manifest.variants["int8"].quantization.weight_bits == 8
    assert manifest.variants["float32"].ort == "model.ort"
    assert shown["variants"]["float32"]["edge"]["max_drop"] == 100
    assert manifest.default_variant == shown["default"]["name"] == "float16"


NONSENSE = [
    ("--no-int8", "--vnni"),
    ("--atol", "1"),
    ("--max-drop", "-1"),
    ("--max-drop", "101"),
    ("--no-int8", "--default-variant", "int8"),
    ("--default-variant", "float16"),
    ("--default-variant", "best"),
]


@pytest.mark.parametrize("asked", NONSENSE)
def test_options_that_make_no_sense_are_refused(tmp_path, asked):
    done = run_hangtag("export", tmp_path / "run", "--out", tmp_path / "bundle", *asked)
    assert done.returncode == 2
    assert asked[-1] in done.stderr or asked[0] in done.stderr


def test_a_bundle_is_no_run(bundle, tmp_path):
    done = run_hangtag("export", bundle, "--out", tmp_path / "again")
    assert done.returncode == 2
    assert "found a bundle, which is exported already" in done.stderr


def test_ctrl_c_leaves_nothing_and_says_so(make_network, make_run, tmp_path, monkeypatch):
    from exporter import export as exporting
    from models.errors import StoppedError

    def pressed(*asked):
        raise KeyboardInterrupt

    run = make_run(make_network("simple", 3))
    monkeypatch.setattr(exporting, "to_logits", pressed)
    with pytest.raises(StoppedError, match="nothing was published"):
        export(run, "--no-int8", "--out", tmp_path / "bundle")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
