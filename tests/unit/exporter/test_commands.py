import json

import numpy as np
import pytest
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.bundle import open_bundle
from tests.command import run_hangtag


def test_export_shows_its_proof_and_every_option_does_what_it_says(make_network, make_run, tmp_path):
    run, place = make_run(make_network("simple", 3)), tmp_path / "bundle"
    options = ("--edge", "--max-drop", "100", "--default-variant", "float32")
    done = run_hangtag("export", run, "--out", place, *options, "--json")
    assert done.returncode == 0, done.stderr
    proof, manifest = json.loads(done.stdout), open_bundle(place).manifest
    assert (proof["bundle"], proof["sha256"]) == (str(place), open_bundle(place).digest)
    assert proof["passed"]
    steps = ["Converting …", "Comparing with Keras …", "Quantizing …", "Comparing edge graphs …"]
    assert [line for line in done.stderr.splitlines() if line.endswith("…")] == steps
    assert (
        {"model.onnx", "edge.onnx"}
        <= set(proof["bytes"])
        == {file for variant in manifest.variants.values() for file in variant.files}
    )
    assert proof["variants"]["float32"]["edge"]["max_drop"] == 100
    assert manifest.default_variant == proof["default"]["name"] == "float32"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_network_that_cannot_be_proved_shows_why_and_leaves_with_1(make_network, make_run, tmp_path, as_json):
    network = make_network("simple", 3)
    network.get_layer("logits").set_weights([np.nan * weights for weights in network.get_layer("logits").get_weights()])
    done = run_hangtag("export", make_run(network), "--out", tmp_path / "bundle", *["--json"] * as_json)
    assert done.returncode == 1
    assert not (tmp_path / "bundle").exists()
    if as_json:
        proof = json.loads(done.stdout, parse_constant=pytest.fail)
        assert (proof["bundle"], proof["passed"], proof["keras"]["batches"]["largest"]) == (None, False, None)
    else:
        assert "✗" in done.stdout
        assert "✓" not in done.stdout


def test_ctrl_c_leaves_nothing_and_says_so(make_network, make_run, tmp_path, monkeypatch):
    from exporter import export as exporting
    from models.errors import StoppedError

    def pressed(*_):
        raise KeyboardInterrupt

    run = make_run(make_network("simple", 3))
    monkeypatch.setattr(exporting, "to_logits", pressed)
    words = ["export", str(run), "--no-int8", "--out", str(tmp_path / "bundle")]
    with pytest.raises(StoppedError):
        CliRunner().invoke(make_app(), words, catch_exceptions=False)
    assert list(tmp_path.iterdir()) == [run]
