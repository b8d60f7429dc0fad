"""Reads a run folder that the trainer wrote, without importing the trainer."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from models.bundle import MANIFEST_FILE
from models.errors import ImageError, InputError
from models.fit import Decode, Fit
from models.manifest import Measured
from models.photo import evenly, read_photo
from models.preprocess import Pixels, PreprocessSpec
from models.statistics.confidence import Confidence
from models.statistics.out_of_distribution import DistanceHead
from models.statistics.thresholds import HeldOutLogits
from models.taxonomy import Taxonomy
from models.whole_file import read_arrays

ORIGINALS: Final = 256
"""The largest number of validation photos that are stored as files, evenly spread over the validation pixels."""
_REPEATED: Final = 5
_SPLITS: Final[Mapping[str, Literal["validation", "out-of-fold", "test"]]] = MappingProxyType(
    {"val": "validation", "cv": "out-of-fold", "test": "test"}
)


class _Args(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1]
    name: str
    arch: str
    image_size: int
    fit: Fit
    decode: Decode
    classes: tuple[str, ...]
    cv: bool = False
    fold_weights: str | None = None
    parents: dict[str, str] | None = None

    @property
    def preprocess(self) -> PreprocessSpec:
        return PreprocessSpec(size=self.image_size, fit=self.fit, decode=self.decode)


@dataclass(frozen=True)
class TrainingRun:
    """A run that can be exported.

    Attributes:
        network: the Keras model of the best epoch.
        pixels: validation pixels, ``uint8 (n, S, S, 3)``.
        labels: class index of each validation photo, ``(n,)``.
        groups: group index of each validation photo, ``(n,)``. Photos of one product share a group, as do copies of
            one photo.
        sample: file with pixels of some training photos.
        originals: files of validation photos.
        outliers: number of photos without a product on which the out-of-distribution score was measured.
        measured: the main accuracy in the run's report.
        unknown_head: the arrays of the out-of-distribution score, or None if the score could not be learned.
        folds: for each fold, the predictions of the network that was trained without this fold. May be empty.
        pools_folds: whether the fold networks were fully trained. If so, their predictions count as the network's own.
        repeated: share of the labelled rows that show a photo, by its SHA-256. Only photos in five or more rows.
    """

    name: str
    arch: str
    preprocess: PreprocessSpec
    classes: tuple[str, ...]
    network: Path
    pixels: Pixels
    labels: npt.NDArray[np.intp]
    groups: npt.NDArray[np.intp]
    sample: Path
    originals: list[Path]
    outliers: int
    measured: Measured
    confidence: Confidence
    unknown_head: DistanceHead | None
    folds: tuple[HeldOutLogits, ...]
    pools_folds: bool
    tree: Taxonomy | None
    repeated: dict[str, float]

    def original_labels(self) -> list[int]:
        """The class index of each file in ``originals``. A file's name is its index in the result of :func:`evenly`."""
        places = evenly(len(self.pixels), ORIGINALS)
        return [int(self.labels[places[int(path.stem)]]) for path in self.originals]

    def original_bytes(self) -> Iterator[bytes]:
        """The bytes of each file in ``originals``. Empty for unreadable files."""
        for path in self.originals:
            try:
                yield read_photo(path)
            except ImageError:
                yield b""

    @property
    def taxonomy(self) -> dict[str, str] | None:
        """The parent of each label. None if the labels form no tree."""
        return dict(self.tree.parents) if self.tree else None

    def training_pixels(self) -> Pixels:
        """Read pixels of some training photos, ``uint8 (n, S, S, 3)``. Raises InputError if the file is unreadable."""
        return read_arrays(self.sample, "pixels of training photos", "pixels")["pixels"]

    def compared_pixels(self) -> Pixels:
        """Pixels of validation photos and half of the sampled training photos. The other half sets int8's ranges."""
        return np.concatenate([self.pixels, self.training_pixels()[1::2]])


def read_training_run(path: Path) -> TrainingRun:
    """Read a run folder. Raises InputError if it is not a run, is damaged, or has no completed epoch."""
    args = _read_args(path)
    network, kept = path / "weights" / "best.keras", path / "export" / "val.npz"
    for file in (network, kept):
        if not file.is_file():
            msg = (
                f"Expected {file}, found none, so the run is not finished; finish it with hangtag train "
                f"--resume {quote(str(path))}."
            )
            raise InputError(msg)
    arrays = read_arrays(kept, "pixels and labels", "pixels", "labels", "groups")
    pixels, labels, groups = arrays["pixels"], arrays["labels"].astype(np.intp), arrays["groups"].astype(np.intp)
    if not len(pixels):
        msg = f"Expected validation pixels in {kept}, found none; train again."
        raise InputError(msg)
    tree = Taxonomy(args.classes, args.parents) if args.parents else None
    confidence = _read_confidence(path, len(args.classes), tree)
    outliers, measured = _evaluation(path / "evaluation.json")
    return TrainingRun(
        name=args.name,
        arch=args.arch,
        preprocess=args.preprocess,
        classes=args.classes,
        network=network,
        pixels=pixels,
        labels=labels,
        groups=groups,
        sample=path / "export" / "train_sample.npz",
        originals=sorted((path / "export" / "originals").glob("[0-9]*")),
        outliers=outliers,
        measured=measured,
        confidence=confidence,
        unknown_head=_read_head(path / "export" / "unknown.npz") if confidence.unknown else None,
        folds=tuple(map(HeldOutLogits.read, sorted(path.glob("folds/*/answers.npz"))))
        if confidence.out_of_fold
        else (),
        pools_folds=args.cv and args.fold_weights is None,
        tree=tree,
        repeated=_repeated(path / "splits.csv"),
    )


def _repeated(splits: Path) -> dict[str, float]:
    """Shares of repeated photos. If ``splits`` is missing, labelling sends every repeated photo to review."""
    with suppress(FileNotFoundError), splits.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        counts = Counter(row["sha256"] for row in csv.DictReader(file) if row["present"] == "true")
        return {sha256: count / counts.total() for sha256, count in counts.items() if count >= _REPEATED}
    return {}


def _read_args(path: Path) -> _Args:
    try:
        return _Args.model_validate_json((path / "args.json").read_bytes())
    except OSError as error:
        actual = "a bundle, which is already exported" if (path / MANIFEST_FILE).is_file() else "none"
        msg = f"Expected a run (a folder with args.json) at {path}, found {actual}; make one with hangtag train."
        raise InputError(msg) from error
    except ValidationError as error:
        msg = f"{path / 'args.json'} is damaged or of another version; train again."
        raise InputError(msg) from error


def _evaluation(file: Path) -> tuple[int, Measured]:
    try:
        figures = json.loads(file.read_bytes())
        outliers = (figures.get("unknown") or {}).get("outliers")
        measured = [
            Measured(accuracy=float(figures[name]["accuracy"]), photos=int(figures[name]["n"]), split=split)
            for name, split in _SPLITS.items()
            if figures.get(name)
        ]
        leading = max(measured, key=lambda one: (one.split != "validation", one.photos))
        return int(outliers["n"]) if outliers else 0, leading
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        msg = f"Expected the figures of a run in {file}, but the file is gone or damaged ({error!r}); train again."
        raise InputError(msg) from error


def _read_confidence(path: Path, classes: int, tree: Taxonomy | None) -> Confidence:
    file = path / "confidence.json"
    again = f"hangtag train --resume {quote(str(path))} evaluates the run again, and writes this file."
    try:
        confidence = Confidence.model_validate_json(file.read_bytes())
        confidence.check_targets(classes, frozenset(tree.nodes) if tree else frozenset())
    except OSError as error:
        msg = f"Expected {file}, found none; {again}"
        raise InputError(msg) from error
    except ValueError as error:
        msg = f"{file} is damaged, or does not match the {classes} classes of the run; {again}"
        raise InputError(msg) from error
    return confidence


def _read_head(path: Path) -> DistanceHead:
    try:
        with path.open("rb") as file:
            return DistanceHead.read(file)
    except OSError as error:
        again = f"hangtag train --resume {quote(str(path.parent.parent))} writes the file"
        msg = f"Expected the arrays of the out-of-distribution score in {path}, found none; {again}."
        raise InputError(msg) from error
