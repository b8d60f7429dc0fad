"""``hangtag classify`` of one photo as a whole process, compared with a process that only imports the needed packages.

    python benchmarks/cold_start.py BUNDLE PHOTO [--times 25]

The two commands take turns, so that other load slows both commands; the first turn is not counted. The printed ratio is
the median of the turns' ratios.
"""

import argparse
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from statistics import median

BARE = "import numpy, PIL.Image, onnxruntime"


def main() -> None:
    """Print both medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("photo")
    parser.add_argument("--times", type=int, default=25)
    arguments = parser.parse_args()
    commands = command_lines(arguments.bundle, arguments.photo)
    turns = [[_seconds(command) for command in commands] for _ in range(arguments.times + 1)][1:]
    bare, classify = (median(turn[i] for turn in turns) for i in range(len(commands)))
    print(f'python -c "{BARE}"    {1000 * bare:5.0f} ms')
    print(f"hangtag classify one.jpg                          {1000 * classify:5.0f} ms")
    print(f"ratio (median of {len(turns)} turns)                         {median(b / a for a, b in turns):5.2f}")


def command_lines(bundle: object, photo: object) -> tuple[list[str], list[str]]:
    """Command lines of the bare imports, and of ``hangtag classify``."""
    hangtag = Path(sysconfig.get_path("scripts")) / "hangtag"
    return [sys.executable, "-c", BARE], [str(hangtag), "classify", str(photo), "--model", str(bundle)]


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
