"""One training, from labelled photos to a run folder."""

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import keras

from models.photo import NONE
from models.preprocess import PreprocessSpec
from trainer.check.checkup import scan_photos
from trainer.data.dataset import Split, fetch_photos, read_dataset, read_parents, taxonomy_of
from trainer.data.photo_cache import PixelStore, StatisticsStore
from trainer.decide import choose_fit, decide, plan
from trainer.judging.evaluate import Evaluation
from trainer.judging.folds import Progress, deadline_of_main, train_folds
from trainer.learning.loop import FitView
from trainer.learning.training import Training, new_network
from trainer.learning.training_step import has_bfloat16
from trainer.networks.build import choose_network, weights_file
from trainer.report.write import keep_for_export, write_report
from trainer.request import NetworkChoice, TrainRequest, parse_weights
from trainer.run import Run, RunArgs, RunState, check_free, read_history
from trainer.splits.assigned import read_splits, write_splits
from trainer.splits.prepare import Prepared, SplitOptions, prepare, read_excluded, restore, write_excluded

_AFTERWARDS: Final = 0.06
_AFTERWARDS_S: Final = 8.0
"""Kept of a time limit, as a share or in seconds, to judge the network and to write the report."""


@dataclass(frozen=True)
class TrainResult:
    """The result of a training; no evaluation if no epoch was completed."""

    run: Run
    args: RunArgs
    evaluation: Evaluation | None

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped it."""
        return self.args.state is RunState.INTERRUPTED


class TrainingView(FitView, Progress, Protocol):
    """Shows the progress of a training."""

    def prepared(self, prepared: Prepared, args: RunArgs) -> None:
        """The data is ready."""


def train(request: TrainRequest, path: Path, cache: Path, view: TrainingView) -> TrainResult:
    """Train a network; ``path`` is of the run to leave, which must not exist, ``cache`` of pixels and statistics."""
    began = time.monotonic()
    check_free(path)
    statistics = StatisticsStore(cache)
    earlier = read_splits(request.splits) if request.splits else []
    dataset = read_dataset(request.data, request.table)
    parents = read_parents(request.taxonomy) if request.taxonomy else request.parents
    tree = taxonomy_of(dataset, parents)
    choice = _choose_network(request, view)
    dataset = fetch_photos(dataset, request.table, cache, partial(view.advance, "Fetching"))
    scanned = scan_photos(dataset.photos, statistics, view.advance)
    products = [sha for photo, sha in zip(scanned.photos, scanned.sha256s, strict=True) if photo.label != NONE]
    fit, stretched = choose_fit(request.fit, statistics.statistics(products))
    store = PixelStore(cache, PreprocessSpec(size=choice.size, fit=fit, decode=request.decode))
    options = SplitOptions(request.seed, earlier, request.fix_leaks)
    prepared = prepare(dataset, scanned, store, statistics, options, view.advance)
    kept = tree.limited_to(prepared.classes) if tree else None  # classes without enough photos have gone
    args, balanced = decide(request, path.name, choice, fit, prepared, dict(kept.parents) if kept else None)
    left = None if args.time_limit_s is None else _end(args.time_limit_s, began) - time.monotonic()
    args, short = plan(request, args, prepared, left)
    notes = (*prepared.notes, *filter(None, (stretched, balanced)))
    prepared = replace(prepared, notes=(*notes, short) if short else notes)
    network = new_network(args)
    view.prepared(prepared, args)
    run = Run(path)
    _begin(run, prepared, args)
    with run.alone():
        return _train(_training(run, args, store, prepared), prepared, network, began, view)


def _choose_network(request: TrainRequest, view: TrainingView) -> NetworkChoice:
    def download(choice: NetworkChoice) -> Path | None:
        return weights_file(
            choice, lambda done, total: view.advance("Downloading weights (KB)", done >> 10, (total or done) >> 10)
        )

    choice, why = choose_network(request, download)
    if request.fold_weights:
        download(replace(choice, weights=parse_weights(request.fold_weights)))
    if why:
        view.note(why)
    return choice


def _end(limit: float, began: float) -> float:
    """By when all networks must be trained, by :func:`time.monotonic`; what follows takes some time, too."""
    return began + max(limit / 2, limit * (1 - _AFTERWARDS) - _AFTERWARDS_S)


def resume(run: Run, cache: Path, view: TrainingView) -> TrainResult:
    """Go on with a training that was stopped, from its last whole epoch; a complete one is only evaluated again."""
    with run.alone():
        args, history = run.args(), read_history(run.history)
        bfloat16 = args.bfloat16 and has_bfloat16()  # this may be another machine
        now = {"epochs_done": len(history), "state": RunState.TRAINING, "bfloat16": bfloat16}
        args = args.model_copy(update=now)
        store = PixelStore(cache, args.preprocess)
        photos = [photo for photo in read_splits(run.splits) if photo.present]
        restore(photos, store, view.advance)
        prepared = Prepared(photos, read_excluded(run.excluded), args.classes, run.notes())
        view.prepared(prepared, args)
        run.write_args(args)
        network = new_network(args, begun=run.state.is_file())
        began = time.monotonic() - _seconds_of(run, args.folds)
        return _train(_training(run, args, store, prepared), prepared, network, began, view)


def _seconds_of(run: Run, folds: int) -> float:
    parts = (run, *(run.fold(number) for number in range(1, folds + 1)))
    return sum(row.seconds for part in parts for row in read_history(part.history))


def _training(run: Run, args: RunArgs, store: PixelStore, prepared: Prepared) -> Training:
    learned, held = prepared.of(Split.TRAIN), prepared.of(Split.VAL)
    return Training(args, store, learned, held, run, prepared.outliers(Split.TRAIN))


def _begin(run: Run, prepared: Prepared, args: RunArgs) -> None:
    """Write what a resume needs; ``args.json`` comes last, and makes a run of the folder."""
    try:
        run.path.mkdir(parents=True)  # by one training only, should two have looked at the photos meanwhile
    except FileExistsError:
        check_free(run.path)
        raise
    run.write_notes(prepared.notes)
    write_splits(run.splits, prepared.photos)
    write_excluded(run.excluded, prepared.excluded)
    run.write_args(args)


def _train(
    training: Training, prepared: Prepared, network: keras.Model, began: float, view: TrainingView
) -> TrainResult:
    """Train the network, which has the weights it begins with, then write everything that a run has."""
    run, args = training.run, training.args
    end = None if args.time_limit_s is None else _end(args.time_limit_s, began)
    outcome = training.train(network, deadline_of_main(args, end), view)
    folds = None if outcome.interrupted else train_folds(training, end, view)
    state = RunState.INTERRUPTED if folds is None else RunState.COMPLETE
    ended = {"state": state, "epochs_done": len(outcome.history), "best_epoch": outcome.best_epoch}
    args = args.model_copy(update=ended)
    keep_for_export(training)
    evaluation = None
    if outcome.history:
        seconds = time.monotonic() - began
        evaluation = write_report(replace(training, args=args), prepared, folds or [], seconds, view.advance)
    run.write_args(args)
    return TrainResult(run, args, evaluation)
