"""``hangtag label`` against a bare loop: the same decoding, the same ONNX file, two processes, nothing else.

    python benchmarks/labelling.py --photos PHOTOS --model BUNDLE [--runs 5]

The two take turns, so that a machine whose speed drifts slows both. Without ``--photos`` and ``--model`` a drawn
catalogue and a small model are made first. Printed: images a second of each, the ratio run by run, and the largest
resident memory of a labelling process.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from material import make_material, material_parser, photo_list
from memory import PeakMemory

WORKERS = 2
BARE_LOOP = """
import sys
from pathlib import Path
import numpy as np
import onnxruntime as ort
from models.classifier import BATCH, load
from models.errors import ImageError
from models.preprocess import preprocess
classifier = load(sys.argv[1])
spec = classifier.metadata.preprocess
names = sys.stdin.read().splitlines()
for start in range(0, len(names), BATCH):
    pixels = []
    for name in names[start:start + BATCH]:
        try:
            pixels.append(preprocess(Path(name).read_bytes(), spec))
        except ImageError:
            pass
    if pixels:
        classifier.predict(np.stack(pixels))
"""


@dataclass(frozen=True)
class Measure:
    """One run: images a second of the whole command, of its labelling phase, and peak resident memory a process."""

    whole: float
    phase: float
    memory_mb: float


def main() -> None:
    """Take turns, print the table."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        photos, model = make_material(arguments.photos, arguments.model, Path(scratch))
        names = photo_list(photos)
        pairs = []
        for number in range(arguments.runs + 1):
            ours = _hangtag(photos, model, Path(scratch) / f"labels-{number}.parquet", len(names))
            bare = _bare(names, model)
            if number:  # the first pair warms the disk cache
                pairs.append((ours, bare))
    _report(len(names), pairs)


def _arguments() -> argparse.Namespace:
    parser = material_parser(__doc__)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    if bool(arguments.photos) != bool(arguments.model):
        parser.error("give --photos and --model, or neither")
    return arguments


def _hangtag(photos: Path, model: Path, output: Path, images: int) -> Measure:
    command = [sys.executable, "-m", "hangtag", "label", str(photos), "--model", str(model)]
    start = time.monotonic()
    process = subprocess.Popen(
        [*command, "--output", str(output), "--workers", str(WORKERS), "--json"], stdout=subprocess.PIPE, text=True
    )
    peak = PeakMemory(process.pid)
    stdout, _ = process.communicate()
    if process.returncode:
        sys.exit("hangtag label failed")
    seconds = time.monotonic() - start
    return Measure(images / seconds, json.loads(stdout)["images_per_s"], peak.stop())


def _bare(names: list[str], model: Path) -> Measure:
    start = time.monotonic()
    processes = []
    for number in range(WORKERS):
        with tempfile.TemporaryFile("w+") as share:
            share.write("\n".join(names[number::WORKERS]))
            share.seek(0)
            processes.append(subprocess.Popen([sys.executable, "-c", BARE_LOOP, str(model)], stdin=share))
    statuses = [process.wait() for process in processes]
    if any(statuses):
        sys.exit("a bare loop failed")
    rate = len(names) / (time.monotonic() - start)
    return Measure(rate, rate, 0.0)


def _report(images: int, pairs: list[tuple[Measure, Measure]]) -> None:
    print(f"{images:,} photos, {WORKERS} processes, {len(pairs)} runs each, in turns; images a second")
    print("run   label (whole)   label (phase)   bare (whole)   whole/bare   phase/bare   memory")
    for number, (ours, bare) in enumerate(pairs, start=1):
        print(
            f"{number:>3}   {ours.whole:>13,.0f}   {ours.phase:>13,.0f}   {bare.whole:>12,.0f}   "
            f"{ours.whole / bare.whole:>10.3f}   {ours.phase / bare.whole:>10.3f}   {ours.memory_mb:>4.0f} MB"
        )
    whole = statistics.median(ours.whole / bare.whole for ours, bare in pairs)
    phase = statistics.median(ours.phase / bare.whole for ours, bare in pairs)
    print(f"median of the ratios: whole command {whole:.3f}, labelling phase {phase:.3f}")
    print(f"largest resident memory of a process: {max(ours.memory_mb for ours, _ in pairs):.0f} MB")


if __name__ == "__main__":
    main()
