"""The folder that one training leaves: ``runs/train/<name>/``."""

import csv
import dataclasses
import fcntl
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from models.arrays import write_arrays
from models.errors import InputError
from models.preprocess import Pixels, PreprocessSpec
from models.statistics.confidence import Confidence
from models.taxonomy import Taxonomy
from models.whole_file import replace_file
from trainer.data.csv_files import write_rows
from trainer.data.table import TableRead
from trainer.request import Arch, Balance


class RunState(StrEnum):
    """How far a training has come."""

    TRAINING = "training"
    INTERRUPTED = "interrupted"
    COMPLETE = "complete"


class RunArgs(BaseModel):
    """The contents of ``args.json``: all that decided what was learned.

    The other fields are as in :class:`trainer.request.TrainRequest`, with a value for all that a person left open.

    Attributes:
        classes: names; the position is the class's index.
        weights: what the network began with: ``none`` (random ones), ``imagenet``, or a file.
        weights_sha256: of the file that it began with; None for random weights.
        fold_weights: what the folds' networks began with, where the network itself began with weights that may have
            learned from these very photos; None if they began with the same.
        cv: whether each fold's network is trained for as long as the network itself, and figures are of them, too.
        bfloat16: whether it learned in bfloat16; it is always judged in float32.
        photos_per_s: number format (``float32``, ``bfloat16``) → photos a second, where both were timed before the
            training.
        unlabeled: where photos without labels came from, as a receipt names a catalogue; None without such photos.
        table: how ``data`` was read, where that is a table whose columns were named; None else.
        taxonomy: of a tree of labels, label → its parent; None without a tree.
        best_epoch: the epoch behind ``weights/best.keras``, from 1; None before the first has ended.
        made_with: package → version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[2]
    name: str
    data: str
    arch: Arch = Field(strict=False)
    preprocess: PreprocessSpec
    classes: tuple[str, ...] = Field(strict=False)
    epochs: int
    batch: int
    patience: int
    weights: str
    weights_sha256: str | None = None
    alpha: float | None
    balance: Balance = Field(strict=False)
    time_limit_s: float | None
    folds: int
    cv: bool = False
    fold_weights: str | None = None
    bfloat16: bool = False
    photos_per_s: dict[str, float] | None = None
    tensorboard: bool
    seed: int
    splits: str | None = None
    fix_leaks: bool = False
    unlabeled: str | None = Field(
        default=None,
        validation_alias=AliasChoices("unlabeled", "unlabelled"),  # as an earlier Hangtag spelled it
    )
    table: TableRead | None = None
    taxonomy: dict[str, str] | None = None
    state: RunState = Field(default=RunState.TRAINING, strict=False)
    epochs_done: int = 0
    best_epoch: int | None = None
    made_with: dict[str, str]

    @property
    def pools_folds(self) -> bool:
        """Whether rows out of fold count as the network's own: the folds' networks begin and are trained as it is."""
        return self.cv and self.fold_weights is None

    @property
    def ended_by_time(self) -> bool:
        """Whether the time limit allowed fewer epochs than were asked for."""
        return self.time_limit_s is not None and self.epochs_done < self.epochs

    @property
    def tree(self) -> Taxonomy | None:
        """The tree that the classes are the leaves of; None without one."""
        return Taxonomy(self.classes, self.taxonomy) if self.taxonomy else None


class _Inside:
    """A path within a run's folder; the ``earlier`` one where an earlier Hangtag left that."""

    def __init__(self, path: str, earlier: str | None = None) -> None:
        self._path, self._earlier = path, earlier

    def __get__(self, run: "Run", owner: type["Run"]) -> Path:
        if self._earlier and (run.path / self._earlier).exists():
            return run.path / self._earlier
        return run.path / self._path


@dataclass(frozen=True)
class Run:
    """The folder of a run, and the paths in it."""

    path: Path

    best = _Inside("weights/best.keras")
    """The Keras model of the best epoch: the last, once the rate has fallen to nothing."""
    last = _Inside("weights/last.keras")
    """The Keras model of the last whole epoch."""
    state = _Inside("weights/state.npz")
    """Weights, optimizers and averages after the last whole epoch: what ``--resume`` goes on from."""
    splits = _Inside("splits.csv")
    """Which photo was used for what."""
    excluded = _Inside("excluded.csv")
    """Which files were set aside, and why."""
    history = _Inside("results.csv")
    """A row an epoch."""
    evaluation = _Inside("evaluation.json")
    """Figures on validation and test."""
    class_figures = _Inside("classes.csv")
    """The figures of each class, as a table."""
    confidence = _Inside("confidence.json")
    """Temperature, thresholds and limits: :class:`models.statistics.confidence.Confidence`."""
    unknown = _Inside("export/unknown.npz")
    """The arrays that compute the out-of-distribution score."""
    predictions = _Inside("predictions.csv")
    """A row for each photo of validation and test, with the best network's prediction."""
    label_issues = _Inside("label_issues.csv")
    """Photos whose label is likely wrong."""
    report = _Inside("report.html")
    """The report to open in a browser."""
    model_card = _Inside("README.md")
    """The model card, in Markdown."""
    train_batch = _Inside("train_batch.jpg")
    """The first batch that the network saw."""
    answers = _Inside("answers.npz")
    """A fold's predictions for the photos that its network was trained without."""
    unlabeled = _Inside("unlabeled.csv", earlier="unlabelled.csv")
    """Photos without labels: what became of each, and which label the network learned it under."""
    soft_labels = _Inside("soft_labels.npy")
    """The probabilities of each class, for each photo without a label that was learned from."""
    guesses = _Inside("guesses.npz")
    """What the network of the labelled photos alone says of those without labels, until it is known who is kept."""
    self_training = _Inside("self_training.json")
    """What the photos without labels brought, and which network is kept."""
    originals = _Inside("export/originals")
    """Some validation photos as they were, for the bundle's golden samples."""
    tensorboard = _Inside("tensorboard")
    """Logs for TensorBoard."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Raise an InputError if another process trains this run; the lock goes with the process, however it ends."""
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            msg = f"{self.path} is being trained by another process; wait for it, or pass another --name."
            raise InputError(msg) from error
        finally:
            os.close(folder)

    def forget_judgement(self) -> None:
        """Remove the judgement of a network that is no longer the best."""
        figures = (self.confidence, self.evaluation, self.class_figures, self.predictions, self.label_issues)
        for path in (*figures, self.report, self.model_card):
            path.unlink(missing_ok=True)

    @property
    def student(self) -> "Run":
        """The run of the network that learns from photos without labels, too, until it is known which is kept."""
        return Run(self.path / "student")

    def fold(self, number: int) -> "Run":
        """The run of a network that is trained without a part of the training photos; from 1."""
        return Run(self.path / "folds" / str(number))

    def notes(self) -> tuple[str, ...]:
        """Remarks on the data for a person, a line each."""
        path = self.path / "notes.txt"
        return tuple(path.read_text().splitlines()) if path.is_file() else ()

    def write_notes(self, notes: Sequence[str]) -> None:
        """Write the remarks on the data."""
        replace_file(self.path / "notes.txt", "".join(f"{note}\n" for note in notes).encode())

    def read_confidence(self) -> Confidence:
        """Read ``confidence.json``; InputError where it is damaged or of another version."""
        try:
            return Confidence.model_validate_json(self.confidence.read_bytes())
        except (OSError, ValidationError) as error:
            again = f"hangtag train --resume {quote(str(self.path))}"
            msg = f"{self.confidence} is damaged or of another version of Hangtag; {again}"
            raise InputError(msg) from error

    def args(self) -> RunArgs:
        """Read ``args.json``; InputError where it is damaged or of another version."""
        try:
            return RunArgs.model_validate_json((self.path / "args.json").read_bytes())
        except ValidationError as error:
            msg = f"{self.path / 'args.json'} is damaged or of another version of Hangtag; train again."
            raise InputError(msg) from error

    def write_args(self, args: RunArgs) -> None:
        """Write ``args.json``, whole; without what only some runs have, so that earlier versions read the others."""
        without = {name for name in ("table", "taxonomy") if getattr(args, name) is None}
        replace_file(self.path / "args.json", args.model_dump_json(indent=1, exclude=without).encode())

    def write_pixels(
        self, name: str, pixels: Pixels, labels: "np.ndarray[Any, Any]", groups: "np.ndarray[Any, Any]"
    ) -> None:
        """Keep pixels ``uint8 (n, S, S, 3)``, class indices ``(n,)`` and numbers of groups ``(n,)`` for the export."""
        write_arrays(self.path / "export" / f"{name}.npz", pixels=pixels, labels=labels, groups=groups)


def open_run(path: Path) -> Run:
    """Find a run on disk; InputError where there is none."""
    if not (path / "args.json").is_file():
        msg = f"Expected a run (a folder with args.json) at {path}, found none; make one with hangtag train."
        raise InputError(msg)
    return Run(path)


def check_free(path: Path) -> None:
    """Raise an InputError if there is something where a new run is to be."""
    if not path.exists():
        return
    quoted, what, further = quote(str(path)), "exists", ""
    try:
        is_complete = Run(path).args().state is RunState.COMPLETE
    except (InputError, OSError):
        is_complete = None
    if is_complete:
        what = "is a complete run"
    elif is_complete is False:
        further = f", or go on with it: hangtag train --resume {quoted}"
    msg = f"{quoted} {what}; pass another --name{further}"
    raise InputError(msg)


@dataclass(frozen=True)
class EpochFigures:
    """One row of ``results.csv``.

    Attributes:
        epoch: from 1.
        lr: learning rate at its end.
        size: side of its training photos in pixels.
        seconds: of the whole epoch, validation included.
        waiting: share of the steps' time in which the network waited for photos.
        images_per_s: training photos a second, validation left out.
        best: whether its network became ``best.keras``: no earlier epoch was better, or the rate has fallen to nothing.
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
    best: bool = False


_COLUMNS: Final[Mapping[str, tuple[str, type]]] = MappingProxyType(
    {
        re.sub("^(train|val)_", r"\1/", field.name): (field.name, int if field.type is int else float)
        for field in dataclasses.fields(EpochFigures)
        if field.name != "best"
    }
)
"""Heading, such as ``train/loss`` → field and its type."""


def best_of(history: Sequence[EpochFigures]) -> EpochFigures:
    """The best epoch as validation has it: the highest validation accuracy, then the lowest loss, then the first."""
    return max(history, key=epoch_rank)


def epoch_rank(figures: EpochFigures) -> tuple[bool, float, float, int]:
    """The value that is largest for the best epoch."""
    return (math.isfinite(figures.val_loss), figures.val_accuracy, -figures.val_loss, -figures.epoch)


def read_history(path: Path) -> list[EpochFigures]:
    """The rows of ``results.csv``, none before it is written; InputError where it is damaged."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="") as file:
            return [
                EpochFigures(**{field: kind(row[heading]) for heading, (field, kind) in _COLUMNS.items()})
                for row in csv.DictReader(file)
            ]
    except (KeyError, TypeError, ValueError) as error:
        msg = f"Expected a row an epoch in {path}, it is damaged ({error}); train again."
        raise InputError(msg) from error


def write_history(path: Path, history: Sequence[EpochFigures]) -> None:
    """Write ``results.csv``, whole."""
    write_rows(path, tuple(_COLUMNS), ([getattr(row, field) for field, _ in _COLUMNS.values()] for row in history))
