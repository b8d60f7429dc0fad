import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.process import python_environment
from tests.command import run_hangtag


@pytest.mark.rest
def test_each_model_of_a_bundle_is_measured(golden_bundle: Path) -> None:
    record = json.loads(run_hangtag("benchmark", golden_bundle, "--json").stdout)
    models = {one["file"]: one for one in record["models"]}
    assert {name: one["variant"] for name, one in models.items()} == {
        "model.onnx": "float32",
        "edge.onnx": "float32",
        "model.int8.onnx": "int8",
        "edge.int8.onnx": "int8",
    }
    for name, one in models.items():
        assert one["bytes"] == (golden_bundle / name).stat().st_size
        assert 0 < one["p50_ms"] <= one["p99_ms"]
        assert one["photos_per_s"] > 0
        assert one["memory_mb"] > 10
    assert models["model.onnx"]["p50_ms"] < models["edge.onnx"]["p50_ms"], "an edge graph resizes a larger photo"
    assert record["machine"]["cores"] >= 1


def test_memory_is_that_of_a_process_with_numpy_and_onnx_runtime_alone(golden_bundle: Path) -> None:
    code = (
        "import runpy, sys; runpy.run_module('models.benchmark', run_name='__main__')\n"
        "print([name for name in ('PIL', 'pydantic', 'rich', 'pyarrow', 'onnx') if name in sys.modules])"
    )
    command = [sys.executable, "-P", "-c", code, str(golden_bundle / "model.onnx"), "32"]
    done = subprocess.run(command, env=python_environment(), capture_output=True, text=True, check=True)
    figures, heavy = done.stdout.splitlines()
    assert json.loads(figures)["memory_mb"] > 10
    assert heavy == "[]"


def test_people_see_a_table_of_a_lone_file(golden_bundle: Path) -> None:
    done = run_hangtag("benchmark", golden_bundle / "model.onnx")
    assert done.returncode == 0
    (row,) = (line for line in done.stdout.splitlines() if "model.onnx" in line)
    assert f"{(golden_bundle / 'model.onnx').stat().st_size / 1e6:.2f}" in row
    assert "One thread of" in done.stdout
