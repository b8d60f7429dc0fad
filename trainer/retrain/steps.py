"""The steps of a retraining cycle. A step may run twice, and writes its files atomically.

The decision to promote or refuse a challenger is in the registry's history.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from exporter.options import ExportOptions
from models.bundle import MANIFEST_FILE
from models.errors import HangtagError, RegistryError, StoppedError
from models.fit import Decode
from models.registry.history import CHALLENGER, What
from models.registry.registry import report_files
from models.whole_file import replace_file
from trainer.data.dataset import read_dataset, read_parents
from trainer.request import NamedWeights, TrainRequest, parse_duration
from trainer.retrain.begin import SPLITS_FILE, champion_of, check_unseen
from trainer.retrain.compare import Contestant
from trainer.retrain.cycle_folder import (
    CatalogueDiff,
    Collected,
    Comparison,
    CycleStatus,
    GateVerdict,
    Outcome,
    now_text,
)
from trainer.retrain.tools import RunningCycle
from trainer.run import Run, RunArgs, RunState
from trainer.splits.assigned import read_splits

if TYPE_CHECKING:
    from trainer.train import TrainingView


@dataclass(frozen=True)
class Step:
    """A step of a cycle. ``name`` is the step's key in ``seconds.json``. ``done`` tells whether ``do`` is finished."""

    name: str
    title: str
    done: Callable[[RunningCycle], bool]
    do: "Callable[[RunningCycle, TrainingView], None]"


def _train(work: RunningCycle, view: "TrainingView") -> None:
    run = Run(work.folder.run)
    if not (run.path / "args.json").is_file():
        shutil.rmtree(run.path, ignore_errors=True)  # left by a process that was killed before the run began
        work.tools.train(_train_request(work), run.path, work.tools.cache(), view)
    elif run.args().state is not RunState.COMPLETE:
        work.tools.resume(run.path, work.tools.cache(), view)
    if run.args().state is not RunState.COMPLETE:
        msg = f"Stopped during the challenger's training; the run in {run.path} is kept."
        raise StoppedError(msg)
    replace_file(work.folder.splits, run.splits.read_bytes())  # the run may be deleted later


def _train_request(work: RunningCycle) -> TrainRequest:
    settings = work.config.train
    args = _of_champion(work, "args.json")
    champion = Run(args.parent).args() if args else None
    arch = settings.arch or (champion.arch if champion else None)
    same = champion if champion is not None and champion.arch is arch else None
    weights = _weights(work, same)
    return TrainRequest(
        data=work.folder.dataset,
        arch=arch,
        image_size=settings.image_size or (same.image_size if same else None),
        fit=settings.fit or (same.fit if same else None),
        decode=settings.decode or (same.decode if same else Decode.DCT),
        seed=settings.seed,
        epochs=settings.epochs,
        batch=settings.batch,
        splits=work.folder.earlier if work.folder.earlier.is_file() else None,
        weights=weights,
        fold_weights=None if same is None or weights == same.weights else _weights_of_nobody(same),
        name=work.start.name,
        alpha=same.alpha if same else None,
        balance=settings.balance,
        time_limit_s=None if settings.time_limit is None else parse_duration(settings.time_limit),
        folds=settings.folds,
        parents=read_parents(settings.taxonomy) if settings.taxonomy else _parents_of(work, champion),
    )


def _weights(work: RunningCycle, champion: RunArgs | None) -> str | None:
    """The challenger's initial weights, from the settings or a ``champion`` of the same architecture.

    If the champion was pretrained, the challenger starts with the same pretrained weights, otherwise with the
    champion's own weights.
    """
    settings, best = work.config.train, _of_champion(work, "best.keras")
    if settings.weights is not None:
        why = f"[train] weights is {settings.weights}, which overrides warm_start" if best else ""
    elif champion and champion.begins_frozen and (pretrained := _weights_of_nobody(champion)):
        return pretrained
    elif best and champion and settings.warm_start:
        return str(best)
    else:
        why = "the registry has no weights, or they are for another architecture"
    if why and settings.warm_start and work.start.champion_version:
        name = f"{work.start.name}@{work.start.champion_version}"
        work.note(f"The challenger does not start with the weights of {name}: {why}.")
    return settings.weights


def _parents_of(work: RunningCycle, champion: RunArgs | None) -> dict[str, str] | None:
    """Map labels to parents, from the data or else from the champion's tree."""
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
    """Initial weights for cross-validation. The champion's own weights were trained on the held-out photos."""
    weights = champion.fold_weights or champion.weights
    there = weights in set(NamedWeights) or (Path(weights).suffix != ".keras" and Path(weights).is_file())
    return weights if there else None


def _of_champion(work: RunningCycle, file: str) -> Path | None:
    version = work.start.champion_version
    return work.registry.training(work.start.name, version, file) if version else None


def _export(work: RunningCycle, view: "TrainingView") -> None:
    options = ExportOptions(**dict(work.config.export))
    work.tools.export(work.folder.run, work.folder.bundle, options, view.advance)


def _compare(work: RunningCycle, view: "TrainingView") -> None:
    name, champion = work.start.name, champion_of(work.registry, work.start.name)
    own = work.registry.training(name, champion, SPLITS_FILE) if champion else None
    check_unseen(name, champion, own, read_splits(work.folder.splits))
    comparison = work.tools.compare(
        Contestant(f"{name}@challenger", work.folder.bundle, work.folder.splits),
        Contestant(f"{name}@{champion}", work.registry.path(name, champion), own) if champion else None,
        work.config.classes,
        work.tools.cache(),
        view.advance,
    )
    work.folder.write(work.folder.comparison, comparison)


def _catalogue_done(work: RunningCycle) -> bool:
    return work.config.catalogue is None or not work.compared_with or work.folder.catalogue.is_file()


def _catalogue(work: RunningCycle, view: "TrainingView") -> None:
    assert work.config.catalogue is not None  # noqa: S101 - without a catalogue, this step is skipped
    collected = work.folder.read(work.folder.collected, Collected)
    diff = work.tools.catalogue_diff(
        work.config.catalogue,
        work.registry.path(work.start.name, work.compared_with),
        work.folder.bundle,
        work.folder.rows,
        work.config.classes.rename,
        view.advance,
        {one.sha256 for one in collected.corrections if one.outcome in {"applied", "added", "agrees"}},
    )
    work.folder.write(work.folder.catalogue, diff)


def _gate(work: RunningCycle, view: "TrainingView") -> None:
    folder = work.folder
    diff = folder.find(folder.catalogue, CatalogueDiff)
    folder.write(folder.verdict, work.tools.judge(work.config.gate, work.comparison, diff))


def _publish(work: RunningCycle, view: "TrainingView") -> None:
    run = Run(work.folder.run)
    published = work.registry.publish(
        work.start.name,
        work.folder.bundle,
        f"retraining cycle {work.cycle_id}",
        training={
            SPLITS_FILE: run.splits,
            "best.keras": run.best,
            "args.json": run.path / "args.json",
            **report_files(run.path),
        },
        cycle=work.cycle_id,
        alias=CHALLENGER,  # by default, jobs use the champion
    )
    replace_file(work.folder.published, json.dumps({"version": published.version}).encode())


def _numbers(comparison: Comparison) -> dict[str, Any]:
    keys = {"champion", "champion_accuracy", "challenger_accuracy", "points", "points_95", "photos", "won", "lost"}
    promised = comparison.automation.own_precision if comparison.automation else None
    return {**comparison.model_dump(mode="json", include=keys), "precision": promised}


def _decide(work: RunningCycle, view: "TrainingView") -> None:
    if _settle(work):
        return
    work.note(f"Another version of {work.start.name} is champion now; the challenger is compared with that version.")
    # Delete the last file first, because it depends on the others.
    for file in (work.folder.verdict, work.folder.catalogue, work.folder.comparison):
        file.unlink(missing_ok=True)


def _settle(work: RunningCycle) -> bool:
    name, before = work.start.name, work.compared_with
    if champion_of(work.registry, name) != before:
        return False
    verdict, numbers = work.folder.read(work.folder.verdict, GateVerdict), _numbers(work.comparison)
    if not verdict.passed:
        work.registry.refuse(name, work.version, verdict.reasons, numbers, work.cycle_id)
        return True
    accuracy = (check.sentence for check in verdict.checks if check.name == "accuracy")
    why = " ".join(("passed the gate.", *accuracy))
    try:
        work.registry.promote(name, work.version, why, numbers=numbers, cycle=work.cycle_id, instead_of=before)
    except RegistryError:
        if champion_of(work.registry, name) != before:
            return False
        raise
    return True


def _report(work: RunningCycle, view: "TrainingView") -> None:
    work.tools.write_report(work.folder.path, _outcome(work))


def _end(work: RunningCycle, view: "TrainingView") -> None:
    mlflow, outcome = work.config.mlflow, _outcome(work)
    work.registry.keep_cycle_report(work.start.name, work.version, work.folder.report)
    if mlflow is not None:
        try:
            work.tools.log_cycle(mlflow.uri, mlflow.experiment, work.folder, outcome)
        except HangtagError as error:
            work.note(f"Not logged: {error}")
    work.folder.write(work.folder.outcome, outcome)


def _outcome(work: RunningCycle) -> Outcome:
    folder, name, event = work.folder, work.start.name, work.decision()
    promoted = event is not None and event.what is What.PROMOTED
    return Outcome(
        status=CycleStatus.PROMOTED if promoted else CycleStatus.REFUSED,
        number=work.start.number,
        name=name,
        champion=work.comparison.champion,
        challenger=f"{name}@{work.version}",
        version=work.version,
        reasons=folder.read(folder.verdict, GateVerdict).reasons,
        started=work.start.started,
        finished=now_text(),
        seconds=folder.step_seconds(),
    )


def _leaves(file: str) -> Callable[[RunningCycle], bool]:
    return lambda work: (work.folder.path / file).exists()


STEPS: Final = (
    Step("train", "Train the challenger", _leaves("splits.csv"), _train),
    Step("export", "Export the challenger", _leaves(f"bundle/{MANIFEST_FILE}"), _export),
    Step("compare", "Compare champion and challenger on the same test photos", _leaves("comparison.json"), _compare),
    Step("catalogue", "Compare champion and challenger on a catalogue's rows", _catalogue_done, _catalogue),
    Step("gate", "Check whether the challenger may become the champion", _leaves("verdict.json"), _gate),
    Step("publish", "Add the challenger to the registry", _leaves("published.json"), _publish),
    Step("decide", "Promote or refuse the challenger", lambda work: work.decision() is not None, _decide),
    Step("report", "Write the report", _leaves("report.html"), _report),
    Step("end", "Write the outcome", _leaves("outcome.json"), _end),
)
