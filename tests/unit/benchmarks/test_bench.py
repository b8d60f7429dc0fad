"""``make bench`` and ``make bench-quick``: how they measure and judge, and what is committed of them."""

import copy
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.measuring import content_of, lost, ratios, run, spread, turns
from benchmarks.page import IMAGES, PAGE, RESULTS, render

ROOT = Path(__file__).parents[3]
PINS = sorted((ROOT / "benchmarks" / "peers").glob("*.txt"))
COMMITTED = {"label": spread([1.9, 2.0, 2.1]), "queue": spread([0.8, 0.9, 1.0])}
BURN = "import time\nwhile time.process_time() < 0.3: pass"
LEAVE_BEHIND = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)"
NOT_WAITED_FOR = """
import os, signal, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", sys.argv[1]]).wait()
"""


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text())


def test_a_loss_of_15_percent_in_all_turns_is_a_loss() -> None:
    found = {**COMMITTED, "queue": spread([0.70, 0.75, 0.76])}
    assert [loss.split(":")[0] for loss in lost(COMMITTED, found)] == ["queue"]


@pytest.mark.parametrize(
    "turns_now",
    [
        pytest.param([0.80, 0.81, 0.82], id="a tenth less"),
        pytest.param([0.50, 0.74, 0.95], id="two slow turns, one as it was"),
        pytest.param([1.5, 1.6, 1.7], id="a gain"),
    ],
)
def test_noise_and_gains_are_none(turns_now: list[float]) -> None:
    assert lost(COMMITTED, {**COMMITTED, "queue": spread(turns_now)}) == []


def test_a_ratio_that_was_not_measured_is_an_error() -> None:
    with pytest.raises(KeyError, match="queue"):
        lost(COMMITTED, {"label": COMMITTED["label"]})


def test_each_turn_begins_with_another_and_the_first_does_not_count() -> None:
    called: list[str] = []
    contestants = {name: lambda name=name: called.append(name) or len(called) for name in "ab"}
    assert turns(contestants, 2) == {"a": [4, 5], "b": [3, 6]}
    assert called == list("abbaab")


def test_a_ratio_is_of_each_turn() -> None:
    assert ratios([2.0, 30.0, 4.0], [1.0, 10.0, 1.0]) == {"median": 3.0, "low": 2.0, "high": 4.0}


def test_processor_time_of_what_a_command_leaves_behind_counts_and_is_not_its_own() -> None:
    ran = run([sys.executable, "-c", LEAVE_BEHIND, BURN])
    assert ran.processor_s >= 0.25
    assert ran.own_s < ran.processor_s - 0.2
    assert run([sys.executable, "-c", BURN]).own_s >= 0.25


def test_processor_time_of_what_nobody_waits_for_counts() -> None:
    assert run([sys.executable, "-c", NOT_WAITED_FOR, BURN.replace("0.3", "1.0")]).processor_s >= 0.5


def test_what_is_kept_for_the_next_time_is_of_these_photos_and_this_code(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.py", "b.pyc"):
        (tmp_path / name).write_text(name)
    found = [content_of(tmp_path)]
    for name in ("b.pyc", "a.jpg", "b.py"):
        (tmp_path / name).write_text("changed")
        found.append(content_of(tmp_path))
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_what_a_command_prints_is_kept_and_a_failure_ends_the_measurement() -> None:
    assert run([sys.executable, "-c", "print('one')\nprint('two')"]).said.split() == ["one", "two"]
    with pytest.raises(SystemExit, match=r"status 3[\s\S]*broken"):
        run([sys.executable, "-c", "import sys; print('broken', file=sys.stderr); sys.exit(3)"])


def test_results_are_whole(results: dict[str, Any]) -> None:
    assert results["schema_version"] == 1
    assert {"bulk", "guard"} <= set(results["parts"])
    assert len(results["parts"]["guard"]["ratios"]) == 6
    for part in results["parts"].values():
        machine = part["machine"]
        assert all(machine[name] for name in ("processor", "cores", "memory_gb", "python", "versions", "note"))
    for figures in _spreads(results):
        assert 0 < figures["low"] <= figures["median"] <= figures["high"]


def _spreads(value: Any) -> list[dict[str, float]]:
    if isinstance(value, dict) and {"median", "low", "high"} == set(value):
        return [value]
    return [found for inner in value.values() for found in _spreads(inner)] if isinstance(value, dict) else []


def test_results_name_no_path() -> None:
    assert not re.search(r'"/|(^|\s)/\w+/\w+', RESULTS.read_text())


def test_the_page_was_made_from_the_results(results: dict[str, Any]) -> None:
    assert PAGE.read_text() == render(results)
    pictures = re.findall(r"\]\(images/([\w.-]+)\)", PAGE.read_text())
    assert pictures
    assert all((IMAGES / name).read_text().startswith("<?xml") for name in pictures)


def test_the_page_says_who_wins(results: dict[str, Any]) -> None:
    results = copy.deepcopy(results)
    results["parts"]["bulk"]["contestants"]["Keras predict, float32"]["images_per_s"] = {
        "median": 1e9,
        "low": 1e9,
        "high": 1e9,
    }
    assert re.search(
        r"Other programs against `hangtag label, float32`: faster: [^;]*Keras predict, float32", render(results)
    )


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.stem)
def test_peers_are_pinned_and_name_no_index(pins: Path) -> None:
    lines = [line for line in pins.read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^\s:/]+", line) for line in lines)


def test_make_runs_both_and_only_the_nightly_workflow_runs_the_guard() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(
        r"^bench: install\n(\t.*\n)*\t.*benchmarks/bench\.py \$\(if \$\(ONLY\),--only \$\(ONLY\)\)\n",
        makefile,
        re.MULTILINE,
    )
    assert re.search(r"^bench-quick: install\n(\t.*\n)*\t.*benchmarks/bench\.py --quick\n", makefile, re.MULTILINE)
    nightly = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())
    assert {"run": "make bench-quick"} in nightly["jobs"]["bench-quick"]["steps"]
    assert "bench" not in (ROOT / ".ci" / "run").read_text()


def test_the_page_tells_accuracy_against_minutes(results: dict[str, Any]) -> None:
    one = {"minutes": 5.0, "processor_minutes": 9.1, "memory_mb": 900, "right": 300, "accuracy_95": [0.763, 0.844]}
    part = {
        "machine": results["parts"]["bulk"]["machine"],
        "photos": {"source": "copies of a folder called shop/train"},
        "counts": {"train": 3068, "validation": 341, "test": 372},
        "limit": "5m",
        "contestants": {"hangtag train --arch cnn": one},
    }
    page = render({"parts": {"training": part}})
    assert "| hangtag train --arch cnn | 5.0 | 9.1 | 900 | 0.806 (0.763 to 0.844) |" in page
    assert "3,068 photos (a folder called shop/train), 341 validation photos; 372 test photos" in page
