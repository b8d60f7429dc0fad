"""Drawn photos in given splits, with known faults, and the place of each fault."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from trainer.sample.photo import draw_photo
from trainer.sample.products import PRODUCTS

SPLITS = ("train",) * 8 + ("validation", "test")
ANOTHER = "clock"
"""Copies of one photo under a second label go to this class."""


@dataclass
class SeededSet:
    folder: Path
    faults: dict[str, set[str]] = field(default_factory=dict)

    def put(self, *paths: Path, fault: str) -> None:
        self.faults.setdefault(fault, set()).update(self.name(path) for path in paths)

    def name(self, path: Path) -> str:
        return str(path.relative_to(self.folder))


def seed_faults(folder: Path, each: int, seed: int = 3) -> SeededSet:
    """Draw ``each`` photos a class, and put faults among them; all photos of vases are PNG files."""
    made, chance = SeededSet(folder), np.random.default_rng(seed)
    photos = [_drawn(folder, seed, product, index) for product in PRODUCTS for index in range(each)]
    sound = [path for path in photos if path.parts[-3:-1] not in {("train", "vase"), ("train", ANOTHER)}]
    trained = [path for path in sound if path.parts[-3] == "train" and path.suffix == ".jpg"]
    sources = iter([trained[place] for place in chance.permutation(len(trained))])
    _exact_duplicates(made, sources)
    _near_duplicates(made, sources)
    _label_conflicts(made, sources)
    _leaks(made, sources)
    _wrong_extensions(made, sources)
    _broken_files(made, sources, chance)
    _placeholders(made, chance)
    return made


def _drawn(folder: Path, seed: int, product: str, index: int) -> Path:
    photo = draw_photo(np.random.default_rng([seed, list(PRODUCTS).index(product), index]), product).image
    suffix = "png" if product == "vase" else "jpg"
    return _saved(photo, folder / SPLITS[index % len(SPLITS)] / product / f"{index:03}.{suffix}", 92)


def _saved(photo: Image.Image, path: Path, quality: int = 92) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    photo.save(path, **({"quality": quality} if path.suffix == ".jpg" else {}))
    return path


def _copied(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    return target


def _beside(source: Path, word: str, suffix: str = ".jpg") -> Path:
    return source.with_name(f"{source.stem}-{word}{suffix}")


def _exact_duplicates(made: SeededSet, sources: Iterator[Path]) -> None:
    """Twenty: half of them byte for byte, half of them the same pixels in a lossless file."""
    for number in range(20):
        source = next(sources)
        if number % 2:
            copy = _saved(Image.open(source), _beside(source, "copy", ".png"))
        else:
            copy = _copied(source, _beside(source, "copy"))
        made.put(source, copy, fault="exact_duplicate")


def _near_duplicates(made: SeededSet, sources: Iterator[Path]) -> None:
    """Twenty saved again, every other one smaller too, and twenty with up to 8% of a side cut off."""
    for number in range(20):
        source = next(sources)
        photo = Image.open(source)
        smaller = photo.resize((photo.width * 7 // 10, photo.height * 7 // 10), Image.Resampling.LANCZOS)
        again = _saved(smaller if number % 2 else photo, _beside(source, "again"), 60)
        made.put(source, again, fault="re-encode")
    for number in range(20):
        source = next(sources)
        photo = Image.open(source)
        left, top = photo.width * (number % 5) // 100, photo.height * (4 - number % 5) // 100
        cropped = photo.crop((left, top, photo.width - photo.width * 4 // 100, photo.height - top))
        made.put(source, _saved(cropped, _beside(source, "crop"), 90), fault="crop")


def _label_conflicts(made: SeededSet, sources: Iterator[Path]) -> None:
    for _ in range(5):
        source = next(sources)
        copy = _copied(source, source.parents[1] / ANOTHER / f"{source.parent.name}-{source.name}")
        made.put(source, copy, fault="label_conflict")
        made.put(source, copy, fault="exact_duplicate")


def _leaks(made: SeededSet, sources: Iterator[Path]) -> None:
    for number in range(8):
        source = next(sources)
        split = made.folder / ("test" if number < 4 else "validation") / source.parent.name / f"seen-{source.name}"
        twin = _copied(source, split) if number < 4 else _saved(Image.open(source), split, 70)
        made.put(twin, fault="leak")
        made.put(source, twin, fault="exact_duplicate" if number < 4 else "re-encode")


def _wrong_extensions(made: SeededSet, sources: Iterator[Path]) -> None:
    for _ in range(10):
        source = next(sources)
        Image.open(source).save(source, "PNG")
        made.put(source, fault="wrong_extension")


def _broken_files(made: SeededSet, sources: Iterator[Path], chance: np.random.Generator) -> None:
    for number in range(10):
        source = next(sources)
        data = source.read_bytes()
        source.write_bytes(data[: int(len(data) * chance.uniform(0.3, 0.8))] if number % 2 else b"<html>404</html>")
        made.put(source, fault="broken")


def _placeholders(made: SeededSet, chance: np.random.Generator) -> None:
    picture = Image.new("RGB", (240, 240), (236, 236, 236))
    ImageDraw.Draw(picture).text((60, 110), "image not available", fill=(120, 120, 120), font_size=14)
    for number in range(30):
        path = made.folder / "train" / str(chance.choice(sorted(PRODUCTS))) / f"none-{number:02}.jpg"
        made.put(_saved(picture, path, 90 if number % 3 else 60 + number), fault="placeholder")
