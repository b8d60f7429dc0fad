"""Files such as every real catalogue holds: copies, broken downloads, and names that do not say what is inside."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.sample.chance import Stream, pick, stream
from trainer.sample.photo import draw_photo
from trainer.sample.products import PRODUCTS
from trainer.sample.storage import FileFormat, Storage, encode

__all__ = ["Faults", "plant_faults"]

_COPIES = 4
_TEXT = b"<html><body><h1>404 Not Found</h1></body></html>\n"


@dataclass(frozen=True)
class Faults:
    """The faulty files, each relative to the catalogue's folder."""

    duplicates: tuple[Path, ...]
    truncated: tuple[Path, ...]
    not_an_image: tuple[Path, ...]
    wrong_extension: tuple[Path, ...]


def plant_faults(out: Path, photos: list[Path], seed: int) -> Faults:
    """Adds faulty files to a catalogue, numbered on from its last photo.

    Args:
        out: the catalogue's folder.
        photos: its photos, relative to ``out``.
        seed: of the catalogue.
    """
    rng = stream(seed, Stream.FAULTS)
    duplicates = _copy_some(rng, out, photos)
    truncated, not_an_image, wrong_extension = (_new_name(rng, len(photos) + _COPIES + i) for i in range(3))
    jpeg = _draw(rng, truncated, FileFormat.JPEG)
    (out / truncated).write_bytes(jpeg[: len(jpeg) // 2])
    (out / not_an_image).write_bytes(_TEXT)
    (out / wrong_extension).write_bytes(_draw(rng, wrong_extension, FileFormat.PNG))
    return Faults(duplicates, (truncated,), (not_an_image,), (wrong_extension,))


def _new_name(rng: np.random.Generator, number: int) -> Path:
    return Path(pick(rng, tuple(PRODUCTS)), f"{number:04d}.jpg")


def _draw(rng: np.random.Generator, path: Path, file_format: FileFormat) -> bytes:
    """Draws a photo of the product that the path's folder names."""
    return encode(draw_photo(rng, path.parent.name), Storage(file_format))


def _copy_some(rng: np.random.Generator, out: Path, photos: list[Path]) -> tuple[Path, ...]:
    originals = [photos[int(i)] for i in rng.choice(len(photos), _COPIES, replace=False)]
    copies = [path.with_name(f"{len(photos) + i:04d}{path.suffix}") for i, path in enumerate(originals)]
    for original, copy in zip(originals, copies, strict=True):
        (out / copy).write_bytes((out / original).read_bytes())
    return tuple(copies)
