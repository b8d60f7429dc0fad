"""``hangtag check`` of 1,000, 10,000 and 50,000 photos: seconds, memory, and near duplicates.

    python benchmarks/checking.py [--photos PHOTOS] [--counts 1000 10000 50000] [--keep FOLDER]

The photos are repeated with small edits: saved again, resized, cropped, lightened. All files have distinct bytes. Each
check starts with an empty cache. ``python benchmarks/bench.py --only checking`` compares one check with cleanvision and
imagededup.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from bulk import PEERS
from material import Material, peer_python, photo_list
from measuring import Ran, cores, run
from PIL import Image, ImageEnhance
from rich.console import Console
from rich.table import Table

from models.preprocess import IMAGE_SUFFIXES
from trainer.sample.catalogue import draw_catalogue

DRAWN = 2000
QUALITY = 88
BESIDE = 5000
"""Number of photos that each program checks once."""
OTHERS = ("cleanvision", "imagededup")
"""Other programs, each with its own environment and the script ``peers/NAME_check.py``."""


def main() -> None:
    """Make sets of photos, check them, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="class folders. Default: rendered photos")
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--keep", type=Path, help="folder for the edited photos, reused by the next run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        photos = arguments.photos or _drawn(Path(scratch) / "drawn")
        rows = []
        for count in arguments.counts:
            ran, pairs = _check(_edited(photos, folder / f"{count}", count), Path(scratch) / f"{count}-out")
            rows.append((count, ran.seconds, ran.largest_mb, len(pairs)))
    table = Table(
        "images", "seconds", "ms an image", "peak MB of a process", "pairs", title="hangtag check, empty cache"
    )
    for images, seconds, peak, pairs in rows:
        table.add_row(f"{images:,}", f"{seconds:.1f}", f"{1000 * seconds / images:.2f}", f"{peak:.0f}", f"{pairs:,}")
    Console().print(table)


def _drawn(folder: Path) -> Path:
    draw_catalogue(folder, DRAWN)
    return folder


def _edited(photos: Path, folder: Path, count: int) -> Path:
    if (folder / ".whole").exists():
        return folder
    sources = sorted(path for path in photos.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    chosen = [sources[place] for place in np.random.default_rng(0).permutation(len(sources))]
    for name in {path.parent.name for path in chosen}:
        (folder / name).mkdir(parents=True, exist_ok=True)
    jobs = [
        (chosen[n % len(chosen)], folder / chosen[n % len(chosen)].parent.name / f"{n:06}.jpg", n) for n in range(count)
    ]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(_edit, *zip(*jobs, strict=True), chunksize=64))
    (folder / ".whole").touch()
    return folder


def _edit(source: Path, target: Path, number: int) -> None:
    rng = np.random.default_rng(number)
    with Image.open(source) as opened:
        photo = opened.convert("RGB")
    left, top, right, bottom = rng.uniform(0, 0.03, 4) * [photo.width, photo.height, photo.width, photo.height]
    photo = photo.crop((int(left), int(top), photo.width - int(right), photo.height - int(bottom)))
    scale = rng.uniform(0.7, 1)
    photo = photo.resize((int(photo.width * scale), int(photo.height * scale)), Image.Resampling.LANCZOS)
    ImageEnhance.Brightness(photo).enhance(rng.uniform(0.98, 1.02)).save(target, quality=QUALITY - number % 12)


def _check(data: Path, out: Path) -> tuple[Ran, list[tuple[str, str]]]:
    with tempfile.TemporaryDirectory() as cache:
        ran = run([sys.executable, "-m", "hangtag", "check", data, "--out", out], {"XDG_CACHE_HOME": cache})
    summary = json.loads((out / "check.json").read_text())
    return ran, [(pair["first"]["image"], pair["second"]["image"]) for pair in summary["near_duplicates"]]


def measure(material: Material, show: Callable[[str], None]) -> dict[str, Any]:
    """Run ``hangtag check`` and other programs on edited copies of the network's training photos."""
    pythons = {name: peer_python(name, show) for name in OTHERS}
    with tempfile.TemporaryDirectory() as scratch:
        data = _edited(material.originals, Path(scratch) / "data", BESIDE)
        originals = len(photo_list(material.originals))
        show("hangtag check")
        contestants = {"hangtag check": _found(*_check(data, Path(scratch) / "out"), originals)}
        for name, python in pythons.items():
            show(name)
            ran = run([python, "-P", PEERS / f"{name}_check.py", data, cores()], {"PYTHONPATH": ""})
            contestants[name] = _found(ran, json.loads(ran.said.splitlines()[-1]), originals)
    return {
        "photos": material.said(),
        "edited": BESIDE,
        "with_a_twin": sum(n >= originals or n + originals < BESIDE for n in range(BESIDE)),
        "contestants": contestants,
    }


def _found(ran: Ran, pairs: Iterable[tuple[str, str]], originals: int) -> dict[str, Any]:
    twins: set[int] = set()
    wrong = 0
    for pair in pairs:
        first, second = (int(Path(name).stem) for name in pair)
        if first % originals == second % originals:
            twins |= {first, second}
        else:
            wrong += 1
    took = {"seconds": ran.seconds, "processor_s": ran.processor_s, "memory_mb": ran.memory_mb}
    return {name: round(value, 1) for name, value in took.items()} | {"found": len(twins), "wrong_pairs": wrong}


if __name__ == "__main__":
    main()
