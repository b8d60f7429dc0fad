"""``hangtag label`` against a bare loop: the same decoding, the same ONNX file, two processes, nothing else.

    python benchmarks/labelling.py --photos PHOTOS --model BUNDLE [--variant int8] [--runs 5]

The two take turns, so that a machine whose speed drifts slows both. Without ``--photos`` and ``--model`` a drawn
catalogue and a small model are made first. Printed: images a second of each, processor time a photo (user and system)
of the command's own process, of its labelling processes and of the bare loop's, the ratios run by run, and the largest
resident memory of a labelling process. On a machine with other work the processor time says more than the rate.
"""

import argparse
import json
import resource
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
classifier = load(sys.argv[1], sys.argv[2] or None)
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
    """One run.

    Attributes:
        whole: images a second of the whole command.
        phase: of its labelling phase.
        own_ms: processor time a photo of the command's own process; 0 for the bare loop, which has none.
        started_ms: of the processes that label.
        memory_mb: the largest resident memory of a process.
    """

    whole: float
    phase: float
    own_ms: float
    started_ms: float
    memory_mb: float

    @property
    def processor_ms(self) -> float:
        """Processor time a photo, of all processes."""
        return self.own_ms + self.started_ms


def main() -> None:
    """Take turns, print the table."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        photos, model = make_material(arguments.photos, arguments.model, Path(scratch))
        names = photo_list(photos)
        pairs = []
        for number in range(arguments.runs + 1):
            output = Path(scratch) / f"labels-{number}.parquet"
            ours = _hangtag(photos, model, arguments.variant, output, len(names))
            bare = _bare(names, model, arguments.variant)
            if number:  # the first pair warms the disk cache
                pairs.append((ours, bare))
    _report(len(names), pairs)


def _arguments() -> argparse.Namespace:
    parser = material_parser(__doc__)
    parser.add_argument("--variant", default="", help="which of the bundle's models; default: the bundle's own")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    if bool(arguments.photos) != bool(arguments.model):
        parser.error("give --photos and --model, or neither")
    return arguments


def _processor_s() -> float:
    """Processor seconds of all processes that have been started from here and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _hangtag(photos: Path, model: Path, variant: str, output: Path, images: int) -> Measure:
    command = [sys.executable, "-m", "hangtag", "label", str(photos), "--model", str(model)]
    command += ["--variant", variant] if variant else []
    start, used_s = time.monotonic(), _processor_s()
    process = subprocess.Popen(
        [*command, "--output", str(output), "--workers", str(WORKERS), "--json"], stdout=subprocess.PIPE, text=True
    )
    peak = PeakMemory(process.pid)
    stdout, _ = process.communicate()
    if process.returncode:
        sys.exit("hangtag label failed")
    seconds, used_s = time.monotonic() - start, _processor_s() - used_s
    memory_mb = peak.stop()
    own_ms, started_ms = (1000 * part_s / images for part_s in (used_s - peak.started_s, peak.started_s))
    return Measure(images / seconds, json.loads(stdout)["images_per_s"], own_ms, started_ms, memory_mb)


def _bare(names: list[str], model: Path, variant: str) -> Measure:
    start, used_s = time.monotonic(), _processor_s()
    processes = []
    for number in range(WORKERS):
        with tempfile.TemporaryFile("w+") as share:
            share.write("\n".join(names[number::WORKERS]))
            share.seek(0)
            processes.append(subprocess.Popen([sys.executable, "-c", BARE_LOOP, str(model), variant], stdin=share))
    statuses = [process.wait() for process in processes]
    if any(statuses):
        sys.exit("a bare loop failed")
    rate = len(names) / (time.monotonic() - start)
    return Measure(rate, rate, 0.0, 1000 * (_processor_s() - used_s) / len(names), 0.0)


def _report(images: int, pairs: list[tuple[Measure, Measure]]) -> None:
    print(f"{images:,} photos, {WORKERS} processes, {len(pairs)} runs each, in turns")
    print("      images a second           label / bare      processor ms a photo")
    print("run   whole   phase    bare   whole   phase    command   labelling     bare   bare / label   memory")
    for number, (ours, bare) in enumerate(pairs, start=1):
        print(
            f"{number:>3}   {ours.whole:>5,.0f}   {ours.phase:>5,.0f}   {bare.whole:>5,.0f}   "
            f"{ours.whole / bare.whole:>5.3f}   {ours.phase / bare.whole:>5.3f}   {ours.own_ms:>8.3f}   "
            f"{ours.started_ms:>9.3f}   {bare.started_ms:>6.3f}   {bare.processor_ms / ours.processor_ms:>12.3f}   "
            f"{ours.memory_mb:>3.0f} MB"
        )
    whole = statistics.median(ours.whole / bare.whole for ours, bare in pairs)
    phase = statistics.median(ours.phase / bare.whole for ours, bare in pairs)
    processor = statistics.median(bare.processor_ms / ours.processor_ms for ours, bare in pairs)
    print(
        f"median of the ratios: whole command {whole:.3f}, labelling phase {phase:.3f}, processor time {processor:.3f}"
    )
    print(f"largest resident memory of a process: {max(ours.memory_mb for ours, _ in pairs):.0f} MB")


if __name__ == "__main__":
    main()
