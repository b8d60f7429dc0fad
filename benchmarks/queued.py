"""Queued labelling against ``hangtag label``, and whether a worker's memory stays flat.

    python benchmarks/queued.py throughput [--photos PHOTOS --model BUNDLE] [--rows 20000] [--runs 5]
    python benchmarks/queued.py memory --out memory.png [--photos PHOTOS --model BUNDLE] [--rows 200000]

``throughput`` takes turns: ``hangtag label`` with two processes, and a job on two worker processes that are there
already, on the same rows. Printed: rows a second of the labelling phase and of the whole (for the queue: from the start
of ``hangtag submit`` to the receipt), and the ratios run by run. ``memory`` labels one long job and draws the resident
memory of each process of the worker over time.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil
from material import (
    distinct_name,
    hangtag,
    make_material,
    material_parser,
    photo_list,
    readable_photos,
    write_distinct,
)
from workers import Workers

from worker.queue.private_redis import PrivateRedis

WORKERS = 2
DISTINCT = 20_000
"""Photos; the same bytes are labelled once."""


def main() -> None:
    """Run one of the two."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        photos, model = make_material(arguments.photos, arguments.model, folder)
        write_distinct(folder, readable_photos(photo_list(photos)), range(min(arguments.rows, DISTINCT)))
        catalogue = folder / "catalogue.txt"
        catalogue.write_text("".join(f"{distinct_name(row % DISTINCT)}\n" for row in range(arguments.rows)))
        with PrivateRedis(folder / "redis") as server:
            environment = {"HANGTAG_REDIS_URL": server.url, "HANGTAG_JOBS": str(folder / "jobs")}
            os.environ.update(environment)
            with Workers(1, folder / "logs", environment, concurrency=WORKERS) as workers:
                if arguments.what == "throughput":
                    _throughput(catalogue, model, folder, arguments.rows, arguments.runs)
                else:
                    _memory(catalogue, model, folder, workers, arguments.out)


def _arguments() -> argparse.Namespace:
    parser = material_parser(__doc__)
    parser.add_argument("what", choices=["throughput", "memory"])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("memory.png"))
    arguments = parser.parse_args()
    arguments.rows = arguments.rows or (20_000 if arguments.what == "throughput" else 200_000)
    return arguments


def _throughput(catalogue: Path, model: Path, folder: Path, rows: int, runs: int) -> None:
    ratios = []
    print(f"{rows:,} rows, {WORKERS} processes, {runs} runs each, in turns; rows a second")
    print("run   label (phase)   queue (phase)   label (whole)   queue (whole)   phase ratio   whole ratio")
    for number in range(runs + 1):
        label_phase, label_whole = _label(catalogue, model, folder / f"labels-{number}.parquet", rows)
        queue_phase, queue_whole = _queue(catalogue, model, folder / "jobs", f"job-{number}", rows)
        ratio = (queue_phase / label_phase, queue_whole / label_whole)
        if number:  # the first pair warms the disk cache and the workers
            ratios.append(ratio)
            print(
                f"{number:>3}   {label_phase:>13,.0f}   {queue_phase:>13,.0f}   {label_whole:>13,.0f}   "
                f"{queue_whole:>13,.0f}   {ratio[0]:>11.3f}   {ratio[1]:>11.3f}",
                flush=True,
            )
    phase, whole = (statistics.median(pair[i] for pair in ratios) for i in (0, 1))
    print(f"median of the ratios, queue / label: phase {phase:.3f}, whole {whole:.3f}")


def _label(catalogue: Path, model: Path, output: Path, rows: int) -> tuple[float, float]:
    start = time.monotonic()
    done = hangtag("label", catalogue, "--model", model, "--output", output, "--workers", WORKERS, "--json")
    seconds = time.monotonic() - start
    return json.loads(done)["images_per_s"], rows / seconds


def _queue(catalogue: Path, model: Path, jobs: Path, name: str, rows: int) -> tuple[float, float]:
    start = time.monotonic()
    hangtag("submit", catalogue, "--model", model, "--job", name)
    receipt = _await_receipt(jobs / name)
    seconds = time.monotonic() - start
    return json.loads(receipt.read_text())["images_per_s"], rows / seconds


def _await_receipt(job: Path) -> Path:
    while not (job / "receipt.json").exists():
        time.sleep(0.02)
    return job / "receipt.json"


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
        print(f"{role} {pid}: {early:.0f} MB after a tenth of its time, {late:.0f} MB in its last tenth")
    axes.set(xlabel="seconds", ylabel="resident memory, MB", title="A worker's processes over one job", ylim=(0, None))
    axes.legend()
    figure.savefig(out, dpi=110)
    print(f"drawn in {out}")


def _processes(workers: Workers) -> list[tuple[str, psutil.Process]]:
    mains = [("main process", psutil.Process(pid)) for pid in workers.main_pids()]
    slots = [("slot", child) for _, main in mains for child in main.children()]
    merging = [("merging", child) for _, slot in slots for child in slot.children()]
    return [*mains, *slots, *merging]


if __name__ == "__main__":
    main()
