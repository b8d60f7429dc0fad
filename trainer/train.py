"""One training, from labelled photos to a run folder."""

import hashlib
import math
import shutil
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Final, Protocol

import keras
import numpy as np
import pyarrow as pa

from models.errors import InputError
from models.fit import Fit
from models.photo import NONE
from models.statistics.confidence import TARGETS
from models.statistics.thresholds import HeldOutLogits, fewest_own_rows
from models.text import number_of
from models.whole_file import replace_file
from pages.text import rough_duration
from trainer.check.checkup import scan_photos
from trainer.data.csv_files import cell_path
from trainer.data.dataset import Split, read_dataset
from trainer.data.fetched import fetch_photos
from trainer.data.photo_cache import PixelStore, StatisticsStore
from trainer.data.taxonomy import lookalike_notes, taxonomy_of
from trainer.judging.evaluate import Evaluation
from trainer.judging.folds import (
    CV_FOLDS,
    choose_folds,
    deadline_of_main,
    fewest_epochs,
    is_cross_validated,
    seconds_of_all,
    train_folds,
)
from trainer.judging.self_training import BUDGET, TEACHER_SHARE, SelfTraining, read_self_training, self_train, settle
from trainer.learning.balance import balance_note, choose_balance
from trainer.learning.loop import FitView, TensorBoardView
from trainer.learning.recipe import recipe_for
from trainer.learning.training import Training, in_quicker_format, new_network
from trainer.learning.training_step import has_bfloat16
from trainer.networks.build import weights_file
from trainer.networks.choice import NamedWeights, NetworkChoice, default_weights, parse_weights
from trainer.report.pictures import first_batch
from trainer.report.write import keep_for_export, write_report
from trainer.request import TrainRequest
from trainer.run import Run, RunArgs, RunState, check_free, read_history
from trainer.splits.assigned import AssignedPhoto, read_splits, write_splits
from trainer.splits.prepare import Prepared, SplitOptions, prepare, read_excluded, restore, write_excluded
from trainer.splits.unlabelled import Fate, Unlabelled, find_unlabelled, read_unlabelled, write_unlabelled

_PACKAGES: Final = ("hangtag", "tensorflow", "keras", "numpy", "pillow")
_AFTERWARDS: Final = 0.06
_AFTERWARDS_S: Final = 8.0
"""Kept of a time limit, as a share or in seconds, to judge the network and to write the report."""
_TIME_FOR_FOLDS_S: Final = 120
"""With less time, folds would learn next to nothing."""
_FEWER_FOLDS: Final = 2
"""The folds to try where there is no time for more."""
_MINUTE_S: Final = 60
_ONE_SHAPE: Final = 0.1
"""Photos whose width by height differs from the median by at most this share have one shape."""
_NEARLY_ALL: Final = 0.9
_LITTLE_WHITE: Final = 0.1
"""Less of the square than this is not worth distorting photos for."""
_MORE_EPOCHS: Final = 3
"""With a time limit, how many times a recipe's epochs a fast machine may fit into it."""


@dataclass(frozen=True)
class TrainResult:
    """The result of a training; no evaluation if no epoch was completed.

    ``self_training`` says what photos without labels brought, where there were such and it is known by now.
    """

    run: Run
    args: RunArgs
    evaluation: Evaluation | None
    self_training: SelfTraining | None = None

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped it."""
        return self.args.state is RunState.INTERRUPTED


class TrainingView(FitView, Protocol):
    """Shows the progress of a training."""

    def prepared(self, prepared: Prepared, args: RunArgs) -> None:
        """The data is ready."""

    def advance(self, what: str, done: int, total: int) -> None:
        """How far a piece of work has come."""


def train(request: TrainRequest, view: TrainingView) -> TrainResult:
    """Train a network.

    Raises:
        InputError: the run exists already, or weights or photos without labels cannot be had.
        DataError: the photos cannot be learned from.
    """
    began = time.monotonic()
    check_free(request.run)
    weights = _weights(request)
    statistics = StatisticsStore(request.cache)
    earlier = read_splits(request.splits) if request.splits else []
    options = SplitOptions(request.seed, earlier, request.fix_leaks)
    dataset = read_dataset(request.data, request.table)
    tree = taxonomy_of(dataset, request.parents)
    dataset = fetch_photos(dataset, request.table.allow_hosts, request.cache, partial(view.advance, "Fetching"))
    scanned = scan_photos(dataset.photos, statistics, view.advance)
    products = [sha for photo, sha in zip(scanned.photos, scanned.sha256s, strict=True) if photo.label != NONE]
    request, stretched = _with_fit(request, statistics.statistics(products))
    store = PixelStore(request.cache, request.preprocess)
    prepared = prepare(dataset, scanned, store, statistics, options, view.advance)
    balanced = balance_note(_counts(prepared), request.balance)
    lookalikes = lookalike_notes(dataset, request.parents)
    prepared = replace(prepared, notes=(*prepared.notes, *filter(None, (stretched, balanced)), *lookalikes))
    found = None
    if request.unlabeled is not None:
        budget, stores = BUDGET * len(prepared.of(Split.TRAIN)), (store, statistics)
        found = find_unlabelled(request.unlabeled, prepared.photos, budget, stores, request.seed, view.advance)
        prepared = replace(prepared, notes=(*prepared.notes, found.note))
    run, args = Run(request.run), _args(request, prepared, weights, found.source if found else None)
    kept = tree.limited_to(args.classes) if tree else None  # classes without enough photos have gone
    args = args.model_copy(update={"table": dataset.table, "taxonomy": dict(kept.parents) if kept else None})
    args = in_quicker_format(args, len(prepared.of(Split.TRAIN)))
    network = new_network(args)
    view.prepared(prepared, args)
    _begin(run, prepared, args, found)
    with run.alone():
        return _train(_training(run, args, store, prepared), prepared, network, began, view)


def resume(run: Run, cache: Path, view: TrainingView) -> TrainResult:
    """Go on with a training that was stopped, from its last whole epoch; a complete one is only evaluated again.

    Raises:
        InputError: the run is damaged, or is being trained.
        DataError: its photos are gone or have changed.
    """
    with run.alone():
        settle(run)
        args, history = run.args(), read_history(run.history)
        bfloat16 = args.bfloat16 and has_bfloat16()  # this may be another machine
        now = {"epochs_done": len(history), "state": RunState.TRAINING, "bfloat16": bfloat16}
        args = args.model_copy(update=now)
        store = PixelStore(cache, args.preprocess)
        photos = [photo for photo in read_splits(run.splits) if photo.present]
        restore([*photos, *_candidates(run)], store, view.advance)
        prepared = Prepared(photos, read_excluded(run.excluded), args.classes, run.notes())
        view.prepared(prepared, args)
        run.write_args(args)
        began = time.monotonic() - _seconds_of(run, args.folds) - _seconds_of(run.student, args.folds)
        network = new_network(args, begun=run.state.is_file())
        return _train(_training(run, args, store, prepared), prepared, network, began, view)


def _seconds_of(run: Run, folds: int) -> float:
    """What all epochs of a network and of its folds have taken."""
    parts = (run, *(run.fold(number) for number in range(1, folds + 1)))
    return sum(row.seconds for part in parts for row in read_history(part.history))


def _candidates(run: Run) -> list[AssignedPhoto]:
    """The photos without labels that are yet to be learned from."""
    photos = (photo for photo in read_unlabelled(run.unlabeled) if photo.fate is Fate.CANDIDATE)
    return [AssignedPhoto(cell_path(one.image), "", Split.TRAIN, one.sha256, "") for one in photos]


def _training(run: Run, args: RunArgs, store: PixelStore, prepared: Prepared) -> Training:
    learned, held = prepared.of(Split.TRAIN), prepared.of(Split.VAL)
    return Training(args, store, learned, held, run, prepared.outliers(Split.TRAIN))


def _begin(run: Run, prepared: Prepared, args: RunArgs, found: Unlabelled | None) -> None:
    """Write what a resume needs; ``args.json`` comes last, and makes a run of the folder."""
    try:
        run.path.mkdir(parents=True)  # by one training only, should two have looked at the photos meanwhile
    except FileExistsError:
        check_free(run.path)
        raise
    run.write_notes(prepared.notes)
    write_splits(run.splits, prepared.photos)
    write_excluded(run.excluded, prepared.excluded)
    if found is not None:
        write_unlabelled(run.unlabeled, found.photos)
    run.write_args(args)


def _with_fit(request: TrainRequest, statistics: pa.Table) -> tuple[TrainRequest, str | None]:
    """The request with the fit that suits the photos, and what to tell a person; unchanged if the person chose it.

    Photos of one shape are stretched: all are squeezed alike, and none of the square is left white.
    """
    if not request.auto_fit or not len(statistics):
        return request, None
    shapes = np.divide(statistics["width"], statistics["height"])
    median = float(np.median(shapes))
    alike, white = float(np.mean(np.abs(shapes / median - 1) <= _ONE_SHAPE)), 1 - min(median, 1 / median)
    if alike < _NEARLY_ALL or white < _LITTLE_WHITE:
        return request, None
    note = (
        f"Photos are stretched to a square: {alike:.0%} have about the same shape (width {median:.2f} × height), and "
        f"to pad them would leave {white:.0%} of the square white; --fit pad keeps their shape"
    )
    return replace(request, preprocess=request.preprocess.model_copy(update={"fit": Fit.STRETCH})), note


def _weights(request: TrainRequest) -> str:
    """The weights that the network begins with, downloaded if need be; a file is read once the classes are known."""
    arch, size = request.arch, request.preprocess.size
    weights = parse_weights(request.weights) if request.weights else default_weights(arch)
    if arch.min_size <= size < arch.min_exported_size:
        msg = f"{arch} cannot be exported below {arch.min_exported_size} px, got {size}; pass a larger --image-size."
        raise InputError(msg)
    for begin in (weights, parse_weights(request.fold_weights or NamedWeights.NONE)):
        weights_file(NetworkChoice(arch, size, begin, request.alpha))
    return str(weights.resolve() if isinstance(weights, Path) else weights)


def _counts(prepared: Prepared) -> list[int]:
    """Training photos of each class."""
    found = Counter(photo.label for photo in prepared.of(Split.TRAIN))
    return [found[name] for name in prepared.classes]


def _args(request: TrainRequest, prepared: Prepared, weights: str, unlabelled: str | None) -> RunArgs:
    recipe = recipe_for(request.arch, pretrained=weights != "none")
    batch = request.batch or recipe.batch
    usual = recipe.epochs_of(len(prepared.of(Split.TRAIN)), batch)
    planned = max(1, round(usual * request.length))
    epochs = request.epochs or planned * (1 if request.time_limit_s is None else _MORE_EPOCHS)
    folds, cv = _folds(request, prepared, epochs, weights)
    return RunArgs(
        schema_version=2,
        name=request.name or request.run.name,
        data=str(request.data.resolve()),
        arch=request.arch,
        preprocess=request.preprocess,
        classes=prepared.classes,
        epochs=epochs,
        batch=batch,
        patience=request.patience or max(10, epochs // 3),
        weights=weights,
        alpha=request.alpha,
        balance=choose_balance(_counts(prepared), request.balance),
        time_limit_s=request.time_limit_s,
        folds=folds,
        cv=cv,
        fold_weights=_fold_weights(request, weights),
        tensorboard=request.tensorboard,
        seed=request.seed,
        splits=str(request.splits.resolve()) if request.splits else None,
        fix_leaks=request.fix_leaks,
        unlabeled=unlabelled,
        weights_sha256=_sha256(request, weights),
        made_with={package: version(package) for package in _PACKAGES},
    )


def _sha256(request: TrainRequest, weights: str) -> str | None:
    """Of the file that the network begins with: what was downloaded may have no digest of its publisher's."""
    file = weights_file(NetworkChoice(request.arch, request.preprocess.size, parse_weights(weights), request.alpha))
    if file is None:
        return None
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _fold_weights(request: TrainRequest, weights: str) -> str | None:
    """The weights for folds: a run's network may have seen the very photos that a fold is judged on."""
    of_a_run = Path(weights).suffix == ".keras"
    return (request.fold_weights or NamedWeights.NONE.value) if of_a_run else None


def _folds(request: TrainRequest, prepared: Prepared, epochs: int, weights: str) -> tuple[int, bool]:
    """How many folds, and whether each is a full training."""
    if request.cv:
        return request.cv, True
    if request.folds is not None:
        return request.folds, False
    if request.arch.is_transfer and _fold_weights(request, weights) == NamedWeights.NONE:
        return 0, False  # from nothing, and so shortly, such a network learns next to nothing
    if request.time_limit_s is not None and request.time_limit_s < _TIME_FOR_FOLDS_S:
        return 0, False
    held, learned = (len(prepared.of(split)) for split in (Split.VAL, Split.TRAIN))
    if request.cv is None and is_cross_validated(held + learned, epochs):
        return CV_FOLDS, True
    return choose_folds(held, learned, epochs), False


def _train(
    training: Training, prepared: Prepared, network: keras.Model, began: float, view: TrainingView
) -> TrainResult:
    """Train the network, which has the weights it begins with, then write everything that a run has."""
    run, args, limit = training.run, training.args, training.args.time_limit_s
    deadline = None if limit is None else began + max(limit / 2, limit * (1 - _AFTERWARDS) - _AFTERWARDS_S)
    if not run.train_batch.is_file():
        replace_file(run.train_batch, first_batch(training))
    end = deadline
    teaches = args.unlabeled is not None and read_self_training(run) is None
    if end is not None and teaches:
        now = time.monotonic()
        end = now + (end - now) * TEACHER_SHARE
    until, fewest = deadline_of_main(args, end), fewest_epochs(training) if args.folds and end else 0
    shown = TensorBoardView(view, run.tensorboard) if args.tensorboard else view
    lack, prepared_s = "", time.monotonic() - began

    def lacks(seconds: float) -> None:
        nonlocal lack
        lack = _too_few(training, prepared_s, seconds)
        view.note(lack)

    outcome = training.train(network, until, shown, fewest, end, lacks)
    folds: list[HeldOutLogits] | None = [] if outcome.lacked_time else None
    if not outcome.lacked_time and not outcome.interrupted:
        folds = train_folds(training, args.folds, end, view.advance, fewest=fewest, note=view.note)
        if fewest and folds == []:
            lacks(mean(row.seconds for row in outcome.history) * fewest)
    if lack and not outcome.interrupted:
        training, prepared = _without_folds(training, prepared, lack)
        args = training.args
    stopped = folds is None or outcome.interrupted
    if folds is not None and not stopped and teaches:
        stopped = not self_train(training, folds, deadline, view.advance, view.note)
        if not stopped:  # whichever network is kept: it is complete, and is judged
            training = replace(training)  # without the labels of other photos that it knew before
            replace_file(run.train_batch, first_batch(training))
            return _train(training, prepared, new_network(args, begun=True), began, view)
    state = RunState.INTERRUPTED if stopped else RunState.COMPLETE
    came = {"state": state, "epochs_done": len(outcome.history), "best_epoch": outcome.best_epoch}
    args = args.model_copy(update=came)
    keep_for_export(training)
    evaluation = None
    if outcome.history:
        seconds = time.monotonic() - began
        evaluation = write_report(replace(training, args=args), prepared, folds or [], seconds, view.advance)
    run.write_args(args)
    return TrainResult(run, args, evaluation, read_self_training(run))


def _too_few(training: Training, prepared_s: float, own: float) -> str:
    """What to say of folds that the time limit has no room for: why, and what would help.

    ``own`` are the seconds that the network takes for its fewest epochs, ``prepared_s`` those that passed before.
    """
    args, held = training.args, len(training.held)
    limit = args.time_limit_s or 0
    share = 1.0 if args.unlabeled is None else TEACHER_SHARE

    def needed(args: RunArgs) -> float:
        return (prepared_s + seconds_of_all(args, own) / share + _AFTERWARDS_S) / (1 - _AFTERWARDS)

    full = held < fewest_own_rows(TARGETS[0])  # so few bear nothing out: that takes folds of full trainings
    fewer = args.model_copy(update={"folds": _FEWER_FOLDS, "cv": full})
    would_do = []
    if needed(args) > limit:
        would_do.append(f"--time-limit {math.ceil(needed(args) / _MINUTE_S)}m")
    if needed(fewer) <= limit and needed(fewer) < needed(args):
        would_do.append(f"--{'cv' if full else 'folds'} {_FEWER_FOLDS}")
    advice = f" ({' or '.join(would_do)} would do)" if would_do else ""
    what = f"{args.folds} folds{' of full trainings' if args.cv else ''}"
    return (
        f"{rough_duration(limit)} are too little time for {what}{advice}: any promise rests on "
        f"{number_of(held, 'validation photo')} alone"
    )


def _without_folds(training: Training, prepared: Prepared, note: str) -> tuple[Training, Prepared]:
    """The training whose folds are given up for want of time; a note says so in the report, too."""
    run, args = training.run, training.args
    prepared = replace(prepared, notes=(*prepared.notes, note))
    run.write_notes(prepared.notes)
    args = args.model_copy(update={"folds": 0, "cv": False})
    run.write_args(args)
    shutil.rmtree(run.path / "folds", ignore_errors=True)
    return replace(training, args=args), prepared
