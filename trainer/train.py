"""One training, from labelled photos to a run folder."""

import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, Protocol

import keras
import numpy as np

from exporter.evenly import evenly
from exporter.training_run import ORIGINALS
from models.errors import ImageError, InputError
from models.photo import read_photo
from models.whole_file import replace_file
from trainer.data.cache import looks_folder, pixels_folder
from trainer.data.dataset import Split, read_dataset
from trainer.data.look_store import LookStore
from trainer.data.pixel_store import PixelStore
from trainer.judging.evaluate import Evaluation
from trainer.judging.folds import choose_folds, share_of_main, train_folds
from trainer.learning.balance import balance_note, choose_balance
from trainer.learning.loop import FitView, TensorBoardView
from trainer.learning.recipe import recipe_for
from trainer.learning.training import Lesson, labels_of, new_network
from trainer.learning.training_step import is_bfloat16_fast
from trainer.networks.build import weights_file
from trainer.networks.choice import NamedWeights, NetworkChoice, default_weights, parse_weights
from trainer.report.pictures import first_batch
from trainer.report.write import leave
from trainer.request import TrainRequest
from trainer.run import EpochFigures, Run, RunArgs, RunState, read_history
from trainer.splits.assigned import AssignedPhoto, read_splits, write_splits
from trainer.splits.prepare import Prepared, SplitWishes, prepare, read_excluded, restore, write_excluded

__all__ = ["TrainResult", "TrainingView", "keep_for_export", "resume", "train"]


TRAIN_SAMPLE: Final = 512
VAL_SAMPLE: Final = 5_000


def keep_for_export(lesson: Lesson) -> None:
    """Keep pixels of validation and of some training photos, and some validation photos as they were."""
    held = [lesson.held[i] for i in evenly(len(lesson.held), VAL_SAMPLE)]
    chosen = np.random.default_rng(lesson.args.seed).permutation(len(lesson.photos))[:TRAIN_SAMPLE]
    _keep_pixels("val", held, lesson)
    _keep_pixels("train_sample", [lesson.photos[i] for i in chosen], lesson)
    _keep_originals(lesson.run, held)


def _keep_pixels(name: Literal["val", "train_sample"], photos: Sequence[AssignedPhoto], lesson: Lesson) -> None:
    pixels = lesson.store.take([photo.sha256 for photo in photos])
    lesson.run.write_pixels(name, pixels, labels_of(photos, lesson.args.classes))


def _keep_originals(run: Run, photos: Sequence[AssignedPhoto]) -> None:
    run.originals.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(photos[i] for i in evenly(len(photos), ORIGINALS)):
        data = _bytes_of(photo)
        if data is not None:
            (run.originals / f"{number:03d}{photo.path.suffix.lower()}").write_bytes(data)


def _bytes_of(photo: AssignedPhoto) -> bytes | None:
    """None of a photo that is gone, or was replaced since: its label is not of what is there now."""
    try:
        data = read_photo(photo.path)
    except ImageError:
        return None
    return data if hashlib.sha256(data).hexdigest() == photo.sha256 else None


_PACKAGES: Final = ("hangtag", "tensorflow", "keras", "numpy", "pillow")
_AFTERWARDS: Final = 0.06
_AFTERWARDS_S: Final = 8.0
"""Of a time limit, what is kept back to judge the network and to draw the report."""


@dataclass(frozen=True)
class TrainResult:
    """What came of a training; no evaluation where no epoch ended."""

    run: Run
    args: RunArgs
    evaluation: Evaluation | None

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped it."""
        return self.args.state is RunState.INTERRUPTED


class TrainingView(Protocol):
    """Who is told how the training goes."""

    def prepared(self, prepared: Prepared, args: RunArgs) -> None:
        """The data is ready."""

    def advance(self, what: str, done: int, total: int) -> None:
        """So much of a piece of work is done."""

    def step(self, done: int, total: int) -> None:
        """A step of the running epoch is done."""

    def epoch(self, figures: EpochFigures, epochs: int) -> None:
        """An epoch is done; there will be so many, as far as one can tell."""


def train(request: TrainRequest, view: TrainingView) -> TrainResult:
    """Train a network.

    Raises:
        InputError: the run exists already, or weights cannot be had.
        DataError: the photos cannot be learned from.
    """
    began = time.monotonic()
    if request.run.exists():
        raise _there_already(request.run)
    weights = _weights(request)
    store = PixelStore(pixels_folder(request.cache), request.preprocess)
    looks = LookStore(looks_folder(request.cache))
    earlier = read_splits(request.splits) if request.splits else []
    wishes = SplitWishes(request.seed, earlier, request.fix_leaks)
    prepared = prepare(read_dataset(request.data), store, looks, wishes, view)
    prepared = replace(prepared, notes=(*prepared.notes, *_balance_notes(request, prepared)))
    run, args = Run(request.run), _args(request, prepared, weights)
    network = new_network(args)
    view.prepared(prepared, args)
    _begin(run, prepared, args)
    with run.alone():
        return _Training(run, args, prepared, store, view).go(network, began)


def _there_already(folder: Path) -> InputError:
    msg = f"{folder} exists; pass another --name, or go on with it: hangtag train --resume {folder}"
    return InputError(msg)


def _begin(run: Run, prepared: Prepared, args: RunArgs) -> None:
    """Write what a resume needs; ``args.json`` comes last, and makes a run of the folder."""
    try:
        run.path.mkdir(parents=True)  # by one training only, should two have looked at the photos meanwhile
    except FileExistsError as error:
        raise _there_already(run.path) from error
    run.write_notes(prepared.notes)
    write_splits(run.splits, prepared.photos)
    write_excluded(run.excluded, prepared.excluded)
    run.write_args(args)


def resume(run: Run, cache: Path, view: TrainingView) -> TrainResult:
    """Go on with a training that was stopped, from its last whole epoch; a complete one is only evaluated again.

    Raises:
        InputError: the run is damaged, or is being trained.
        DataError: its photos are gone or have changed.
    """
    with run.alone():
        return _resume(run, cache, view)


def _resume(run: Run, cache: Path, view: TrainingView) -> TrainResult:
    args = run.args()
    history = read_history(run.history)
    still = {"epochs_done": len(history), "state": RunState.TRAINING, "bfloat16": args.bfloat16 and is_bfloat16_fast()}
    args = args.model_copy(update=still)
    store = PixelStore(pixels_folder(cache), args.preprocess)
    photos = [photo for photo in read_splits(run.splits) if photo.present]
    restore(photos, store, lambda done, total: view.advance("Decoding", done, total))
    prepared = Prepared(photos, read_excluded(run.excluded), args.classes, run.notes())
    view.prepared(prepared, args)
    run.write_args(args)
    began = time.monotonic() - sum(row.seconds for row in [*history, *_of_folds(run, args.folds)])
    return _Training(run, args, prepared, store, view).go(new_network(args, begun=run.state.is_file()), began)


def _of_folds(run: Run, folds: int) -> Iterator[EpochFigures]:
    """The epochs of all folds so far."""
    return itertools.chain.from_iterable(read_history(run.fold(number).history) for number in range(1, folds + 1))


def _weights(request: TrainRequest) -> str:
    """What the network begins with, downloaded if need be; a file is read when the classes are known."""
    arch, size = request.arch, request.preprocess.size
    weights = parse_weights(request.weights) if request.weights else default_weights(arch)
    if arch.min_size <= size < arch.min_exported_size:
        msg = f"{arch} cannot be exported below {arch.min_exported_size} px, got {size}; pass a larger --image-size."
        raise InputError(msg)
    weights_file(NetworkChoice(arch, size, weights, request.alpha))
    if request.fold_weights is not None:
        weights_file(NetworkChoice(arch, size, parse_weights(request.fold_weights), request.alpha))
    return str(weights.resolve() if isinstance(weights, Path) else weights)


def _counts(prepared: Prepared) -> list[int]:
    """Training photos of each class."""
    found = Counter(photo.label for photo in prepared.of(Split.TRAIN))
    return [found[name] for name in prepared.classes]


def _balance_notes(request: TrainRequest, prepared: Prepared) -> list[str]:
    note = balance_note(_counts(prepared), request.balance)
    return [note] if note else []


def _args(request: TrainRequest, prepared: Prepared, weights: str) -> RunArgs:
    recipe = recipe_for(request.arch, pretrained=weights != "none")
    epochs = request.epochs or recipe.epochs * (1 if request.time_limit_s is None else _MORE_EPOCHS)
    return RunArgs(
        schema_version=2,
        name=request.name or request.run.name,
        data=str(request.data.resolve()),
        arch=request.arch,
        preprocess=request.preprocess,
        classes=prepared.classes,
        epochs=epochs,
        batch=request.batch or recipe.batch,
        patience=request.patience or max(10, epochs // 3),
        weights=weights,
        alpha=request.alpha,
        balance=choose_balance(_counts(prepared), request.balance),
        time_limit_s=request.time_limit_s,
        folds=_folds(request, prepared, epochs, weights),
        fold_weights=_fold_weights(request, weights),
        bfloat16=recipe.bfloat16 and is_bfloat16_fast(),
        tensorboard=request.tensorboard,
        seed=request.seed,
        splits=str(request.splits.resolve()) if request.splits else None,
        fix_leaks=request.fix_leaks,
        made_with={package: version(package) for package in _PACKAGES},
    )


def _fold_weights(request: TrainRequest, weights: str) -> str | None:
    """A run's network may have learned from the very photos that a fold is to be honest about."""
    of_a_run = Path(weights).suffix == ".keras"
    return (request.fold_weights or NamedWeights.NONE.value) if of_a_run else None


def _folds(request: TrainRequest, prepared: Prepared, epochs: int, weights: str) -> int:
    if request.folds is not None:
        return request.folds
    if request.arch.is_transfer and _fold_weights(request, weights) == NamedWeights.NONE:
        return 0  # from nothing, and so shortly, such a network learns next to nothing
    if request.time_limit_s is not None and request.time_limit_s < _TIME_FOR_FOLDS_S:
        return 0
    return choose_folds(len(prepared.of(Split.VAL)), len(prepared.of(Split.TRAIN)), epochs)


_TIME_FOR_FOLDS_S: Final = 120
"""With less, folds would learn next to nothing."""
_MORE_EPOCHS: Final = 3
"""With a time limit, how many times a recipe's epochs a fast machine may fit into it."""


class _Training:
    """A training whose data is ready."""

    def __init__(self, run: Run, args: RunArgs, prepared: Prepared, store: PixelStore, view: TrainingView) -> None:
        self._args = args
        self._view = view
        self._prepared = prepared
        self._lesson = Lesson(args, store, prepared.of(Split.TRAIN), prepared.of(Split.VAL), run)

    def go(self, network: keras.Model, began: float) -> TrainResult:
        """Teach, then leave everything a run has.

        Args:
            network: with the weights it begins with.
            began: by :func:`time.monotonic`, when the training began.
        """
        run, lesson, deadline = self._lesson.run, self._lesson, self._deadline(began)
        if not run.train_batch.is_file():
            replace_file(run.train_batch, first_batch(lesson))
        outcome = lesson.teach(network, self._until(deadline), self._fit_view())
        folds = None if outcome.interrupted else train_folds(lesson, self._args.folds, deadline, self._view.advance)
        args = self._args.model_copy(
            update={
                "state": RunState.INTERRUPTED if folds is None else RunState.COMPLETE,
                "epochs_done": len(outcome.history),
                "best_epoch": outcome.best_epoch,
            }
        )
        keep_for_export(lesson)
        evaluation = None
        if outcome.history:
            seconds = time.monotonic() - began
            evaluation = leave(replace(lesson, args=args), self._prepared, folds or [], seconds, self._view)
        run.write_args(args)
        return TrainResult(run, args, evaluation)

    def _fit_view(self) -> FitView:
        return TensorBoardView(self._view, self._lesson.run.tensorboard) if self._args.tensorboard else self._view

    def _deadline(self, began: float) -> float | None:
        limit = self._args.time_limit_s
        return None if limit is None else began + max(limit / 2, limit * (1 - _AFTERWARDS) - _AFTERWARDS_S)

    def _until(self, deadline: float | None) -> float | None:
        """When the network itself is to be done, so that the folds have their time."""
        now = time.monotonic()
        return None if deadline is None else now + (deadline - now) * share_of_main(self._args.folds)
