"""Train, fine-tune and export every architecture, with two classes and with many.

    python benchmarks/architectures.py [--arch cnn mobilenet ...] [--size 64] [--once]

``hangtag train --weights none`` trains each architecture for an epoch on synthetic photos; an EfficientNet-Lite starts
from ImageNet's weights. A second run fine-tunes this network (``--weights best.keras``: first the head, then all
layers, with frozen batch norms). The second network is exported and checked. ``--once`` skips the fine-tuning. Exit
status 1 if any step fails.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trainer.request import Arch
from trainer.sample.catalogue import draw_catalogue

PHOTOS = 240
ARCHS = [arch for arch in Arch if arch is not Arch.EFFICIENTNET_LITE1]  # no extra installs this package


def main() -> None:
    """Train, export, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", type=Arch, default=ARCHS, metavar="ARCH")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--once", action="store_true", help="export the first network, without fine-tuning")
    asked = parser.parse_args()
    steps = ("from nothing", *(() if asked.once else ("fine-tuned",)), "export")
    headings = ("architecture", "classes", *steps, "photos", "largest difference", "flips", "")
    table = Table(*headings, title="Seconds of one epoch; ONNX Runtime compared with Keras")
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for folder in _drawn(Path(scratch)):
            for arch in asked.arch:
                classes = len(list(folder.iterdir()))
                tried = _try(arch, folder, Path(scratch) / f"{arch}-{classes}", asked.size, once=asked.once)
                failed |= tried.parity is None
                table.add_row(arch, str(classes), *_cells(tried, len(steps)))
                print(json.dumps({"arch": arch, "classes": classes, **asdict(tried)}), file=sys.stderr)
    Console().print(table)
    sys.exit(1 if failed else 0)


def _drawn(scratch: Path) -> list[Path]:
    many, two = scratch / "many", scratch / "two"
    draw_catalogue(many, PHOTOS, seed=3)
    for name in sorted(folder.name for folder in many.iterdir() if folder.is_dir())[:2]:
        shutil.copytree(many / name, two / name)
    return [many, two]


@dataclass(frozen=True)
class Tried:
    """One architecture's results.

    Attributes:
        seconds: duration of each successful command.
        parity: the export check in batches: largest difference, flips (changed labels), photos; None after a failure.
    """

    seconds: tuple[float, ...]
    parity: tuple[float, int, int] | None


def _cells(tried: Tried, steps: int) -> list[str]:
    seconds = [f"{cell:.0f}" for cell in tried.seconds] + ["failed"] * (steps - len(tried.seconds))
    if tried.parity is None:
        return [*seconds, "", "", "", "✗"]
    largest, flips, photos = tried.parity
    return [*seconds, str(photos), f"{largest:.1e}", str(flips), "✓"]


def _try(arch: Arch, photos: Path, runs: Path, size: int, *, once: bool) -> Tried:
    train = ["train", str(photos), "--arch", arch, "--image-size", str(size), "--out", str(runs)]
    train += ["--epochs", "1", "--folds", "0"]
    first, second = runs / "first", runs / "second"
    commands = [
        [*train, "--name", "first", "--weights", "imagenet" if arch.is_lite else "none"],
        *([] if once else [[*train, "--name", "second", "--weights", str(first / "weights" / "best.keras")]]),
        ["export", str(first if once else second), "--no-int8", "--json", "--out", str(runs / "bundle")],
    ]
    seconds: list[float] = []
    shown = ""
    for command in commands:
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "hangtag", *command], capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout[-2000:], done.stderr[-4000:], file=sys.stderr)
            return Tried(tuple(seconds), None)
        seconds.append(time.monotonic() - began)
        shown = done.stdout
    shutil.rmtree(runs)
    batches = json.loads(shown)["keras"]["batches"]
    return Tried(tuple(seconds), (batches["largest"], len(batches["flips"]), batches["photos"]))


if __name__ == "__main__":
    main()
