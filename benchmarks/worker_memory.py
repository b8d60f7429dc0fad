"""Resident memory of each process of a worker, during one long job.

python benchmarks/worker_memory.py --out memory.png [--photos PHOTOS --model BUNDLE] [--rows 200000]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil
from material import distinct_name, hangtag, make_material, material_parser, readable_photos, write_distinct
from workers import Workers

from worker.queue.private_redis import PrivateRedis

WORKERS = 2
DISTINCT = 20_000
"""Number of distinct photos; equal bytes are labelled once."""


def main() -> None:
    """Label one long job, print and plot."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        photos, model = make_material(arguments.photos, arguments.model, folder)
        write_distinct(folder, readable_photos(photos), range(min(arguments.rows, DISTINCT)))
        catalogue = folder / "catalogue.txt"
        catalogue.write_text("".join(f"{distinct_name(row % DISTINCT)}\n" for row in range(arguments.rows)))
        with PrivateRedis(folder / "redis") as server:
            environment = {"HANGTAG_REDIS_URL": server.url, "HANGTAG_JOBS": str(folder / "jobs")}
            os.environ.update(environment)
            with Workers(1, folder / "logs", environment, concurrency=WORKERS) as workers:
                _memory(catalogue, model, folder, workers, arguments.out)


def _arguments() -> argparse.Namespace:
    parser = material_parser(__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--out", type=Path, default=Path("memory.png"))
    return parser.parse_args()


def _memory(catalogue: Path, model: Path, folder: Path, workers: Workers, out: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    hangtag("submit", catalogue, "--model", model, "--job", "long")
    start = time.monotonic()
    seen: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    while not (folder / "jobs" / "long" / "receipt.json").exists():
        time.sleep(0.5)
        for role, process in _processes(workers):
            try:
                megabytes = process.memory_info().rss / 1e6
            except psutil.NoSuchProcess:
                continue
            seen[role, process.pid].append(((time.monotonic() - start), megabytes))
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    for (role, pid), points in seen.items():
        axes.plot(*zip(*points, strict=True), label=f"{role} {pid}")
        tenth = len(points) // 10
        early, late = points[tenth][1], statistics.median(y for _, y in points[-tenth - 1 :])
        print(f"{role} {pid}: {early:.0f} MB after a tenth of the job, {late:.0f} MB in the last tenth")
    axes.set(xlabel="seconds", ylabel="resident memory, MB", title="A worker's processes over one job", ylim=(0, None))
    axes.legend()
    figure.savefig(out, dpi=110)
    print(f"plot: {out}")


def _processes(workers: Workers) -> list[tuple[str, psutil.Process]]:
    mains = [("main process", psutil.Process(pid)) for pid in workers.main_pids()]
    slots = [("slot", child) for _, main in mains for child in main.children()]
    merging = [("merging", child) for _, slot in slots for child in slot.children()]
    return [*mains, *slots, *merging]


if __name__ == "__main__":
    main()
