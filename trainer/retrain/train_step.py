"""The challenger learns: with the champion's architecture and from its weights, unless told otherwise."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import StoppedError
from models.preprocess import PreprocessSpec
from models.whole_file import replace_file
from trainer.learning.recipe import recipe_for
from trainer.networks.choice import NamedWeights
from trainer.request import Arch, TrainRequest, parse_duration
from trainer.retrain.steps import Step, Work
from trainer.run import Run, RunArgs, RunState

if TYPE_CHECKING:
    from trainer.train import TrainingView

__all__ = ["TEACH", "challenger_request"]


def _done(work: Work) -> bool:
    return work.folder.splits.is_file()


def _do(work: Work, view: "TrainingView") -> None:
    run = Run(work.folder.run)
    if not (run.path / "args.json").is_file():
        shutil.rmtree(run.path, ignore_errors=True)  # of a process that was killed before it was a run
        work.tools.train(_with_fitting_weights(work, challenger_request(work)), view)
    elif run.args().state is not RunState.COMPLETE:
        work.tools.resume(run.path, work.tools.cache(), view)
    if run.args().state is not RunState.COMPLETE:
        msg = f"Stopped while the challenger was learning; what it has learned is kept in {run.path}."
        raise StoppedError(msg)
    replace_file(work.folder.splits, run.splits.read_bytes())


TEACH = Step("train", _done, _do)


def challenger_request(work: Work) -> TrainRequest:
    """How the challenger is to learn. What the settings leave open is as the champion has it, or the architecture."""
    asked, before = work.config.train, _champion_args(work)
    arch = asked.arch or (before.arch if before else Arch.CNN)
    same = before if before is not None and before.arch is arch else None
    alpha = asked.alpha if asked.alpha is not None or same is None else same.alpha
    weights = asked.weights
    if weights is None and asked.warm_start and same is not None and same.alpha == alpha:
        weights = _champion_file(work, "best.keras")
    return TrainRequest(
        data=work.folder.dataset,
        run=work.folder.run,
        arch=arch,
        preprocess=_preprocess(work, same, weights),
        seed=asked.seed,
        cache=work.tools.cache(),
        epochs=asked.epochs,
        batch=asked.batch,
        patience=asked.patience,
        splits=work.folder.earlier if work.folder.earlier.is_file() else None,
        weights=weights,
        fold_weights=None if same is None else _weights_of_nobody(same),
        name=work.start.name,
        alpha=alpha,
        balance=asked.balance,
        time_limit_s=None if asked.time_limit is None else parse_duration(asked.time_limit),
        folds=asked.folds,
    )


def _weights_of_nobody(champion: RunArgs) -> str | None:
    """What the first of a line of champions began with: it has learned from none of the photos; none where it is gone.

    Folds that began with the champion's weights would know the photos that they are asked about.
    """
    weights = champion.fold_weights or champion.weights
    there = weights in set(NamedWeights) or (Path(weights).suffix != ".keras" and Path(weights).is_file())
    return weights if there else None


def _preprocess(work: Work, same: RunArgs | None, weights: str | None) -> PreprocessSpec:
    asked = work.config.train
    if same is None:
        arch = asked.arch or Arch.CNN
        pretrained = arch.is_transfer and weights != "none"
        spec = PreprocessSpec(size=recipe_for(arch, pretrained=pretrained).size)
    else:
        spec = same.preprocess
    given = {"size": asked.image_size, "fit": asked.fit, "decode": asked.decode}
    return spec.model_copy(update={key: value for key, value in given.items() if value is not None})


def _with_fitting_weights(work: Work, request: TrainRequest) -> TrainRequest:
    """Without the champion's weights where they are of another network: said, and begun as ``hangtag train`` does."""
    asked = work.config.train
    if not asked.warm_start or not work.start.champion_version:
        return request
    champion = f"{work.start.name}@{work.start.champion_version}"
    if asked.weights is not None:
        if _champion_file(work, "best.keras"):
            why = f"[train] weights says {asked.weights}, which goes before warm_start"
            work.note(f"The challenger does not begin with the weights of {champion}: {why}.")
        return request
    if request.weights is None:
        why = "the registry does not hold them, or they are of another architecture"
    else:
        misfit = work.tools.misfit(Path(request.weights), request)
        if misfit is None:
            return request
        why = misfit
    work.note(f"The challenger does not begin with the weights of {champion}: {why}.")
    return replace(request, weights=None)


def _champion_file(work: Work, file: str) -> str | None:
    path = _training(work, file)
    return str(path) if path else None


def _champion_args(work: Work) -> RunArgs | None:
    path = _training(work, "args.json")
    return Run(path.parent).args() if path else None


def _training(work: Work, file: str) -> Path | None:
    version = work.start.champion_version
    return work.registry.training(work.start.name, version, file) if version else None
