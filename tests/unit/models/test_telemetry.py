import os
import subprocess
import sys
from pathlib import Path

import pytest


def watched(program, home):
    """Run a program with its own home folder; return ONNX Runtime's files there.

    The environment is almost empty: ONNX Runtime writes no files if a variable says CI.
    """
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    environment = {**kept, "HOME": str(home)}
    subprocess.run([sys.executable, *program], env=environment, check=True, capture_output=True)
    return [path for path in Path(home).rglob("*") if path.is_file()]


@pytest.fixture
def photo(catalogue):
    return min(catalogue.glob("*/*.jpg"))


def test_the_command_leaves_nothing_of_onnx_runtimes_behind(bundle, photo, tmp_path):
    assert watched(["-m", "hangtag", "classify", photo, "--model", bundle], tmp_path) == []


@pytest.mark.rest
def test_neither_does_a_worker_that_celery_starts(bundle, tmp_path):
    model = str(bundle / "model.onnx")
    program = f"import worker.celery; from models.classifier import load; load({model!r})"
    assert watched(["-c", program], tmp_path) == []


def test_without_the_variable_it_would(bundle, tmp_path):
    program = f"import onnxruntime; onnxruntime.InferenceSession({str(bundle / 'model.onnx')!r})"
    assert watched(["-c", program], tmp_path)


def test_what_a_person_has_set_is_left_alone(monkeypatch):
    from models.session import refuse_telemetry

    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    refuse_telemetry()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
