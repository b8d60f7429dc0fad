"""The examples, where this machine has what they need, and what they must say."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.example_runs.programs import install
from models.decision import Prediction, Rules, Scores, thresholds_for
from models.edge import load_edge
from models.preprocess import Pixels, opened, whole_rgb
from tests.missing import skip_outside_ci

__all__ = ["EdgeSays", "edge_speaker", "install_or_skip", "whole_pixels"]

EdgeSays = Callable[[list[Path]], list[Prediction]]
NODE = (20, 9)
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


def install_or_skip(example: str, folder: Path) -> Path:
    """Install an example of npm's; a laptop without npm or network skips the test."""
    skip_outside_ci(_npm_wrong())
    try:
        return install(example, folder)
    except RuntimeError as error:
        if any(code in str(error) for code in NO_NETWORK):
            skip_outside_ci(f"npm cannot reach its registry: {error}")
        raise


def _npm_wrong() -> str | None:
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        return f"{' and '.join(missing)} not installed; install them."
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    found = tuple(int(part) for part in said.removeprefix("v").split(".")[:2])
    return (
        None if found >= NODE else f"Expected node of version {NODE[0]}.{NODE[1]} or newer, found {said}; install it."
    )


def whole_pixels(photo: Path) -> Pixels:
    """All of a photo's pixels, as Hangtag decodes them."""
    with opened(photo.read_bytes()) as image:
        return np.asarray(whole_rgb(image))


def edge_speaker(bundle: Path) -> EdgeSays:
    """What a bundle's edge graph says of photos that Hangtag decoded, and whether a person should look."""
    edge = load_edge((bundle / "edge.onnx").read_bytes(), str(bundle))
    known = edge.metadata
    rules = Rules(known.labels, thresholds_for(known, None), known.unknown.limit if known.unknown else None)

    def says(photos: list[Path]) -> list[Prediction]:
        answers = [edge.run(whole_pixels(photo)) for photo in photos]
        rows = np.stack([answer.probabilities for answer in answers])
        return rules.decide(Scores(rows, np.array([answer.unknown for answer in answers], np.float32)), top_k=1)

    return says
