"""Submitting a million rows, and merging them: seconds and memory.

    python benchmarks/million.py [--rows 1000000] [--photos PHOTOS --model BUNDLE]

The parts are made up here, since only their merging is measured. Nothing labels: no worker runs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_up_parts import make_up_parts
from material import make_material
from memory import PeakMemory

from worker.queue.private_redis import PrivateRedis

NAME = "million"


def main() -> None:
    """Submit, make up the parts, merge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _, model = make_material(arguments.photos, arguments.model, folder)
        catalogue = folder / "catalogue.csv"
        _write_catalogue(catalogue, arguments.rows)
        jobs = folder / "jobs"
        with PrivateRedis(folder / "redis") as server:
            os.environ.update(HANGTAG_REDIS_URL=server.url, HANGTAG_JOBS=str(jobs))
            submit = ["hangtag", "submit", str(catalogue), "--model", str(model), "--job", NAME]
            _measured("submit", submit)
        make_up_parts(jobs, NAME)
        _measured("merge", ["worker.queue.finish_process", str(jobs), NAME])
        size = (jobs / NAME / "labels.parquet").stat().st_size
        print(f"labels.parquet: {size / 1e6:.0f} MB")


def _write_catalogue(catalogue: Path, rows: int) -> None:
    with catalogue.open("w") as file:
        file.write("sku,title,price,image\n")
        for row in range(rows):
            file.write(f"{row:08},Product number {row},{row % 997}.95,photos/{row % 4096:04}/{row:08}.jpg\n")


def _measured(what: str, words: list[str]) -> None:
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.DEVNULL)
    peak = PeakMemory(process.pid)
    status = process.wait()
    seconds = time.monotonic() - start
    print(f"{what}: {seconds:.1f} s, {peak.stop():.0f} MB at most, exit status {status}", flush=True)


if __name__ == "__main__":
    main()
