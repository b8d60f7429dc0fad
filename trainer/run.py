"""The folder of one training: ``runs/train/<name>/``."""

import csv
import dataclasses
import fcntl
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import ValidationError

from models.errors import InputError
from models.fit import Fit
from models.preprocess import PreprocessSpec
from models.statistics.confidence import Confidence
from models.taxonomy import Taxonomy
from models.whole_file import replace_file
from trainer.data.csv_files import write_rows
from trainer.request import Arch, Balance, TrainRequest


class RunState(StrEnum):
    """The state of a training."""

    TRAINING = "training"
    INTERRUPTED = "interrupted"
    COMPLETE = "complete"


class RunArgs(TrainRequest):
    """The contents of ``args.json``: the training request, with Hangtag's choices.

    Attributes:
        parents: the parent of each label in the tree, or None without a tree.
        classes: class names, in the order of their indices.
        cv: whether the folds train for as many epochs as the main network.
        short_of_time: whether the time limit reduced the number of epochs or folds.
        photos_per_s: training photos per second. None if not measured.
        best_epoch: the epoch of ``weights/best.keras``. The first epoch is 1, a head on frozen features 0. None before
            the training ends or is stopped, or if no epoch is complete.
        made_with: the version of each package in use.
    """

    name: str
    arch: Arch
    weights: str
    image_size: int
    fit: Fit
    epochs: int
    batch: int
    balance: Balance
    folds: int
    schema_version: Literal[1] = 1
    classes: tuple[str, ...]
    weights_sha256: str | None = None
    cv: bool = False
    short_of_time: bool = False
    photos_per_s: float | None = None
    state: RunState = RunState.TRAINING
    epochs_done: int = 0
    best_epoch: int | None = None
    made_with: dict[str, str]

    @property
    def preprocess(self) -> PreprocessSpec:
        """The preprocessing of each photo."""
        return PreprocessSpec(size=self.image_size, fit=self.fit, decode=self.decode)

    @property
    def pretrained(self) -> bool:
        """Whether the network starts from pretrained weights."""
        return self.weights != "none"

    @property
    def begins_frozen(self) -> bool:
        """Whether the head is fitted first, on the features of a pretrained body not trained on these photos."""
        return self.arch.is_transfer and self.pretrained and self.fold_weights is None

    @property
    def is_frozen(self) -> bool:
        """Whether only the head is trained, without fine-tuning."""
        return self.epochs == 0

    @property
    def pools_folds(self) -> bool:
        """Whether thresholds also use out-of-fold predictions: the folds must be trained like the main network."""
        return self.cv and self.fold_weights is None

    @property
    def share_of_epochs(self) -> float:
        """The epochs of a fold, as a share of the main network's epochs.

        With a third of the epochs, a fold's network is less accurate, but equally well calibrated.
        """
        return 1.0 if self.cv else 1 / 3

    @property
    def cost_of_folds(self) -> float:
        """The training time of all folds, divided by the training time of the main network."""
        return max(0, self.folds - 1) * self.share_of_epochs

    @property
    def ended_by_time(self) -> bool:
        """Whether the time limit shortened the training."""
        return self.short_of_time or (self.time_limit_s is not None and self.epochs_done < self.epochs)

    @property
    def tree(self) -> Taxonomy | None:
        """The tree whose leaves are the classes, or None without a tree."""
        return Taxonomy(self.classes, dict(self.parents)) if self.parents else None


class Inside:
    """Descriptor for a path inside the folder of a run or cycle."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, folder: Any, owner: type) -> Path:  # noqa: ANN401 - a run or a cycle
        place: Path = folder.path / self._path
        return place


@dataclass(frozen=True)
class Run:
    """A run's folder and its paths."""

    path: Path

    best = Inside("weights/best.keras")  # network of the best epoch, or of the last if the learning rate fell to 0
    last = Inside("weights/last.keras")  # network of the last complete epoch
    state = Inside("weights/state.npz")  # training state after the last complete epoch, for ``--resume``
    splits = Inside("splits.csv")
    excluded = Inside("excluded.csv")
    history = Inside("results.csv")  # one row per epoch
    evaluation = Inside("evaluation.json")
    class_figures = Inside("classes.csv")
    confidence = Inside("confidence.json")  # temperature, thresholds and limits: a Confidence
    unknown = Inside("export/unknown.npz")  # arrays of the out-of-distribution score
    predictions = Inside("predictions.csv")  # a row for each validation and test photo
    label_issues = Inside("label_issues.csv")
    report = Inside("report.html")
    model_card = Inside("README.md")
    answers = Inside("answers.npz")  # a fold's predictions for its held-out photos
    originals = Inside("export/originals")  # files of validation photos, for the bundle's golden samples

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock this run. Raises InputError if another process trains it. The lock ends with the process."""
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            msg = f"Another process is training {self.path}; wait for it, or pass another --name."
            raise InputError(msg) from error
        finally:
            os.close(folder)

    def take_over(self, other: "Run") -> None:
        """Move the files of a fine-tuned run to this run, and remove the fine-tuned run.

        Moves the network first, then its figures. After a crash, call this again.
        """
        if other.best.is_file():
            self.forget_judgement()
            self.history.unlink(missing_ok=True)
            shutil.rmtree(self.path / "folds", ignore_errors=True)
        # move confidence.json and args.json last: other commands require both
        order = {other.best: -1, other.confidence: 1, other.path / "args.json": 2}
        files = [file for file in other.path.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: order.get(file, 0)):
            place = self.path / file.relative_to(other.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
        shutil.rmtree(other.path)

    def forget_judgement(self) -> None:
        """Delete the figures and reports of an earlier network."""
        figures = (self.confidence, self.evaluation, self.class_figures, self.predictions, self.label_issues)
        for path in (*figures, self.report, self.model_card):
            path.unlink(missing_ok=True)

    @property
    def finetuning(self) -> "Run":
        """The run for fine-tuning. If its network is better, it replaces this run's network."""
        return Run(self.path / "finetuning")

    def fold(self, number: int) -> "Run":
        """The run that trains the network of fold ``number``, from 1."""
        return Run(self.path / "folds" / str(number))

    def notes(self) -> tuple[str, ...]:
        """Notes for the user."""
        path = self.path / "notes.txt"
        return tuple(path.read_text().splitlines()) if path.is_file() else ()

    def write_notes(self, notes: Sequence[str]) -> None:
        """Write ``notes.txt``, one note per line."""
        replace_file(self.path / "notes.txt", "".join(f"{note}\n" for note in notes).encode())

    def read_confidence(self) -> Confidence:
        """Read ``confidence.json``. Raises InputError if the file is damaged or of another version."""
        try:
            return Confidence.model_validate_json(self.confidence.read_bytes())
        except (OSError, ValidationError) as error:
            again = f"hangtag train --resume {quote(str(self.path))}"
            msg = f"{self.confidence} is damaged or of another version; {again}"
            raise InputError(msg) from error

    def args(self) -> RunArgs:
        """Read ``args.json``. Raises InputError if the file is damaged or of another version."""
        try:
            return RunArgs.model_validate_json((self.path / "args.json").read_bytes())
        except ValidationError as error:
            msg = f"{self.path / 'args.json'} is damaged or of another version; train again."
            raise InputError(msg) from error

    def read_args(self) -> RunArgs | None:
        """Read ``args.json``, or return None without the file."""
        return self.args() if (self.path / "args.json").is_file() else None

    def write_args(self, args: RunArgs) -> None:
        """Write ``args.json`` atomically."""
        replace_file(self.path / "args.json", args.model_dump_json(indent=1).encode())


def open_run(path: Path) -> Run:
    """Open a run on disk. Raises InputError if there is no run."""
    if not (path / "args.json").is_file():
        msg = f"Expected a run (a folder with args.json) at {path}, found none; make one with hangtag train."
        raise InputError(msg)
    return Run(path)


def check_free(path: Path) -> None:
    """Raise an InputError if the path of a new run is taken."""
    if path.exists():
        place = quote(str(path))
        msg = f"{place} exists; pass another --name, or continue this run: hangtag train --resume {place}"
        raise InputError(msg)


@dataclass(frozen=True)
class EpochFigures:
    """One row of ``results.csv``.

    Attributes:
        lr: learning rate at the end of the epoch.
        size: side of the training photos, in pixels.
        waiting: fraction of the training time in which the network waited for photos.
        images_per_s: training photos per second, without validation.
        compile_s: additional seconds of the first step, which compiles the network.
        best: whether the network of this epoch became ``best.keras``.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    size: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    images_per_s: float = 0.0
    compile_s: float = 0.0
    best: bool = False


_COLUMNS: Final[Mapping[str, tuple[str, type]]] = MappingProxyType(
    {
        re.sub("^(train|val)_", r"\1/", field.name): (field.name, int if field.type is int else float)
        for field in dataclasses.fields(EpochFigures)
        if field.name not in {"compile_s", "best"}
    }
)
"""For each column of ``results.csv``, such as ``train/loss``: the name and type of the field in EpochFigures."""


def best_of(history: Sequence[EpochFigures]) -> EpochFigures:
    """The epoch with the highest validation accuracy. Of equal epochs, the lowest loss wins, then the first epoch."""
    return max(history, key=epoch_rank)


def epoch_rank(figures: EpochFigures) -> tuple[bool, float, float, int]:
    """A sort key: the best epoch has the largest key."""
    return (math.isfinite(figures.val_loss), figures.val_accuracy, -figures.val_loss, -figures.epoch)


def read_history(path: Path) -> list[EpochFigures]:
    """Read the rows of ``results.csv``, if it exists. Raises InputError if the file is damaged."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="") as file:
            return [
                EpochFigures(**{field: kind(row[heading]) for heading, (field, kind) in _COLUMNS.items()})
                for row in csv.DictReader(file)
            ]
    except (KeyError, TypeError, ValueError) as error:
        msg = f"Expected one row per epoch in {path}, but the file is damaged ({error}); train again."
        raise InputError(msg) from error


def write_history(path: Path, history: Sequence[EpochFigures]) -> None:
    """Write ``results.csv`` atomically."""
    write_rows(path, tuple(_COLUMNS), ([getattr(row, field) for field, _ in _COLUMNS.values()] for row in history))
