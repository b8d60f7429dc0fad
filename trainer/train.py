"""One training, from labelled photos to a run folder."""

import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol

import keras
import numpy as np
import numpy.typing as npt

from exporter.evenly import evenly
from exporter.parity import class_probabilities
from models.errors import InputError
from models.whole_file import replace_file
from trainer.arch import Arch
from trainer.architectures import build_network, compile_network
from trainer.batches import Batches, one_hot, steps_per_epoch
from trainer.cache import looks_folder, pixels_folder
from trainer.check.look_store import LookStore
from trainer.dataset import Split, read_dataset
from trainer.evaluate import Figures, confusion, score
from trainer.fit import EpochFigures, FitOutcome, fit, read_history
from trainer.pixel_store import PixelStore
from trainer.plots import plot_confusion, plot_history
from trainer.prepare import Prepared, SplitWishes, prepare, restore, write_excluded
from trainer.request import TrainRequest
from trainer.run import Run, RunArgs, RunState
from trainer.splits.assigned import AssignedPhoto, read_splits, write_splits

__all__ = ["TrainResult", "TrainingView", "resume", "train"]

TRAIN_SAMPLE: Final = 512
ORIGINALS: Final = 256
_PACKAGES: Final = ("hangtag", "tensorflow", "keras", "numpy", "pillow")


@dataclass(frozen=True)
class TrainResult:
    """What came of a training; ``val`` and ``test`` are none where no epoch ended, or there are no such photos."""

    run: Run
    args: RunArgs
    val: Figures | None
    test: Figures | None

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped it."""
        return self.args.state is RunState.INTERRUPTED


class TrainingView(Protocol):
    """Who is told how the training goes."""

    def prepared(self, prepared: Prepared, args: RunArgs) -> None:
        """The data is ready."""

    def advance(self, what: str, done: int, total: int) -> None:
        """So much of one step of preparing the data is done."""

    def step(self, done: int, total: int) -> None:
        """A step of the running epoch is done."""

    def epoch(self, figures: EpochFigures, epochs: int) -> None:
        """An epoch is done."""


def train(request: TrainRequest, view: TrainingView) -> TrainResult:
    """Train a network from random weights.

    Raises:
        InputError: the run exists already, or there is no such architecture.
        DataError: the photos cannot be learned from.
    """
    if request.run.exists():
        msg = f"{request.run} exists; pass another --name, or go on with it: hangtag train --resume {request.run}"
        raise InputError(msg)
    store = PixelStore(pixels_folder(request.cache), request.preprocess)
    looks = LookStore(looks_folder(request.cache))
    earlier = read_splits(request.splits) if request.splits else []
    wishes = SplitWishes(request.seed, earlier, request.fix_leaks)
    prepared = prepare(read_dataset(request.data), store, looks, wishes, view)
    keras.utils.set_random_seed(request.seed)
    network = build_network(request.arch, request.preprocess.size, len(prepared.classes))
    run, args = Run(request.run), _args(request, prepared.classes)
    view.prepared(prepared, args)
    run.write_args(args)
    write_splits(run.splits, prepared.photos)
    write_excluded(run.excluded, prepared.excluded)
    return _Training(run, args, prepared.photos, store, view).go(network)


def resume(run: Run, cache: Path, view: TrainingView) -> TrainResult:
    """Go on with a training that was stopped, from its last whole epoch; a complete one is only evaluated again.

    Raises:
        InputError: the run is damaged.
        DataError: its photos are gone or have changed.
    """
    args = run.args()
    args = args.model_copy(update={"epochs_done": len(read_history(run.history)), "state": RunState.TRAINING})
    store = PixelStore(pixels_folder(cache), args.preprocess)
    photos = [photo for photo in read_splits(run.splits) if photo.present]
    restore(photos, store, lambda done, total: view.advance("Decoding", done, total))
    view.prepared(Prepared(photos, [], args.classes, ()), args)
    if run.last.is_file():
        network = keras.saving.load_model(run.last)
    else:
        keras.utils.set_random_seed(args.seed)
        network = build_network(args.arch, args.preprocess.size, len(args.classes))
    return _Training(run, args, photos, store, view).go(network)


def _args(request: TrainRequest, classes: tuple[str, ...]) -> RunArgs:
    return RunArgs(
        schema_version=1,
        name=request.run.name,
        data=str(request.data.resolve()),
        arch=request.arch,
        preprocess=request.preprocess,
        classes=classes,
        epochs=request.epochs,
        batch=request.batch,
        patience=request.patience,
        seed=request.seed,
        splits=str(request.splits.resolve()) if request.splits else None,
        fix_leaks=request.fix_leaks,
        made_with={package: version(package) for package in _PACKAGES},
    )


class _Training:
    """A training whose data is ready."""

    def __init__(
        self, run: Run, args: RunArgs, photos: Sequence[AssignedPhoto], store: PixelStore, view: TrainingView
    ) -> None:
        self._run = run
        self._args = args
        self._store = store
        self._view = view
        self._by_split: defaultdict[Split, list[AssignedPhoto]] = defaultdict(list)
        for photo in photos:
            if photo.present:
                self._by_split[photo.split].append(photo)

    def go(self, network: keras.Model) -> TrainResult:
        """Fit, then leave everything a run has."""
        outcome = self._fit(network)
        args = self._args.model_copy(
            update={
                "state": RunState.INTERRUPTED if outcome.interrupted else RunState.COMPLETE,
                "epochs_done": len(outcome.history),
                "best_epoch": outcome.best_epoch,
            }
        )
        self._keep_for_export()
        figures = self._evaluate(outcome) if outcome.history else {}
        self._run.write_args(args)
        return TrainResult(self._run, args, figures.get(Split.VAL), figures.get(Split.TEST))

    def _fit(self, network: keras.Model) -> FitOutcome:
        args, photos = self._args, self._by_split[Split.TRAIN]
        targets = one_hot(self._labels(Split.TRAIN), len(args.classes))
        steps = steps_per_epoch(len(photos), args.batch)
        if not network.compiled:
            compile_network(network, args.arch, len(args.classes), args.epochs * steps)
        batches = Batches(
            self._store,
            [photo.sha256 for photo in photos],
            targets,
            batch=args.batch,
            seed=args.seed,
            first_epoch=int(network.optimizer.iterations) // steps,
            augment=args.arch != Arch.SIMPLE,
        )
        return fit(
            network,
            batches.dataset(),
            (self._pixels(Split.VAL), one_hot(self._labels(Split.VAL), len(args.classes))),
            self._run,
            steps=steps,
            batch=min(args.batch, len(photos)),
            epochs=args.epochs,
            patience=args.patience,
            on_step=lambda done, _: self._view.step(done, steps),
            on_epoch=lambda figures: self._view.epoch(figures, args.epochs),
        )

    def _labels(self, split: Split) -> npt.NDArray[np.intp]:
        index = {name: i for i, name in enumerate(self._args.classes)}
        return np.array([index[photo.label] for photo in self._by_split[split]], np.intp)

    def _pixels(self, split: Split) -> npt.NDArray[np.uint8]:
        return self._store.take([photo.sha256 for photo in self._by_split[split]])

    def _evaluate(self, outcome: FitOutcome) -> dict[Split, Figures | None]:
        """Score the best epoch on validation and test, and draw it."""
        best = keras.saving.load_model(self._run.best, compile=False)
        classes = self._args.classes
        figures: dict[Split, Figures | None] = {}
        for split in (Split.VAL, Split.TEST):
            if not self._by_split[split]:
                figures[split] = None
                continue
            output = class_probabilities(best.predict(self._pixels(split), batch_size=128, verbose=0))
            figures[split] = score(output, self._labels(split), classes)
            matrix = confusion(output, self._labels(split), len(classes))
            shown = f"{self._args.name}: {split}"
        plot_confusion(matrix, classes, shown, self._run.path / "confusion_matrix.png")
        report = {split.value: found.model_dump() if found else None for split, found in figures.items()}
        replace_file(self._run.evaluation, json.dumps(report, indent=1).encode())
        plot_history(outcome.history, self._run.path / "results.png")
        return figures

    def _keep_for_export(self) -> None:
        """What export needs, so that the photos may be gone by then."""
        self._run.write_pixels("val", self._pixels(Split.VAL), self._labels(Split.VAL))
        photos = self._by_split[Split.TRAIN]
        chosen = np.random.default_rng(self._args.seed).permutation(len(photos))[:TRAIN_SAMPLE]
        sample = self._store.take([photos[i].sha256 for i in chosen])
        self._run.write_pixels("train_sample", sample, self._labels(Split.TRAIN)[chosen])
        self._keep_originals()

    def _keep_originals(self) -> None:
        self._run.originals.mkdir(parents=True, exist_ok=True)
        photos = self._by_split[Split.VAL]
        for number, photo in enumerate(photos[i] for i in evenly(len(photos), ORIGINALS)):
            if photo.path.is_file():
                shutil.copyfile(photo.path, self._run.originals / f"{number:03d}{photo.path.suffix.lower()}")
