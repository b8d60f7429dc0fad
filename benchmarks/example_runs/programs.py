"""Label photos with Hangtag and with the Python and Node examples."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from models.classifier import Classifier
from models.preprocess import opened

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Said:
    """The label of a photo, its confidence, and whether a person should look."""

    label: str
    confidence: float
    review: bool


def hangtag_says(classifier: Classifier, photos: list[Path]) -> list[Said]:
    """Label photos with Hangtag, decoded at full size as in the examples."""
    said = []
    for photo in photos:
        with opened(photo.read_bytes()) as image:
            prediction = classifier.classify(image)
        said.append(Said(prediction.label, prediction.confidence, prediction.review))
    return said


def parse(printed: str, photos: list[Path]) -> list[Said]:
    """Read an example's lines of ``photo, label, confidence, status``, separated by tabs.

    Raises:
        ValueError: a photo has no line, or another photo's line.
    """
    rows = [line.split("\t") for line in printed.splitlines()]
    if [name for name, *_ in rows] != [str(photo) for photo in photos]:
        msg = f"Expected a line for each of {len(photos)} photos, in their order, got {printed!r}"
        raise ValueError(msg)
    return [Said(label, float(confidence), status == "review") for _, label, confidence, status in rows]


def install(example: str, folder: Path) -> Path:
    """Copy an example and install its npm packages beside it.

    Raises:
        RuntimeError: npm failed.
    """
    made = ("node_modules", "vendor", "model")
    place = Path(shutil.copytree(EXAMPLES / example, folder / example, ignore=shutil.ignore_patterns(*made)))
    run_program("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=place)
    return place


def node_says(place: Path, edge: Path, photos: list[Path]) -> list[Said]:
    """Label photos with ``label.mjs``."""
    return parse(run_program("node", "label.mjs", edge, *photos, folder=place), photos)


def python_says(edge: Path, photos: list[Path]) -> list[Said]:
    """Label photos with ``label.py``, in an environment without Hangtag."""
    script = EXAMPLES / "python" / "label.py"
    return parse(run_program(sys.executable, "-P", script, edge, *photos, folder=edge.parent), photos)


def run_program(program: str, *arguments: str | Path, folder: Path) -> str:
    """Run a command in a folder, without this process's PYTHONPATH, and return its output.

    Raises:
        FileNotFoundError: the program is not installed.
        RuntimeError: the command failed; the message ends with its output.
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
