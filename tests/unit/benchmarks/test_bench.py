"""``make bench`` and ``make bench-quick``: measuring, judging, and the committed results."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measuring import lost, ratios, run, spread, turns
from benchmarks.page import IMAGES, PAGE, RESULTS, render

ROOT = Path(__file__).parents[3]
PINS = sorted((ROOT / "benchmarks" / "peers").glob("*.txt"))
COMMITTED = {"label": spread([1.9, 2.0, 2.1]), "queue": spread([0.8, 0.9, 1.0])}
BURN = "import time\nwhile time.process_time() < 0.3: pass"
LEAVE_BEHIND = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)"


@pytest.fixture
def results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text())


def test_a_loss_of_15_percent_in_all_turns_is_a_loss() -> None:
    found = {**COMMITTED, "queue": spread([0.70, 0.75, 0.76])}
    assert [loss.split(":")[0] for loss in lost(COMMITTED, found)] == ["queue"]


@pytest.mark.parametrize(
    "turns_now",
    [
        pytest.param([0.80, 0.81, 0.82], id="a tenth less"),
        pytest.param([0.50, 0.74, 0.95], id="two slow turns, one unchanged"),
        pytest.param([1.5, 1.6, 1.7], id="a gain"),
    ],
)
def test_noise_and_gains_are_none(turns_now: list[float]) -> None:
    assert lost(COMMITTED, {**COMMITTED, "queue": spread(turns_now)}) == []


def test_each_turn_begins_with_another_and_the_first_does_not_count() -> None:
    called: list[str] = []
    contestants = {name: lambda name=name: called.append(name) or len(called) for name in "ab"}
    assert turns(contestants, 2) == {"a": [4, 5], "b": [3, 6]}
    assert called == list("abbaab")


def test_smaller_contestants_can_warm_up() -> None:
    called: list[str] = []
    contestants = {name: lambda name=name: called.append(name) for name in "ab"}
    turns(contestants, 1, warm={name: lambda name=name: called.append(name.upper()) for name in "ab"})
    assert called == list("ABba")


def test_a_ratio_is_of_each_turn() -> None:
    assert ratios([2.0, 30.0, 4.0], [1.0, 10.0, 1.0]) == {"median": 3.0, "low": 2.0, "high": 4.0}


def test_processor_time_of_orphans_counts() -> None:
    assert run([sys.executable, "-c", LEAVE_BEHIND, BURN]).processor_s >= 0.25


def test_a_commands_output_is_kept_and_a_failure_ends_the_measurement() -> None:
    assert run([sys.executable, "-c", "print('one')\nprint('two')"]).said.split() == ["one", "two"]
    with pytest.raises(SystemExit, match=r"status 3[\s\S]*broken"):
        run([sys.executable, "-c", "import sys; print('broken', file=sys.stderr); sys.exit(3)"])


def test_the_page_was_made_from_the_results(results: dict[str, Any]) -> None:
    assert PAGE.read_text() == render(results)
    pictures = re.findall(r"\]\(images/([\w.-]+)\)", PAGE.read_text())
    assert pictures
    assert all((IMAGES / name).read_text().startswith("<?xml") for name in pictures)


def test_the_page_names_the_precisions_that_a_runtime_chose(results: dict[str, Any]) -> None:
    for one in results["parts"]["float32"]["contestants"].values():
        one["precisions"] = ["bf16", "u8"]
    assert "| Pillow + OpenVINO, process pool, float32; computes in bfloat16 and int8 | " in render(results)


def test_a_goal_is_of_its_part_and_of_the_bare_loop(results: dict[str, Any]) -> None:
    for part, ratio in (("bulk", 0.91), ("long", 0.94)):
        results["parts"][part]["ratios"]["hangtag label, int8 / bare loop, int8"] = spread([ratio])
    goals = re.findall(r"0\.9[14] \(.*?\); goal (0\.\d+: [a-z ]+) \|", render(results))
    assert goals == ["0.90: met", "0.95: not met"]


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.stem)
def test_peers_are_pinned_and_name_no_index(pins: Path) -> None:
    lines = [line for line in pins.read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^\s:/]+", line) for line in lines)
