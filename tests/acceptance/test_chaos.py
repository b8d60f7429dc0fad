"""Two workers and a Redis, with faults at random times: every row comes out right, once."""

import json
import subprocess
import sys
from pathlib import Path

CHAOS = Path(__file__).parents[2] / "benchmarks" / "chaos.py"
ROWS = 2000


def test_a_job_under_fire_has_every_row_right_once(redis_installed: None, catalogue: Path, bundle: Path) -> None:
    material = ("--photos", str(catalogue), "--model", str(bundle))
    done = subprocess.run(
        [sys.executable, str(CHAOS), "--seed", "1", "--rows", str(ROWS), "--no-calm", "--limit", "120", *material],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert verdict["rows"] == ROWS
    assert (verdict["missing"], verdict["doubled"], verdict["wrong"]) == (0, 0, 0)
    assert verdict["failed_as_expected"]
    assert sum(verdict["faults"].values()) > 0
    assert done.returncode == 0
