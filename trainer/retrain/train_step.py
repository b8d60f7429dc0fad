"""The challenger's training: with the champion's architecture and weights, unless the settings say otherwise."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import StoppedError
from models.preprocess import PreprocessSpec
from models.whole_file import replace_file
from trainer.data.dataset import read_dataset
from trainer.data.taxonomy import read_parents
from trainer.learning.recipe import recipe_for
from trainer.networks.choice import NamedWeights
from trainer.request import Arch, TrainRequest, parse_duration
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
        work.tools.train(_request(work), view)
    elif run.args().state is not RunState.COMPLETE:
        work.tools.resume(run.path, work.tools.cache(), view)
    if run.args().state is not RunState.COMPLETE:
        msg = f"Stopped while the challenger was learning; what it has learned is kept in {run.path}."
        raise StoppedError(msg)
    replace_file(work.folder.splits, run.splits.read_bytes())


def _request(work: RunningCycle) -> TrainRequest:
    """The training request; settings that are left open are the champion's, or the architecture's defaults."""
    settings = work.config.train
    args = _of_champion(work, "args.json")
    champion = Run(args.parent).args() if args else None
    arch = settings.arch or (champion.arch if champion else Arch.CNN)
    same = champion if champion is not None and champion.arch is arch else None
    alpha = settings.alpha if settings.alpha is not None or same is None else same.alpha
    weights = _weights(work, fits=same is not None and same.alpha == alpha)
    return TrainRequest(
        data=work.folder.dataset,
        run=work.folder.run,
        arch=arch,
        preprocess=_preprocess(work, arch, same, weights),
        seed=settings.seed,
        cache=work.tools.cache(),
        epochs=settings.epochs,
        batch=settings.batch,
        patience=settings.patience,
        splits=work.folder.earlier if work.folder.earlier.is_file() else None,
        weights=weights,
        fold_weights=None if same is None else _weights_of_nobody(same),
        name=work.start.name,
        auto_fit=settings.fit is None and same is None,
        alpha=alpha,
        balance=settings.balance,
        time_limit_s=None if settings.time_limit is None else parse_duration(settings.time_limit),
        folds=settings.folds,
        cv=settings.cv,
        parents=read_parents(settings.taxonomy) if settings.taxonomy else _parents_of(work, champion),
    )


def _weights(work: RunningCycle, *, fits: bool) -> str | None:
    """The challenger's first weights: those of the settings, else the champion's if they ``fit`` its network.

    A note says why a warm start is none.
    """
    settings, best = work.config.train, _of_champion(work, "best.keras")
    if settings.weights is not None:
        why = f"[train] weights is {settings.weights}, which overrides warm_start" if best else ""
    elif best and fits and settings.warm_start:
        return str(best)
    else:
        why = "the registry does not hold them, or they are of another architecture"
    if why and settings.warm_start and work.start.champion_version:
        champion = f"{work.start.name}@{work.start.champion_version}"
        work.note(f"The challenger does not begin with the weights of {champion}: {why}.")
    return settings.weights


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


def _preprocess(work: RunningCycle, arch: Arch, same: RunArgs | None, weights: str | None) -> PreprocessSpec:
    settings = work.config.train
    if same is None:
        pretrained = arch.is_transfer and weights != "none"
        spec = PreprocessSpec(size=recipe_for(arch, pretrained=pretrained).size)
    else:
        spec = same.preprocess
    changes = {"size": settings.image_size, "fit": settings.fit, "decode": settings.decode}
    return spec.model_copy(update={key: value for key, value in changes.items() if value is not None})


def _of_champion(work: RunningCycle, file: str) -> Path | None:
    version = work.start.champion_version
    return work.registry.training(work.start.name, version, file) if version else None
