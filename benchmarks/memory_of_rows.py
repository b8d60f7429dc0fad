"""Whether memory grows with the rows: seconds and peak of ``hangtag submit``, a worker's processes, and merging.

    python benchmarks/memory_of_rows.py [--rows 10000 100000 1000000] [--labelled 1000000] [--out memory_of_rows.png]
                                        [--photos PHOTOS --model BUNDLE]

Each is a process of its own, and what it held at most is what Linux says (``VmHWM``). The catalogue is a CSV of the
photos that there are, again and again, three rows a product; submitting names its column of products. A worker labels
catalogues of up to ``--labelled`` rows; it decodes each photo once, and knows the others. The parts that are merged are
made up.
Merging holds one row group of the result, 65,536 rows: its memory grows until there is one, and then no more. Printed:
a row a step and size. Drawn: the same.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import psutil
from material import make_material, material_parser
from memory import PeakMemory
from resident import resident_mb
from workers import Workers

from models.decision import ReviewReason
from models.preprocess import IMAGE_SUFFIXES
from models.storage.storage import FolderStorage
from worker.jobs import Jobs
from worker.queue.private_redis import PrivateRedis
from worker.results import RowResult, Status, part_bytes, part_key

REVIEWED = 0.1
SUBMIT, MAIN, SLOT, MERGE = "hangtag submit", "worker: main process", "worker: labelling process", "merging"


@dataclass(frozen=True)
class Peak:
    """The most memory that a process had, in MB (10⁶ bytes), and how long it took."""

    what: str
    rows: int
    megabytes: float
    seconds: float


def main() -> None:
    """Measure each step on each size, then print and draw."""
    arguments = _arguments()
    peaks: list[Peak] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        photos, model = make_material(arguments.photos, arguments.model, folder)
        with PrivateRedis(folder / "redis") as server:
            os.environ.update(HANGTAG_REDIS_URL=server.url, HANGTAG_JOBS=str(folder / "jobs"))
            for rows in arguments.rows:
                catalogue = _write_catalogue(folder / f"rows-{rows}.csv", photos, rows)
                submit = _submit_words(catalogue, photos, model)
                peaks += _submitted_and_merged(submit, folder / "jobs", rows)
                if rows <= arguments.labelled:
                    peaks += _labelled(submit, folder, rows)
                _print(peaks)
    _draw(peaks, arguments.out)


def _arguments() -> argparse.Namespace:
    parser = material_parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--labelled", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("memory_of_rows.png"))
    return parser.parse_args()


def _write_catalogue(catalogue: Path, photos: Path, rows: int) -> Path:
    names = sorted(str(path.relative_to(photos)) for path in photos.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    with catalogue.open("w", encoding="utf-8") as file:
        file.write("sku,title,price,image\n")
        for row, name in enumerate(islice(cycle(names), rows)):
            file.write(f"{row // 3:08},Product number {row // 3},{row % 997}.95,{name}\n")
    return catalogue


def _submit_words(catalogue: Path, photos: Path, model: Path) -> list[str]:
    return [
        *("hangtag", "submit", str(catalogue), "--model", str(model)),
        *("--image-root", str(photos), "--group-column", "sku", "--job"),
    ]


def _submitted_and_merged(submit: Sequence[str], jobs: Path, rows: int) -> list[Peak]:
    name = f"merged-{rows}"
    submitted = _measured(SUBMIT, rows, [*submit, name])
    _make_up_parts(jobs, name)
    return [submitted, _measured(MERGE, rows, ["worker.finish", str(jobs), name])]


def _make_up_parts(jobs: Path, name: str) -> None:
    """Give every chunk of a job a part; a tenth of the rows, the least sure ones, are for review."""
    job = Jobs(FolderStorage(jobs)).find(name)
    model, chance = job.spec.model.reference, random.Random(0)
    for chunk in range(job.spec.chunks):
        rows = [_made_up(chance, model) for _ in range(job.rows_in_chunk(chunk))]
        path = jobs / name / part_key(chunk)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(part_bytes(rows, job.spec.id, "somewhere:1", 0.3, 0))


def _made_up(chance: random.Random, model: str) -> RowResult:
    label, confidence = chance.choice(["shoes", "hat", "dress"]), chance.random()
    status, reason = Status.LABELED, None
    if confidence < REVIEWED:
        status, reason = Status.REVIEW, ReviewReason.THRESHOLD
    best = ((label, confidence), ("skirt", 0.125), ("shirt", 0.0625))
    return RowResult(label, confidence, status, None, None, best, f"{chance.getrandbits(256):064x}", model, reason)


def _measured(what: str, rows: int, words: list[str]) -> Peak:
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.DEVNULL)
    peak = PeakMemory(process.pid)
    status = process.wait()
    seconds = time.monotonic() - start
    megabytes = peak.stop()
    if status:
        sys.exit(f"{what} of {rows:,} rows ended with status {status}.")
    return Peak(what, rows, megabytes, seconds)


def _labelled(submit: Sequence[str], folder: Path, rows: int) -> list[Peak]:
    """The processes of a worker that has labelled all rows, as they are then."""
    name = f"labelled-{rows}"
    subprocess.run([sys.executable, "-m", *submit, name], check=True, stdout=subprocess.DEVNULL)
    job = Jobs(FolderStorage(folder / "jobs")).find(name)
    environment = {key: os.environ[key] for key in ("HANGTAG_REDIS_URL", "HANGTAG_JOBS")}
    start = time.monotonic()
    with Workers(1, folder / "logs", environment) as workers:
        while job.missing_chunks():
            time.sleep(0.2)
        seconds = time.monotonic() - start
        process = psutil.Process(workers.main_pids()[0])
        slots = max(resident_mb("VmHWM", child.pid) for child in process.children())
        return [Peak(MAIN, rows, resident_mb("VmHWM", process.pid), seconds), Peak(SLOT, rows, slots, seconds)]


def _print(peaks: list[Peak]) -> None:
    print(f"\n{'':28}{'rows':>12}{'MB at most':>12}{'seconds':>10}")
    for peak in sorted(peaks, key=lambda peak: (peak.what, peak.rows)):
        print(f"{peak.what:28}{peak.rows:>12,}{peak.megabytes:>12,.0f}{peak.seconds:>10,.1f}", flush=True)


def _draw(peaks: list[Peak], out: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for what in (SUBMIT, SLOT, MAIN, MERGE):
        points = [(peak.rows, peak.megabytes) for peak in peaks if peak.what == what]
        if points:
            (line,) = axes.plot(*zip(*points, strict=True), marker="o", label=what)
            for place in points:
                axes.annotate(
                    f"{place[1]:.0f}",
                    place,
                    xytext=(0, -15 if what == SLOT else 7),  # two of the lines run close together
                    textcoords="offset points",
                    ha="center",
                    color=line.get_color(),
                )
    sizes = sorted({peak.rows for peak in peaks})
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(0, 1.3 * max(peak.megabytes for peak in peaks))
    axes.set(xlabel="rows of the catalogue (CSV)", ylabel="memory of the process at most, MB")
    axes.set_title("What each process needs at most, by the size of the catalogue")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="lower center", ncols=2, frameon=False)
    figure.savefig(out, dpi=120)
    print(f"drawn in {out}")


if __name__ == "__main__":
    main()
