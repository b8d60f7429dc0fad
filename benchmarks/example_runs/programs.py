"""The examples that are commands: Python and Node."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .said import Said, parse

EXAMPLES = Path(__file__).parents[2] / "examples"


def install(example: str, folder: Path) -> Path:
    """A copy of an example, what it needs from npm beside it.

    Raises:
        RuntimeError: npm could not.
    """
    made = ("node_modules", "vendor", "model")
    place = Path(shutil.copytree(EXAMPLES / example, folder / example, ignore=shutil.ignore_patterns(*made)))
    run_program("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=place)
    return place


def node_says(place: Path, edge: Path, photos: list[Path]) -> list[Said]:
    """What ``label.mjs`` prints."""
    return parse(run_program("node", "label.mjs", edge, *photos, folder=place), photos)


def python_says(edge: Path, photos: list[Path]) -> list[Said]:
    """What ``label.py`` prints, where it can import nothing of Hangtag."""
    script = EXAMPLES / "python" / "label.py"
    return parse(run_program(sys.executable, "-P", script, edge, *photos, folder=edge.parent), photos)


def run_program(program: str, *arguments: str | Path, folder: Path) -> str:
    """What a command prints, run in a folder, without this process's PYTHONPATH.

    Raises:
        FileNotFoundError: it is not installed.
        RuntimeError: it failed; the message ends with what it said.
    """
    binary = shutil.which(program)
    if binary is None:
        msg = f"{program} is not installed."
        raise FileNotFoundError(msg)
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [binary, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{program} ended with status {done.returncode}: {done.stderr}"
        raise RuntimeError(msg)
    return done.stdout
