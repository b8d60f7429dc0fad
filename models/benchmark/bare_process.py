"""Starts the bare process in which a model is measured."""

import json
import subprocess
from dataclasses import asdict

from models.benchmark.turn import ThreadTimes, Turn, TurnFigures
from models.errors import BundleError
from models.python_process import python_command, python_environment

__all__ = ["take_turn"]


def take_turn(turn: Turn) -> TurnFigures:
    """Measure one file in a fresh process.

    Raises:
        BundleError: the process did not live to tell: it is no model, or there is not memory enough.
    """
    done = subprocess.run(
        python_command("models.benchmark.child"),
        input=json.dumps(asdict(turn)),
        env=python_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise _died(turn, done)
    said = json.loads(done.stdout)
    times = tuple(ThreadTimes(t["threads"], tuple(t["one_ms"]), tuple(t["batch_ms"])) for t in said.pop("times"))
    return TurnFigures(**said, times=times)


def _died(turn: Turn, done: subprocess.CompletedProcess[str]) -> BundleError:
    lines = done.stderr.strip().splitlines()
    why = f"status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
    said = f": {lines[-1]}" if lines else ""
    return BundleError(
        f"Expected to measure {turn.file}, the process that did ended with {why}{said}; "
        "check it with hangtag verify, or export it again."
    )
