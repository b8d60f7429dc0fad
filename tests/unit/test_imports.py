import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINING_PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx", "sklearn", "matplotlib")


@pytest.mark.parametrize("room", ["models", "worker"])
def test_labelling_never_loads_what_trains(room: str) -> None:
    modules = [f"{room}.{file.stem}" for file in (ROOT / room).glob("*.py") if file.stem != "__init__"]
    assert modules
    code = (
        f"import importlib, sys; [importlib.import_module(m) for m in {modules}];"
        f"print([m for m in {TRAINING_PACKAGES} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
