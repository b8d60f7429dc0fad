"""The challenger's training: with the champion's architecture and from its weights, unless told otherwise."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import StoppedError
from models.fit import Decode
from models.whole_file import replace_file
from trainer.data.dataset import read_dataset
from trainer.data.taxonomy import read_parents
from trainer.networks.choice import NamedWeights
from trainer.options import TrainRequest
from trainer.request import Arch, parse_duration
from trainer.retrain.records import Collected
from trainer.retrain.tools import RunningCycle
from trainer.run import Run, RunArgs, RunState

if TYPE_CHECKING:
    from trainer.train import TrainingView


def train(work: RunningCycle, view: "TrainingView") -> None:
    """Train the challenger, or go on with its training; the splits are kept beside the run, which they outlive."""
    run = Run(work.folder.run)
    if not (run.path / "args.json").is_file():
        shutil.rmtree(run.path, ignore_errors=True)  # of a process that was killed before it was a run
        work.tools.train(_with_fitting_weights(work, _request(work)), run.path, work.tools.cache(), view)
    elif run.args().state is not RunState.COMPLETE:
        work.tools.resume(run.path, work.tools.cache(), view)
    if run.args().state is not RunState.COMPLETE:
        msg = f"Stopped while the challenger was learning; what it has learned is kept in {run.path}."
        raise StoppedError(msg)
    replace_file(work.folder.splits, run.splits.read_bytes())


def _request(work: RunningCycle) -> TrainRequest:
    """The training request; settings that are left open are the champion's, or the architecture's defaults."""
    asked = work.config.train
    args = _of_champion(work, "args.json")
    before = Run(args.parent).args() if args else None
    arch = asked.arch or (before.arch if before else Arch.CNN)
    same = before if before is not None and before.arch is arch else None
    weights = asked.weights
    if weights is None and asked.warm_start and same is not None:
        best = _of_champion(work, "best.keras")
        weights = str(best) if best else None
    return TrainRequest(
        data=work.folder.dataset,
        arch=arch,
        image_size=asked.image_size or (same.image_size if same else None),
        fit=asked.fit or (same.fit if same else None),
        decode=asked.decode or (same.decode if same else Decode.DCT),
        seed=asked.seed,
        epochs=asked.epochs,
        batch=asked.batch,
        splits=work.folder.earlier if work.folder.earlier.is_file() else None,
        weights=weights,
        fold_weights=None if same is None else _weights_of_nobody(same),
        name=work.start.name,
        alpha=same.alpha if same else None,
        balance=asked.balance,
        time_limit_s=None if asked.time_limit is None else parse_duration(asked.time_limit),
        folds=asked.folds,
        parents=read_parents(asked.taxonomy) if asked.taxonomy else _parents_of(work, before),
    )


def _parents_of(work: RunningCycle, champion: RunArgs | None) -> dict[str, str] | None:
    """The tree that the data's labels state, else the champion's, for today's classes; None without one.

    The champion's has their new names. New classes are at the top.
    """
    parents = work.folder.read(work.folder.collected, Collected).parents
    before = champion.tree if champion else None
    if not parents and before is None:
        return None
    classes = read_dataset(work.folder.dataset).classes
    if before is not None and not parents:
        tree = before.limited_to(classes, work.config.classes.rename)
        parents = dict(tree.parents) if tree else {}
    return {**dict.fromkeys(classes, ""), **parents} if parents else None


def _weights_of_nobody(champion: RunArgs) -> str | None:
    """The weights that the first champion began with, which have seen none of the photos; ``none`` if they are gone.

    Folds that began with the champion's weights would have seen the photos that they are judged on.
    """
    weights = champion.fold_weights or champion.weights
    there = weights in set(NamedWeights) or (Path(weights).suffix != ".keras" and Path(weights).is_file())
    return weights if there else None


def _with_fitting_weights(work: RunningCycle, request: TrainRequest) -> TrainRequest:
    """The request, without the champion's weights if they fit another network only; a note then says why."""
    asked = work.config.train
    if not asked.warm_start or not work.start.champion_version:
        return request
    if asked.weights is not None:
        held = _of_champion(work, "best.keras")
        why = f"[train] weights is {asked.weights}, which overrides warm_start" if held else None
    elif request.weights is None:
        why = "the registry does not hold them, or they are of another architecture"
    else:
        why = work.tools.misfit(Path(request.weights), request)
        request = request if why is None else request.model_copy(update={"weights": None})
    if why is not None:
        champion = f"{work.start.name}@{work.start.champion_version}"
        work.note(f"The challenger does not begin with the weights of {champion}: {why}.")
    return request


def _of_champion(work: RunningCycle, file: str) -> Path | None:
    version = work.start.champion_version
    return work.registry.training(work.start.name, version, file) if version else None
