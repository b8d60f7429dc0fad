"""``make bench`` and ``make bench-quick``: measuring, judging, and the committed results."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.page import IMAGES, PAGE, RESULTS, render

ROOT = Path(__file__).parents[3]
PINS = sorted((ROOT / "benchmarks" / "peers").glob("*.txt"))


@pytest.fixture
def results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text())


def test_the_page_was_made_from_the_results(results: dict[str, Any]) -> None:
    assert PAGE.read_text() == render(results)
    pictures = re.findall(r"\]\(images/([\w.-]+)\)", PAGE.read_text())
    assert pictures
    assert all((IMAGES / name).read_text().startswith("<?xml") for name in pictures)


def test_the_page_names_the_precisions_that_a_runtime_chose(results: dict[str, Any]) -> None:
    for one in results["parts"]["float32"]["contestants"].values():
        one["precisions"] = ["bf16", "u8"]
    assert "| Pillow + OpenVINO, process pool, float32 (computes in bfloat16 and int8) | " in render(results)


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.stem)
def test_peers_are_pinned_and_name_no_index(pins: Path) -> None:
    lines = [line for line in pins.read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^\s:/]+", line) for line in lines)
