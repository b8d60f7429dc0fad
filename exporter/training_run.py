"""What the exporter reads of a run folder. The trainer writes it; neither room imports the other for it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import InputError
from models.preprocess import Pixels, PreprocessSpec

__all__ = ["TrainingRun", "read_training_run"]


class _Args(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1]
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
    """

    name: str
    arch: str
    preprocess: PreprocessSpec
    classes: tuple[str, ...]
    network: Path
    pixels: Pixels
    originals: list[Path]
    test_accuracy: float | None


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
    return TrainingRun(
        name=args.name,
        arch=args.arch,
        preprocess=args.preprocess,
        classes=args.classes,
        network=network,
        pixels=pixels,
        originals=sorted((path / "export" / "originals").glob("*")),
        test_accuracy=_test_accuracy(path / "evaluation.json"),
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


def _test_accuracy(path: Path) -> float | None:
    if not path.is_file():
        return None
    try:
        test = json.loads(path.read_bytes()).get("test")
        return float(test["accuracy"]) if test else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"Expected the figures of a run in {path}, it is damaged ({error!r}); train anew."
        raise InputError(msg) from error
