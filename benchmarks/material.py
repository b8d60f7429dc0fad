"""Photos and a model to measure with: what a person names, or what ``hangtag demo`` draws and trains."""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from models.errors import ImageError
from models.preprocess import IMAGE_SUFFIXES, PreprocessSpec, preprocess

ORIGINALS = 2000
MAX_DISK_BYTES = 4_000_000_000
A_FOLDER = 1000


def material_parser(doc: str | None) -> argparse.ArgumentParser:
    """A command line with ``--photos`` and ``--model``."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--model", type=Path)
    return parser


def hangtag(*words: object, environment: Mapping[str, str] | None = None) -> str:
    """Run a command as a process of its own; what it prints on stdout. It must succeed."""
    command = [sys.executable, "-m", "hangtag", *map(str, words)]
    return subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout


def make_material(photos: Path | None, model: Path | None, scratch: Path, drawn: int = 1000) -> tuple[Path, Path]:
    """The folder of photos and the bundle; made in ``scratch`` where they are not given, of so many drawn photos."""
    if photos and model:
        return photos, model
    demo = scratch / "demo"
    if not (demo / "bundles" / "demo").is_dir():
        hangtag("demo", "--out", demo, "--photos", drawn)
    return photos or demo / "photos", model or demo / "bundles" / "demo"


def photo_list(photos: Path) -> list[str]:
    """Absolute paths of all photos under a folder, sorted."""
    return [str(path.resolve()) for path in sorted(photos.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES]


def readable_photos(names: Sequence[str]) -> list[bytes]:
    """Photos that can be decoded: a broken one could break in another way with bytes after its end."""
    readable = []
    for name in names[:ORIGINALS]:
        data = Path(name).read_bytes()
        try:
            preprocess(data, PreprocessSpec(size=32))
        except ImageError:
            continue
        readable.append(data)
    return readable


def write_distinct(folder: Path, originals: Sequence[bytes], numbers: Sequence[int]) -> None:
    """A photo for each number, no two with the same bytes, since those are labelled once; see :func:`distinct_name`."""
    size = sum(map(len, originals)) / len(originals)
    if size * len(numbers) > MAX_DISK_BYTES:
        sys.exit(f"{len(numbers):,} photos of {size / 1e3:.0f} kB need more than {MAX_DISK_BYTES / 1e9:.0f} GB")
    for number, data in zip(numbers, cycle(originals), strict=False):
        file = folder / distinct_name(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data + number.to_bytes(8, "big"))


def distinct_name(number: int) -> str:
    """Where a photo is in the folder."""
    return f"{number // A_FOLDER}/{number}.jpg"
