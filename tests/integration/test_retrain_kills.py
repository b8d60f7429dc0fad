"""``kill -9`` at a cycle's writes, then again: one new version, and no alias without a version.

Kills at every seventh write; ``make prove`` kills at each.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")  # noqa: S108 - the test makes its own folder inside


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if possible: only processes are killed, so a disk would show no more."""
    with TemporaryDirectory(prefix="hangtag-", dir=MEMORY if MEMORY.is_dir() else tmp_path) as folder:
        yield Path(folder)


EACH = pytest.param("promoted", 1, marks=pytest.mark.proof)


@pytest.mark.parametrize(("ends", "stride"), [("promoted", 7), ("refused", 13), EACH])
def test_a_cycle_killed_anywhere_goes_on_to_one_new_version(quick_folder: Path, ends: str, stride: int) -> None:
    command = [sys.executable, "-P", "-m", "tests.killed_cycle", str(quick_folder), str(stride), ends]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    champion = 2 if ends == "promoted" else 1
    for kill in kills:
        assert kill["between"]["champion"] in {1, champion}
        assert kill["after"] == {"versions": [1, 2], "champion": champion}
        assert kill["events"] == ["published", "promoted", "published", ends]
        assert kill["cycles"] == {"000001": ends}
        assert kill["left"] == []
    assert [kill["killed"] for kill in kills] == [True] * (len(kills) - 1) + [False]
    assert {kill["again"] for kill in kills} == {ends, "nothing_new"}
    assert len(kills) > 100 // stride
