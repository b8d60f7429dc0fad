"""How Hangtag starts a Python process of its own: the same packages, one thread, nothing from the current folder."""

import os
import sys
from pathlib import Path

__all__ = ["python_command", "python_environment"]


def python_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours; ``-P`` keeps the current folder off ``sys.path``."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """This process's environment, with our rooms importable and numerical libraries held to one thread."""
    rooms = str(Path(__file__).parents[1])
    paths = [rooms, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
