"""Photos, models and other programs for the benchmarks. Without photos and models, Hangtag makes them."""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from measuring import content_of, cores
from PIL import Image, ImageOps

from models.errors import ImageError
from models.preprocess import IMAGE_SUFFIXES, PreprocessSpec, preprocess

ORIGINALS = 4000
MAX_DISK_BYTES = 4_000_000_000
A_FOLDER = 1000
KEPT = Path(__file__).parents[1] / ".bench"
"""Rendered photos, trained networks and installed programs, reused by later runs; git ignores this folder."""
_ROOMS = Path(__file__).parents[1]
_DRAWN_BY = (_ROOMS / "trainer" / "sample", Path(__file__))
_TRAINED_BY = tuple(_ROOMS / room for room in ("models", "exporter", "trainer"))
SHOP_SIZE = (600, 800)
GRAIN = 4.0
QUALITY = 85
DRAWN = 500


def material_parser(doc: str | None) -> argparse.ArgumentParser:
    """A command-line parser with ``--photos`` and ``--model``."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--model", type=Path)
    return parser


def hangtag(*words: object, environment: Mapping[str, str] | None = None) -> str:
    """Run a Hangtag command in a new process and return its stdout. Raises CalledProcessError if the command fails."""
    command = [sys.executable, "-m", "hangtag", *map(str, words)]
    return subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout


def make_material(photos: Path | None, model: Path | None, scratch: Path, drawn: int = 1000) -> tuple[Path, Path]:
    """Return the folder of photos and the bundle; if one is missing, render ``drawn`` photos and train."""
    if photos and model:
        return photos, model
    demo = scratch / "demo"
    if not (demo / "bundles" / "category").is_dir():
        hangtag("demo", "--out", demo, "--photos", drawn)
    return photos or demo / "photos", model or demo / "bundles" / "category"


def photo_list(photos: Path) -> list[str]:
    """Absolute paths of all photos under a folder, sorted."""
    return [str(path.resolve()) for path in sorted(photos.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES]


def readable_photos(photos: Path) -> list[bytes]:
    """The folder's decodable JPEGs: a comment in a broken photo could change its error."""
    readable = []
    for name in photo_list(photos)[:ORIGINALS]:
        data = Path(name).read_bytes()
        try:
            preprocess(data, PreprocessSpec(size=32))
        except ImageError:
            continue
        if data.startswith(b"\xff\xd8"):
            readable.append(data)
    return readable


def write_distinct(folder: Path, originals: Sequence[bytes], numbers: Sequence[int]) -> None:
    """Write a photo for each index, with distinct bytes: equal files are labelled once. See :func:`distinct_name`."""
    size = sum(map(len, originals)) / len(originals)
    if size * len(numbers) > MAX_DISK_BYTES:
        sys.exit(f"{len(numbers):,} photos of {size / 1e3:.0f} kB need more than {MAX_DISK_BYTES / 1e9:.0f} GB")
    for number, data in zip(numbers, cycle(originals), strict=False):
        file = folder / distinct_name(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_with_comment(data, number.to_bytes(8, "big")))


def _with_comment(jpeg: bytes, comment: bytes) -> bytes:
    """The JPEG with a comment segment at its start. Bytes after its end would take Hangtag longer to decode."""
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def distinct_name(number: int) -> str:
    """A photo's path inside the folder."""
    return f"{number // A_FOLDER}/{number}.jpg"


@dataclass(frozen=True)
class Network:
    """A network that Hangtag trains for the benchmarks. Training is short, because speed does not depend on it."""

    name: str
    size: int
    train: tuple[object, ...]
    export: tuple[object, ...] = ()


def cnn(size: int, epochs: int, *export: object) -> Network:
    """Hangtag's own network, with random weights."""
    return Network("cnn", size, ("--arch", "cnn", "--image-size", size, "--epochs", epochs), export)


CNN = cnn(128, 5)
DEFAULT = Network("EfficientNet-Lite0", 192, ("--epochs", 0))
"""The default network of ``hangtag train``; only its head is trained."""


@dataclass(frozen=True)
class Material:
    """Photos, and a Hangtag network that was trained on them.

    Attributes:
        source: description of the photos, without paths of this machine.
        photos: folders of readable ``.jpg`` files.
        originals: class folders of the copied photos.
        model: a folder with the training run and its bundle.
    """

    source: str
    photos: Path
    originals: Path
    network: Network
    model: Path

    @cached_property
    def names(self) -> list[str]:
        """Paths of all photos."""
        return photo_list(self.photos)

    @property
    def bundle(self) -> Path:
        """The bundle's folder, with ``labels.txt``."""
        return self.model / "bundle"

    @property
    def keras(self) -> Path:
        """The network for Keras and PyTorch."""
        return self.model / "run" / "weights" / "best.keras"

    @cached_property
    def onnx(self) -> dict[str, Path]:
        """The bundle's ONNX files by variant."""
        variants = json.loads((self.bundle / "manifest.json").read_text())["variants"]
        return {name: self.bundle / one["file"] for name, one in variants.items()}

    def few(self) -> "Material":
        """A copy with at most a thousand photos, to warm up."""
        return replace(self, photos=self.photos / "0")

    def said(self) -> dict[str, Any]:
        """The photos and the network, for results.json."""
        sizes = [Path(name).stat().st_size for name in self.names]
        with Image.open(self.names[0]) as first:
            pixels = f"{first.width}×{first.height}"
        return {
            "source": self.source,
            "count": len(sizes),
            "mean_kb": round(sum(sizes) / len(sizes) / 1e3, 1),
            "pixels_of_the_first": pixels,
            "network": f"{self.network.name}, {self.network.size} px",
        }


def shop_material(photos: Path | None, count: int, network: Network, show: Callable[[str], None]) -> Material:
    """Return ``count`` photos with distinct bytes, and a network. Later calls reuse both.

    The photos are copies of the readable photos of a folder, or of rendered photos like a shop's. The network was
    trained on the originals. It stretches photos into its square like ``image_dataset_from_directory``, so that the
    other programs need no preprocessing from Hangtag.
    """
    if photos is None:
        source = f"rendered by trainer/sample, {SHOP_SIZE[0]}×{SHOP_SIZE[1]} JPEG"
        originals = KEPT / f"drawn-{_key(content_of(*_DRAWN_BY), DRAWN)}"
        _once(originals, _draw_shop, show, f"rendering {DRAWN:,} photos")
    else:
        source, originals = f"copies of a folder called {photos.parent.name}/{photos.name}", photos.resolve()
    learned = content_of(originals)
    copies = KEPT / f"photos-{_key(learned, count)}"
    _once(copies, partial(_copy, originals, count), show, f"copying {count:,} photos")
    model = KEPT / f"model-{_key(learned, content_of(*_TRAINED_BY), network)}"
    _once(model, partial(_train, originals, network), show, f"training and exporting {network.name}, {network.size} px")
    return Material(source, copies, originals, network, model)


def _key(*parts: object) -> str:
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:8]


def _copy(originals: Path, count: int, folder: Path) -> None:
    write_distinct(folder, readable_photos(originals), range(count))


def _once(folder: Path, make: Callable[[Path], None], show: Callable[[str], None], what: str) -> None:
    """Make a folder, unless a file beside the folder marks it as complete."""
    made = folder.with_name(f"{folder.name}.made")
    if made.exists():
        return
    show(what)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make(folder)
    made.touch()


def _draw_shop(folder: Path) -> None:
    from trainer.sample.products import PRODUCTS

    for product in PRODUCTS:
        (folder / product).mkdir()
    with ProcessPoolExecutor(cores()) as pool:
        list(pool.map(partial(_draw_one, folder, tuple(PRODUCTS)), range(DRAWN), chunksize=16))


def _draw_one(folder: Path, products: Sequence[str], number: int) -> None:
    """Render a photo with the size and noise of a shop's photo, so that its file is as large."""
    from trainer.sample.photo import draw_photo

    rng = np.random.default_rng([7, number])
    product = products[number % len(products)]
    photo = ImageOps.fit(draw_photo(rng, product).image, SHOP_SIZE, Image.Resampling.BICUBIC)
    grain = rng.normal(0.0, GRAIN, (*reversed(SHOP_SIZE), 1))
    pixels = np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / product / f"{number:06}.jpg", quality=QUALITY)


def _train(photos: Path, network: Network, place: Path) -> None:
    shared = ("--fit", "stretch", "--folds", 0, "--seed", 0, "--out", place, "--name", "run")
    hangtag("train", photos, *network.train, *shared)
    export = ("--max-drop", 100, *network.export)  # after a short training, int8 may lose more than the default limit
    hangtag("export", place / "run", "--out", place / "bundle", *export)


def peer_python(name: str, show: Callable[[str], None]) -> Path:
    """Return the Python of an environment with exactly the pins of ``peers/NAME.txt``."""
    pins = Path(__file__).parent / "peers" / f"{name}.txt"
    place = KEPT / "peers" / name
    installed = place / "installed.txt"
    python = place / "bin" / "python"
    if not installed.exists() or installed.read_bytes() != pins.read_bytes():
        show(f"installing {name} into its own environment")
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", pins], check=True)
        shutil.copy(pins, installed)
    return python
