"""Every architecture, with two classes and with many: trained from nothing, fine-tuned from that, exported.

    python benchmarks/architectures.py [--arch cnn mobilenet ...] [--size 64]

Each is trained for an epoch on drawn photos by ``hangtag train --weights none``; then another run begins with what it
has learned (``--weights best.keras``: the head first, then the whole, batch norms at rest), and that one is exported
with its proof. Exits with status 1 if any of it fails.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trainer.arch import Arch
from trainer.sample import draw_catalogue

PHOTOS = 240


def main() -> None:
    """Train, export, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", type=Arch, default=list(Arch), metavar="ARCH")
    parser.add_argument("--size", type=int, default=64)
    asked = parser.parse_args()
    table = Table("architecture", "classes", "from nothing", "fine-tuned", "export", title="One epoch each, seconds")
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for folder in _drawn(Path(scratch)):
            for arch in asked.arch:
                classes = len(list(folder.iterdir()))
                row = _try(arch, folder, Path(scratch) / f"{arch}-{classes}", asked.size)
                failed |= None in row
                table.add_row(arch, str(classes), *("failed" if cell is None else f"{cell:.0f}" for cell in row))
                print(json.dumps({"arch": arch, "classes": classes, "seconds": row}), file=sys.stderr)
    Console().print(table)
    sys.exit(1 if failed else 0)


def _drawn(scratch: Path) -> list[Path]:
    """Photos of many classes, and of two."""
    many, two = scratch / "many", scratch / "two"
    draw_catalogue(many, PHOTOS, seed=3)
    for name in sorted(folder.name for folder in many.iterdir() if folder.is_dir())[:2]:
        shutil.copytree(many / name, two / name)
    return [many, two]


def _try(arch: Arch, photos: Path, runs: Path, size: int) -> list[float | None]:
    """Seconds of each command; none from the first that fails on."""
    train = ["train", str(photos), "--arch", arch, "--image-size", str(size), "--out", str(runs)]
    train += ["--epochs", "1", "--folds", "0"]
    first, second = runs / "first", runs / "second"
    commands = [
        [*train, "--name", "first", "--weights", "none"],
        [*train, "--name", "second", "--weights", str(first / "weights" / "best.keras")],
        ["export", str(second), "--out", str(runs / "bundle")],
    ]
    seconds: list[float | None] = []
    for command in commands:
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "hangtag", *command], capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout[-2000:], done.stderr[-4000:], file=sys.stderr)
            return [*seconds, *[None] * (len(commands) - len(seconds))]
        seconds.append(time.monotonic() - began)
    shutil.rmtree(runs)
    return seconds


if __name__ == "__main__":
    main()
