"""How often each model is right, and how often it says what float32 says."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from models.bundle import Bundle, open_bundle
from models.classifier import Classifier, load
from models.edge import EdgeModel, is_edge, load_edge
from models.errors import BundleError, ImageError, InputError
from models.manifest import ModelMetadata
from models.photo import walk_files
from models.preprocess import IMAGE_SUFFIXES, Pixels, PreprocessSpec, opened, preprocess, whole_rgb
from models.session import open_session
from models.statistics.confidence import Probability

__all__ = [
    "PHOTOS",
    "REFERENCE",
    "Contestant",
    "Judged",
    "Judging",
    "Lineup",
    "PhotoSet",
    "find_photos",
    "judge",
    "open_lineup",
]


REFERENCE: Final = "float32"
"""The variant that the others are held against."""


@dataclass(frozen=True)
class Contestant:
    """One ONNX file, loaded.

    Attributes:
        variant: ``float32``, ``int8``, ``float16``.
        path: of the file.
        network: what it holds.
        accuracy: on the run's validation photos, as the manifest has it; none where it does not say.
    """

    variant: str
    path: Path
    network: Classifier | EdgeModel
    accuracy: float | None = None

    @property
    def edge(self) -> bool:
        """Whether it takes one whole photo of any size."""
        return isinstance(self.network, EdgeModel)

    def label(self, square: Pixels, whole: Pixels) -> int:
        """The index of a photo's likeliest class; of equal ones the earlier.

        Args:
            square: the photo as :func:`models.preprocess.preprocess` makes it.
            whole: the photo as :func:`models.preprocess.whole_rgb` makes it.
        """
        if isinstance(self.network, EdgeModel):
            return self.network.run(whole).label
        return int(np.argmax(self.network.predict(square[np.newaxis])[0]))


@dataclass(frozen=True)
class Lineup:
    """All that are compared.

    Attributes:
        metadata: of the first, which the others share but for temperature and thresholds.
        contestants: the reference first where there is one, edge graphs last.
        bundle: where they are from; none for a lone file.
    """

    metadata: ModelMetadata
    contestants: tuple[Contestant, ...]
    bundle: Bundle | None


def open_lineup(path: Path, threads: int) -> Lineup:
    """Load a bundle's models, or a lone ONNX file.

    Args:
        path: a bundle, or a file that Hangtag exported.
        threads: how many threads one call may use.

    Raises:
        BundleError: there is none, or it is damaged.
    """
    if path.is_file():
        network = _open_lone(path, threads)
        return Lineup(network.metadata, (Contestant(network.metadata.variant, path, network),), None)
    bundle = open_bundle(path)
    contestants = (*_squares(bundle, threads), *_edges(bundle, threads))
    return Lineup(contestants[0].network.metadata, contestants, bundle)


def _open_lone(path: Path, threads: int) -> Classifier | EdgeModel:
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"Expected to read {path}, the system answered {error}."
        raise BundleError(msg) from error
    edge = is_edge(open_session(data, str(path), threads))
    return load_edge(data, str(path), threads) if edge else load(path, threads=threads)


def _variants(bundle: Bundle) -> list[str]:
    return sorted(bundle.manifest.variants, key=lambda name: name != REFERENCE)


def _squares(bundle: Bundle, threads: int) -> list[Contestant]:
    known = bundle.manifest.variants
    return [
        Contestant(name, bundle.path / known[name].file, load(bundle.path, name, threads), known[name].accuracy)
        for name in _variants(bundle)
    ]


def _edges(bundle: Bundle, threads: int) -> list[Contestant]:
    edges = {name: bundle.manifest.variants[name].edge for name in _variants(bundle)}
    return [
        Contestant(name, bundle.path / file, load_edge(bundle.read(file), str(bundle.path / file), threads))
        for name, file in edges.items()
        if file
    ]


Labels = npt.NDArray[np.int64]
_UNREAD: Final = -1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Judged(_Record):
    """One ONNX file.

    Attributes:
        variant: ``float32``, ``int8``, ``float16``.
        file: its name.
        accuracy: share of the photos that it labels right; none where nobody knows.
        agreement: share of the photos that it labels as float32's file for squares does; none where
            that file is not there.
    """

    variant: str
    file: str
    accuracy: Probability | None
    agreement: Probability | None


class Judging(_Record):
    """All files, and what they were judged on.

    Attributes:
        photos: how many were looked at.
        unreadable: how many more could not be read.
        agreement_on: the photos that a person gave, or the bundle's golden ones.
        accuracy_on: the photos that a person gave, or the run's validation photos, at export; none where nobody knows.
        files: in the order of what was measured.
    """

    photos: int = Field(ge=0)
    unreadable: int = Field(ge=0)
    agreement_on: Literal["images", "golden"] | None
    accuracy_on: Literal["images", "validation"] | None
    files: Annotated[tuple[Judged, ...], Field(strict=False)]


def judge(
    contestants: Sequence[Contestant],
    spec: PreprocessSpec,
    photos: Iterable[Callable[[], bytes]],
    truths: Sequence[int] | None,
    on_photo: Callable[[], None] = lambda: None,
) -> Judging:
    """Show photos to every model.

    Args:
        contestants: the models.
        spec: what makes squares of photos; edge graphs are given the whole photo.
        photos: what reads each photo's bytes.
        truths: the index of each photo's label; none where nobody has said.
        on_photo: told after each photo.

    Raises:
        InputError: no photo could be read.
    """
    labels = np.array([_labels(contestants, spec, photo, on_photo) for photo in photos], np.int64)
    labels = labels.reshape(-1, len(contestants))
    read = labels[:, 0] != _UNREAD
    if not read.any():
        msg = f"Expected photos to judge by, none of {len(labels):,} could be read; name others with --images."
        raise InputError(msg)
    right = None if truths is None else np.asarray(truths, np.int64)[read]
    reference = _reference(contestants, labels[read])
    return Judging(
        photos=int(read.sum()),
        unreadable=int((~read).sum()),
        agreement_on=None if reference is None else "images",
        accuracy_on=None if right is None else "images",
        files=tuple(
            Judged(
                variant=one.variant,
                file=one.path.name,
                accuracy=_share(said, right),
                agreement=_share(said, reference),
            )
            for one, said in zip(contestants, labels[read].T, strict=True)
        ),
    )


def _labels(
    contestants: Sequence[Contestant], spec: PreprocessSpec, photo: Callable[[], bytes], on_photo: Callable[[], None]
) -> list[int]:
    try:
        square, whole = _seen(photo(), spec, any(one.edge for one in contestants))
    except ImageError:
        return [_UNREAD] * len(contestants)
    finally:
        on_photo()
    return [one.label(square, whole) for one in contestants]


def _seen(data: bytes, spec: PreprocessSpec, edge: bool) -> tuple[Pixels, Pixels]:
    """A photo as a square, and as a whole where that is wanted."""
    square = preprocess(data, spec)
    if not edge:
        return square, square
    with opened(data) as image:
        return square, np.asarray(whole_rgb(image))


def _reference(contestants: Sequence[Contestant], labels: Labels) -> Labels | None:
    """What float32's file for squares said; none where it is not there."""
    found = [column for one, column in zip(contestants, labels.T, strict=True) if one.variant == REFERENCE]
    return found[0] if found and not contestants[0].edge else None


def _share(said: Labels, wanted: Labels | None) -> float | None:
    return None if wanted is None else float(np.mean(said == wanted))


PHOTOS: Final = 2000
"""At most so many are looked at."""
_NAMED: Final = 20


@dataclass(frozen=True)
class PhotoSet:
    """Photos, and what they show.

    Attributes:
        paths: of the photos.
        truths: the index of each one's label; none where nobody has said.
    """

    paths: tuple[Path, ...]
    truths: tuple[int, ...] | None


def find_photos(folder: Path, labels: tuple[str, ...], limit: int = PHOTOS) -> PhotoSet:
    """Find photos in class folders, or in a flat folder.

    Args:
        folder: holds folders that are named as labels are, or photos.
        labels: that the model knows; folders of some of them will do.
        limit: of more photos these many are taken, evenly spread.

    Raises:
        InputError: there is no such folder, it holds no photos, it holds both kinds, or a folder is no label's.
    """
    if not folder.is_dir():
        msg = f"Expected a folder of photos at {folder}, found none; name one with class folders inside."
        raise InputError(msg)
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    loose = sorted(entry for entry in folder.iterdir() if entry.is_file() and _is_photo(entry))
    if classes and loose:
        msg = f"Expected class folders or photos in {folder}, found both ({loose[0].name}); put it into its folder."
        raise InputError(msg)
    _check_known(folder, classes, labels)
    found = [(path, labels.index(name)) for name in classes for path in walk_files(folder / name) if _is_photo(path)]
    photos = _evenly(found or [(path, -1) for path in loose], limit)
    if not photos:
        msg = f"Expected photos in {folder}, found none; name a folder of class folders, or of photos."
        raise InputError(msg)
    return PhotoSet(tuple(path for path, _ in photos), tuple(truth for _, truth in photos) if classes else None)


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _check_known(folder: Path, classes: list[str], labels: tuple[str, ...]) -> None:
    strange = [name for name in classes if name not in labels]
    if strange:
        msg = (
            f"Expected the folders in {folder} to be named as the model's labels are ({_listed(labels)}), "
            f"found {_listed(strange)} besides; rename them, or name the folder that holds the class folders."
        )
        raise InputError(msg)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _evenly(photos: list[tuple[Path, int]], limit: int) -> list[tuple[Path, int]]:
    """They lie class by class: the first few would be of one class."""
    wanted = min(len(photos), limit)
    return [photos[i * len(photos) // wanted] for i in range(wanted)]
