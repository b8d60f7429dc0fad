"""How often each of a bundle's models is right, and how often it predicts what float32 predicts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from models.benchmark.measure import Record
from models.bundle import Bundle, open_bundle, read_file
from models.classifier import Classifier, load, load_network
from models.edge import EdgeModel, load_edge
from models.errors import ImageError, InputError
from models.golden import GOLDEN_FILE
from models.manifest import ModelMetadata
from models.photo import NONE, evenly, read_photo, walk_files
from models.preprocess import IMAGE_SUFFIXES, preprocess, whole_pixels
from models.statistics.confidence import Probability

PHOTOS: Final = 2000
"""The most photos that are used."""
_REFERENCE: Final = "float32"
"""The variant that the others are compared with."""
_NAMED: Final = 20
_UNREAD: Final = -1


@dataclass(frozen=True)
class Contestant:
    """One ONNX file, loaded.

    Attributes:
        variant: ``float32``, ``int8``, ``float16``.
        path: of the file.
        network: what it holds.
        accuracy: on the run's validation photos, as the manifest has it; None if it does not say.
    """

    variant: str
    path: Path
    network: Classifier | EdgeModel
    accuracy: float | None = None

    @property
    def edge(self) -> bool:
        """Whether it takes one whole photo of any size."""
        return isinstance(self.network, EdgeModel)


@dataclass(frozen=True)
class Lineup:
    """All that are compared.

    Attributes:
        metadata: the first one's; the others differ in temperature and thresholds only.
        contestants: the reference first where there is one, edge graphs last.
        bundle: where they are from; None for a lone file.
    """

    metadata: ModelMetadata
    contestants: tuple[Contestant, ...]
    bundle: Bundle | None


def open_lineup(path: Path, threads: int) -> Lineup:
    """Load a bundle's models, or a lone ONNX file, for calls on ``threads`` threads.

    Raises:
        BundleError: there is none, or it is damaged.
    """
    if path.is_file():
        network = load_network(read_file(path), str(path), threads)
        return Lineup(network.metadata, (Contestant(network.metadata.variant, path, network),), None)
    bundle = open_bundle(path)
    variants = sorted(bundle.manifest.variants.items(), key=lambda named: named[0] != _REFERENCE)
    squares = [Contestant(n, path / v.file, load(path, n, threads), v.accuracy) for n, v in variants]
    edges = [
        Contestant(name, path / variant.edge, load_edge(bundle.read(variant.edge), str(path / variant.edge), threads))
        for name, variant in variants
        if variant.edge
    ]
    return Lineup(squares[0].network.metadata, (*squares, *edges), bundle)


@dataclass(frozen=True)
class PhotoSet:
    """Photos to judge models by.

    Attributes:
        kind: given by a person, or the bundle's golden photos.
        reads: what gives the bytes of each.
        truths: the index of each one's label; None for photos without labels.
    """

    kind: Literal["images", "golden"]
    reads: tuple[Callable[[], bytes], ...]
    truths: tuple[int, ...] | None


def golden_photos(bundle: Bundle) -> PhotoSet:
    """The photos that a bundle carries."""
    names = [name for name in bundle.manifest.files if name.startswith("golden/") and name != GOLDEN_FILE]
    return PhotoSet("golden", tuple(partial(bundle.read, name) for name in names), None)


def find_photos(folder: Path, labels: tuple[str, ...], limit: int = PHOTOS) -> PhotoSet:
    """Find photos in class folders, or in a flat folder.

    Folders are named after labels; not every label needs one, and that of photos without a product is left out. Of
    more photos than ``limit`` that many are taken, evenly spread.

    Raises:
        InputError: there is no such folder, it holds no photos, it holds both kinds, or a folder's name is not a label.
    """
    if not folder.is_dir():
        msg = f"Expected a folder of photos at {folder}, found none; name one with class folders inside."
        raise InputError(msg)
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    classes = [name for name in names if name in labels or name != NONE]
    loose = sorted(entry for entry in folder.iterdir() if entry.is_file() and _is_photo(entry))
    if classes and loose:
        msg = (
            f"Expected class folders or photos in {folder}, found both; put {loose[0].name} into the folder of its "
            "class."
        )
        raise InputError(msg)
    if strange := [name for name in classes if name not in labels]:
        msg = (
            f"Expected the folders in {folder} to have the names of the model's labels ({_listed(labels)}), but found "
            f"{_listed(strange)} as well; rename them, or name the folder that holds the class folders."
        )
        raise InputError(msg)
    found = [(path, labels.index(name)) for name in classes for path in walk_files(folder / name) if _is_photo(path)]
    found = found or [(path, -1) for path in loose]
    photos = [found[i] for i in evenly(len(found), limit)]  # they lie class by class
    if not photos:
        msg = f"Expected photos in {folder}, found none; name a folder of class folders, or of photos."
        raise InputError(msg)
    reads = tuple(partial(read_photo, path) for path, _ in photos)
    return PhotoSet("images", reads, tuple(truth for _, truth in photos) if classes else None)


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


class Judged(Record):
    """One ONNX file.

    Attributes:
        variant: ``float32``, ``int8``, ``float16``.
        file: its name.
        accuracy: share of the photos that it labels right; None if unknown.
        agreement: share of the photos that it labels as ``model.onnx`` does; None without that file.
    """

    variant: str
    file: str
    accuracy: Probability | None
    agreement: Probability | None


class Judging(Record):
    """All files, and what they were judged on.

    Attributes:
        photos: how many were looked at.
        unreadable: how many more could not be read.
        agreement_on: the photos that a person gave, or the bundle's golden ones.
        accuracy_on: the photos that a person gave, or the run's validation photos, at export; None if unknown.
        files: in the order of what was measured.
    """

    photos: int = Field(ge=0)
    unreadable: int = Field(ge=0)
    agreement_on: Literal["images", "golden"] | None
    accuracy_on: Literal["images", "validation"] | None
    files: Annotated[tuple[Judged, ...], Field(strict=False)]


def judge(lineup: Lineup, photos: PhotoSet, show: Callable[[int, int], None]) -> Judging:
    """Show photos to every model; where photos have no labels, a model's accuracy is what the manifest has.

    Edge graphs are given the whole photo, the others what preprocessing makes of it. InputError if none could be read.
    """
    rows = []
    for number, read in enumerate(photos.reads, start=1):
        rows.append(_labels(lineup, read))
        show(number, len(photos.reads))
    labels = np.array(rows, np.int64).reshape(-1, len(lineup.contestants))
    seen = labels[:, 0] != _UNREAD
    if not seen.any():
        msg = (
            f"Expected photos to judge the models with, none of {len(labels):,} could be read; name others with "
            "--images."
        )
        raise InputError(msg)
    predicted = list(zip(lineup.contestants, labels[seen].T, strict=True))
    right = None if photos.truths is None else np.asarray(photos.truths, np.int64)[seen]
    reference = next((labels for one, labels in predicted if one.variant == _REFERENCE and not one.edge), None)
    told = photos.kind == "golden" and any(one.accuracy is not None for one in lineup.contestants)
    return Judging(
        photos=int(seen.sum()),
        unreadable=int((~seen).sum()),
        agreement_on=None if reference is None else photos.kind,
        accuracy_on="images" if right is not None else "validation" if told else None,
        files=tuple(
            Judged(
                variant=one.variant,
                file=one.path.name,
                accuracy=one.accuracy if photos.kind == "golden" else _share(labels, right),
                agreement=_share(labels, reference),
            )
            for one, labels in predicted
        ),
    )


def _labels(lineup: Lineup, read: Callable[[], bytes]) -> list[int]:
    """Each model's likeliest class; of equal ones the first."""
    try:
        data = read()
        square = preprocess(data, lineup.metadata.preprocess)
        whole = whole_pixels(data) if any(one.edge for one in lineup.contestants) else square
    except ImageError:
        return [_UNREAD] * len(lineup.contestants)
    return [
        one.network.run(whole).label
        if isinstance(one.network, EdgeModel)
        else int(np.argmax(one.network.predict(square[np.newaxis])[0]))
        for one in lineup.contestants
    ]


def _share(predicted: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64] | None) -> float | None:
    return None if wanted is None else float(np.mean(predicted == wanted))
