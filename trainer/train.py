"""One training, from labelled photos to a run folder."""

import shutil
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import keras

from models.errors import DataError, InputError
from models.photo import NONE
from models.preprocess import PreprocessSpec
from trainer.check.checkup import scan_photos
from trainer.data.dataset import Split, fetch_photos, read_dataset, read_parents, taxonomy_of
from trainer.data.photo_cache import FeatureStore, PixelStore, StatisticsStore
from trainer.decide import check_weights, choose_fit, decide, foretold_s, frozen_args, plan, plan_finetuning
from trainer.judging.evaluate import Evaluation, is_better
from trainer.judging.folds import Progress, fit_folds_of_heads, train_folds
from trainer.learning.loop import FitView
from trainer.learning.training import Predictor, Training, head_figures, new_network
from trainer.learning.training_step import save_network
from trainer.networks.build import choose_network, weights_file
from trainer.report.write import keep_for_export, write_report
from trainer.request import NetworkChoice, TrainRequest, parse_weights
from trainer.run import Run, RunArgs, RunState, check_free, read_history, write_history
from trainer.splits.assigned import read_splits, write_splits
from trainer.splits.prepare import Prepared, SplitOptions, prepare, read_excluded, restore, write_excluded

_AFTERWARDS: Final = 0.06
_AFTERWARDS_S: Final = 8.0
"""Evaluation and report get a share of the time limit plus these seconds, but at most half of the limit."""


@dataclass(frozen=True)
class TrainResult:
    """The result of a training. ``evaluation`` is None if no epoch was completed."""

    run: Run
    args: RunArgs
    evaluation: Evaluation | None

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped the training."""
        return self.args.state is RunState.INTERRUPTED


class TrainingView(FitView, Progress, Protocol):
    """Shows the progress of a training."""

    def goes_on(self, evaluation: Evaluation, run: Run, args: RunArgs, seconds: float | None) -> None:
        """Called when fine-tuning begins. ``seconds``: the expected time, if known."""

    def prepared(self, prepared: Prepared, args: RunArgs) -> None:
        """Called when the data is ready."""


def train(request: TrainRequest, path: Path, cache: Path, view: TrainingView) -> TrainResult:
    """Train a network. ``path``: the run's folder, which must not exist. ``cache``: for pixels and statistics."""
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
    kept = tree.limited_to(prepared.classes) if tree else None  # some classes have too few photos
    args, balanced = decide(request, path.name, choice, fit, prepared, dict(kept.parents) if kept else None)
    prepared = replace(prepared, notes=(*prepared.notes, *filter(None, (stretched, balanced))))
    work = _Work(Run(path), store, cache, prepared, began, view)
    if args.begins_frozen:
        network = new_network(args)  # fails early if the weights do not fit
        work.begin(frozen_args(request, args), finetuning=args)
        with work.run.alone():
            return work.fit_head_first(network)
    args, short = plan(request, args, prepared, work.left(args))
    work = replace(work, prepared=replace(prepared, notes=(*prepared.notes, *filter(None, (short,)))))
    network = new_network(args)
    view.prepared(work.prepared, args)
    work.begin(args)
    with work.run.alone():
        return work.train(work.run, args, network)


def _choose_network(request: TrainRequest, view: TrainingView) -> NetworkChoice:
    def download(choice: NetworkChoice) -> Path | None:
        return weights_file(
            choice, lambda done, total: view.advance("Downloading weights (KB)", done >> 10, (total or done) >> 10)
        )

    choice, why = choose_network(request, download)
    if request.epochs == 0 and not choice.has_pretrained_body:
        msg = (
            "--epochs 0 needs pretrained features, got random weights or a run's weights "
            "(best.keras); pass --epochs 1 or more, or leave out --weights and choose a pretrained --arch."
        )
        raise InputError(msg)
    if request.fold_weights:
        download(replace(choice, weights=parse_weights(request.fold_weights)))
    if why:
        view.note(why)
    return choice


def resume(run: Run, cache: Path, view: TrainingView) -> TrainResult:
    """Continue a stopped training from its last complete epoch, or evaluate a complete training again."""
    with run.alone():
        tuned = run.finetuning.read_args()
        if tuned and tuned.state is RunState.COMPLETE and not run.finetuning.best.is_file():
            run.take_over(run.finetuning)  # finish an interrupted move
        args = run.args()
        if args.is_frozen:
            check_weights(args)
        store = PixelStore(cache, args.preprocess)
        photos = [photo for photo in read_splits(run.splits) if photo.present]
        restore(photos, store, view.advance)
        prepared = Prepared(photos, read_excluded(run.excluded), args.classes, run.notes())
        began = time.monotonic() - _seconds_of(run) - _seconds_of(run.finetuning)
        work = _Work(run, store, cache, prepared, began, view)
        return work.fit_head_first(new_network(args)) if args.is_frozen else work.go_on(run, args)


def _seconds_of(run: Run) -> float:
    histories = (run.history, *run.path.glob("folds/*/results.csv"))
    return sum(row.seconds for history in histories for row in read_history(history))


def deadline_of_main(args: RunArgs, end: float | None) -> float | None:
    """Deadline for the main network (:func:`time.monotonic`). The folds get the remaining time until ``end``."""
    now = time.monotonic()
    return None if end is None else now + (end - now) / (1 + args.cost_of_folds)


@dataclass(frozen=True)
class _Work:
    run: Run
    store: PixelStore
    cache: Path
    prepared: Prepared
    began: float
    view: TrainingView

    def begin(self, args: RunArgs, finetuning: RunArgs | None = None) -> None:
        """Write the files that a resume needs. ``args.json`` comes last, because it marks the folder as a run."""
        try:
            self.run.path.mkdir(parents=True)  # another training may have created the folder
        except FileExistsError:
            check_free(self.run.path)
            raise
        self.run.write_notes(self.prepared.notes)
        write_splits(self.run.splits, self.prepared.photos)
        write_excluded(self.run.excluded, self.prepared.excluded)
        if finetuning and finetuning.epochs:
            self.run.finetuning.write_args(finetuning)
        self.run.write_args(args)

    def end(self, args: RunArgs) -> float | None:
        """Deadline for training all networks (:func:`time.monotonic`). The remaining time is for the report."""
        limit = args.time_limit_s
        return None if limit is None else self.began + max(limit / 2, limit * (1 - _AFTERWARDS) - _AFTERWARDS_S)

    def left(self, args: RunArgs) -> float | None:
        end = self.end(args)
        return None if end is None else end - time.monotonic()

    def training(self, run: Run, args: RunArgs) -> Training:
        body = args.weights_sha256 if args.begins_frozen else None
        return Training(
            args,
            self.store,
            self.prepared.of(Split.TRAIN),
            self.prepared.of(Split.VAL),
            run,
            self.prepared.outliers(Split.TRAIN),
            FeatureStore(self.cache, args.preprocess, body) if body else None,
        )

    def fit_head_first(self, network: keras.Model) -> TrainResult:
        """Complete a run with a head on frozen features, and then fine-tune the network if planned."""
        args = self.run.args().model_copy(update={"state": RunState.TRAINING})
        self.view.prepared(self.prepared, args)
        self.run.write_args(args)
        head = self._judge_head(self.training(self.run, args), network)
        planned, begun = self.run.finetuning.read_args(), self.run.finetuning.state.is_file()
        if planned and begun:
            planned = planned.model_copy(update={"epochs_done": len(read_history(self.run.finetuning.history))})
        elif planned:
            planned, short = plan_finetuning(planned, self.prepared, self.left(planned))
            if short:
                self.view.note(short)
        if planned is None or not planned.epochs:
            return self._keep_head(head)
        self.run.finetuning.write_args(planned)
        seconds = None if begun else foretold_s(planned, self.prepared)
        self.view.goes_on(head, self.run, planned, seconds)
        return self._fine_tune(head, planned)

    def _judge_head(self, training: Training, network: keras.Model) -> Evaluation:
        began, run = time.monotonic(), self.run
        predictor = Predictor(network, training.store, training.features)
        photos = [photo.sha256 for photo in self.prepared.photos if photo.present]
        predictor.compute(photos, partial(self.view.advance, "Computing features"))
        self.view.advance("Fitting the head", 0, 1)
        strength = training.fit_head(predictor)
        run.forget_judgement()
        save_network(predictor.network, run.best)
        write_history(run.history, [head_figures(training, predictor, time.monotonic() - began)])
        folds = fit_folds_of_heads(training, predictor, strength, self.view)
        keep_for_export(training)
        took = time.monotonic() - self.began - _seconds_of(run.finetuning)
        return write_report(training, self.prepared, folds, took, self.view.advance, predictor)

    def _keep_head(self, head: Evaluation, state: RunState = RunState.COMPLETE) -> TrainResult:
        args = self.run.args().model_copy(update={"state": state})
        self.run.write_args(args)
        if state is RunState.COMPLETE:
            # delete args.json first, so that a partly deleted run cannot be resumed
            (self.run.finetuning.path / "args.json").unlink(missing_ok=True)
            shutil.rmtree(self.run.finetuning.path, ignore_errors=True)
        return TrainResult(self.run, args, head)

    def _fine_tune(self, head: Evaluation, args: RunArgs) -> TrainResult:
        try:
            result = self.go_on(self.run.finetuning, args)
        except DataError:  # the training diverged
            self.view.note(
                "Fine-tuning diverged: the run keeps the head on pretrained features. Another --seed or a larger "
                "--batch-size may help"
            )
            return self._keep_head(head)
        if result.interrupted or result.evaluation is None:
            return self._keep_head(head, RunState.INTERRUPTED)
        if not is_better(result.evaluation, head):
            self.view.note(
                "The fine-tuned network was no better on photos outside its training: the run keeps the head"
            )
            return self._keep_head(head)
        self.run.take_over(self.run.finetuning)
        return TrainResult(self.run, result.args, result.evaluation)

    def go_on(self, run: Run, args: RunArgs) -> TrainResult:
        now = {"epochs_done": len(read_history(run.history)), "state": RunState.TRAINING}
        args = args.model_copy(update=now)
        if run is self.run:
            self.view.prepared(self.prepared, args)
        run.write_args(args)
        return self.train(run, args, new_network(args, begun=run.state.is_file()))

    def train(self, run: Run, args: RunArgs, network: keras.Model) -> TrainResult:
        training, end = self.training(run, args), self.end(args)
        outcome = training.train(network, deadline_of_main(args, end), self.view)
        folds = None if outcome.interrupted else train_folds(training, end, self.view)
        state = RunState.INTERRUPTED if folds is None else RunState.COMPLETE
        ended = {"state": state, "epochs_done": len(outcome.history), "best_epoch": outcome.best_epoch}
        args = args.model_copy(update=ended)
        evaluation = None
        # if fine-tuning is incomplete, the run keeps the head's report
        if outcome.history and (run is self.run or state is RunState.COMPLETE):
            training = replace(training, args=args)
            keep_for_export(training)
            took = time.monotonic() - self.began
            evaluation = write_report(training, self.prepared, folds or [], took, self.view.advance)
        run.write_args(args)
        return TrainResult(run, args, evaluation)
