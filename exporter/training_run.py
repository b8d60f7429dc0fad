"""What the exporter reads of a run folder. The trainer writes it; neither room imports the other for it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exporter.confidence.unknown import DistanceHead
from exporter.unknown_kind import UnknownKind
from models.confidence import Confidence
from models.errors import InputError
from models.preprocess import Pixels, PreprocessSpec

__all__ = ["TrainingRun", "read_training_run"]


class _Args(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[2]
    name: str
    arch: str
    preprocess: PreprocessSpec
    classes: tuple[str, ...] = Field(strict=False)


@dataclass(frozen=True)
class TrainingRun:
    """A run that can be exported.

    Attributes:
        name: of the run.
        arch: its architecture.
        preprocess: what turned each photo into pixels.
        classes: names; the position is the class's index.
        network: the Keras model of the best epoch.
        pixels: validation pixels, ``uint8 (n, S, S, 3)``.
        originals: validation photos as they were.
        test_accuracy: on the test split, if there was one.
        confidence: how sure it is.
        unknown_head: the arrays of the unknown score, where that is a distance.
    """

    name: str
    arch: str
    preprocess: PreprocessSpec
    classes: tuple[str, ...]
    network: Path
    pixels: Pixels
    originals: list[Path]
    test_accuracy: float | None
    confidence: Confidence
    unknown_head: DistanceHead | None

    @property
    def unknown(self) -> UnknownKind | None:
        """What the unknown score is; none where it could not be learned."""
        return self.unknown_head or ("energy" if self.confidence.unknown else None)


def read_training_run(path: Path) -> TrainingRun:
    """Read a run folder.

    Raises:
        InputError: it is no run, is damaged, or has not come as far as a first whole epoch.
    """
    args = _read_args(path)
    network, kept = path / "weights" / "best.keras", path / "export" / "val.npz"
    for file in (network, kept):
        if not file.is_file():
            msg = f"Expected {file}, the run has not ended; finish it with hangtag train --resume {path}."
            raise InputError(msg)
    pixels = _read_pixels(kept)
    confidence = _read_confidence(path, len(args.classes))
    distance = confidence.unknown is not None and confidence.unknown.score == "distance"
    return TrainingRun(
        name=args.name,
        arch=args.arch,
        preprocess=args.preprocess,
        classes=args.classes,
        network=network,
        pixels=pixels,
        originals=sorted((path / "export" / "originals").glob("*")),
        test_accuracy=_test_accuracy(path / "evaluation.json"),
        confidence=confidence,
        unknown_head=_read_head(path / "export" / "unknown.npz") if distance else None,
    )


def _read_args(path: Path) -> _Args:
    try:
        return _Args.model_validate_json((path / "args.json").read_bytes())
    except OSError as error:
        msg = f"Expected a run (a folder with args.json) at {path}, found none; make one with hangtag train."
        raise InputError(msg) from error
    except ValidationError as error:
        msg = f"{path / 'args.json'} is damaged or of another version of Hangtag; train anew."
        raise InputError(msg) from error


def _read_pixels(path: Path) -> Pixels:
    try:
        with np.load(path) as arrays:
            return np.asarray(arrays["pixels"])
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        msg = f"Expected validation pixels in {path}, it is damaged ({error}); train anew."
        raise InputError(msg) from error


def _read_confidence(path: Path, classes: int) -> Confidence:
    file, again = path / "confidence.json", f"hangtag train --resume {path} evaluates the run again, and writes it."
    try:
        confidence = Confidence.model_validate_json(file.read_bytes())
    except OSError as error:
        msg = f"Expected {file}, there is none; {again}"
        raise InputError(msg) from error
    except ValidationError as error:
        msg = f"{file} is damaged or of another version of Hangtag; {again}"
        raise InputError(msg) from error
    precisions = [target.precision for target in confidence.targets]
    sound = len(set(precisions)) == len(precisions) and confidence.precision in {None, *precisions}
    if not sound or any(len(target.thresholds) != classes for target in confidence.targets):
        msg = f"{file} disagrees with itself, or with the {classes} classes of the run; {again}"
        raise InputError(msg)
    return confidence


def _read_head(path: Path) -> DistanceHead:
    try:
        with path.open("rb") as file:
            return DistanceHead.read(file)
    except OSError as error:
        again = f"hangtag train --resume {path.parent.parent} makes them anew"
        msg = f"Expected the arrays of the unknown score in {path}, there are none; {again}."
        raise InputError(msg) from error


def _test_accuracy(path: Path) -> float | None:
    if not path.is_file():
        return None
    try:
        test = json.loads(path.read_bytes()).get("test")
        return float(test["accuracy"]) if test else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"Expected the figures of a run in {path}, it is damaged ({error!r}); train anew."
        raise InputError(msg) from error
