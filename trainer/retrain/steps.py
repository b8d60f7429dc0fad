"""The steps of a cycle. Doing one twice does no harm; what it leaves is whole or absent.

The registry's history decides whether a challenger was promoted or refused: what is written there is not decided again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from exporter.options import ExportOptions
from models.bundle import MANIFEST_FILE
from models.errors import HangtagError, RegistryError
from models.registry.history import What
from models.registry.publish import report_files
from models.registry.state import CHALLENGER
from models.whole_file import replace_file
from trainer.retrain.begin import SPLITS_FILE, champion_of, check_unseen
from trainer.retrain.compare import Contestant
from trainer.retrain.cycle_folder import CycleStatus, Outcome, now_text
from trainer.retrain.records import CatalogueDiff, Comparison, Verdict
from trainer.retrain.tools import RunningCycle
from trainer.retrain.train_step import train
from trainer.run import Run
from trainer.splits.assigned import read_splits

if TYPE_CHECKING:
    from trainer.train import TrainingView

_MOST_CHAMPIONS: Final = 3
"""How often the comparison is repeated because another version became champion meanwhile."""


@dataclass(frozen=True)
class Step:
    """A step of a cycle: its name in ``seconds.json``, what it does in words, whether it is done, and how to do it."""

    name: str
    title: str
    done: Callable[[RunningCycle], bool]
    do: "Callable[[RunningCycle, TrainingView], None]"


def _export(work: RunningCycle, view: "TrainingView") -> None:
    asked = work.config.export
    options = ExportOptions(
        int8=asked.int8, float16=asked.fp16, edge=asked.edge, ort=asked.ort, default_variant=asked.default_variant
    )
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
    assert work.config.catalogue is not None  # noqa: S101 - the step is done where there is none
    diff = work.tools.catalogue_diff(
        work.config.catalogue,
        work.registry.path(work.start.name, work.compared_with),
        work.folder.bundle,
        work.folder.rows,
        work.config.classes.rename,
        view.advance,
    )
    work.folder.write(work.folder.catalogue, diff)


def _gate(work: RunningCycle, view: "TrainingView") -> None:
    folder = work.folder
    diff = folder.find(folder.catalogue, CatalogueDiff)
    folder.write(folder.verdict, work.tools.judge(work.config.gate, work.comparison, diff))


def _publish(work: RunningCycle, view: "TrainingView") -> None:
    """Add the challenger to the registry, under the alias ``challenger`` only, so that no job takes it."""
    run = Run(work.folder.run)
    numbers = _numbers(work.comparison)
    published = work.registry.publish(
        work.start.name,
        work.folder.bundle,
        f"retraining cycle {work.cycle_id}",
        numbers=numbers,
        training={
            SPLITS_FILE: run.splits,
            "best.keras": run.best,
            "args.json": run.path / "args.json",
            **report_files(run.path),
        },
        cycle=work.cycle_id,
        alias=CHALLENGER,
    )
    replace_file(work.folder.published, json.dumps({"version": published.version}).encode())


def _numbers(comparison: Comparison) -> dict[str, Any]:
    """The figures of a comparison that the registry's history keeps."""
    keys = {"champion", "champion_accuracy", "challenger_accuracy", "points", "points_95", "photos", "won", "lost"}
    promised = comparison.automation.own_precision if comparison.automation else None
    return {**comparison.model_dump(mode="json", include=keys), "precision": promised}


def _decided(work: RunningCycle) -> bool:
    event = work.decision()
    return event is not None and (event.what is What.PROMOTED or work.force is None)


def _decide(work: RunningCycle, view: "TrainingView") -> None:
    folder = work.folder
    for _ in range(_MOST_CHAMPIONS):
        if _settle(work):
            return
        work.note(f"Another version of {work.start.name} is champion by now; the challenger is compared with that one.")
        # the last first, so that what is there always fits together; the catalogue's rows and their labels stay
        for file in (folder.verdict, folder.catalogue, folder.comparison):
            file.unlink(missing_ok=True)
        for step in _COMPARING:
            if not step.done(work):
                step.do(work, view)
    msg = (
        f"Expected {work.start.name} to have one champion while a challenger is compared with it, others came "
        f"{_MOST_CHAMPIONS} times; run hangtag retrain again when nobody promotes."
    )
    raise RegistryError(msg)


def _settle(work: RunningCycle) -> bool:
    """Promote or refuse the challenger; ``False`` if another version became champion since the comparison."""
    name, before = work.start.name, work.compared_with
    if champion_of(work.registry, name) != before:
        return False
    verdict, numbers = work.folder.read(work.folder.verdict, Verdict), _numbers(work.comparison)
    if verdict.passed:
        why = work.force or "passed the gate"
    else:
        work.registry.refuse(name, work.version, verdict.reasons, numbers, work.cycle_id)
        if work.force is None:
            return True
        why = f"{work.force} (although: {'; '.join(verdict.reasons)})"
    try:
        work.registry.promote(
            name,
            work.version,
            why,
            numbers=numbers,
            cycle=work.cycle_id,
            instead_of=before,
            force=work.force is not None,  # this cycle may have refused it against another champion
        )
    except RegistryError:
        if champion_of(work.registry, name) != before:
            return False
        raise
    return True


def _report(work: RunningCycle, view: "TrainingView") -> None:
    work.tools.write_report(work.folder.path, _outcome(work))


def _log(work: RunningCycle, view: "TrainingView") -> None:
    """Log the cycle to MLflow; if that fails, a note says so, and the cycle ends without it."""
    mlflow = work.config.mlflow
    assert mlflow is not None  # noqa: S101 - the step is done where there is none
    try:
        work.tools.log_cycle(mlflow.uri, mlflow.experiment, work.folder, _outcome(work))
    except HangtagError as error:
        work.note(f"Not logged: {error}")


def _end(work: RunningCycle, view: "TrainingView") -> None:
    work.folder.write(work.folder.outcome, _outcome(work))


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
        reasons=folder.read(folder.verdict, Verdict).reasons,
        started=work.start.started,
        finished=now_text(),
        forced=event is not None and event.forced,
        seconds=json.loads(folder.seconds.read_bytes()) if folder.seconds.is_file() else {},
    )


def _leaves(file: str) -> Callable[[RunningCycle], bool]:
    """Make a step that is done when its file is there."""
    return lambda work: (work.folder.path / file).exists()


_COMPARING: Final = (
    Step("compare", "Champion and challenger on the same test photos", _leaves("comparison.json"), _compare),
    Step("catalogue", "Champion and challenger on real rows", _catalogue_done, _catalogue),
    Step("gate", "May the challenger become the champion?", _leaves("verdict.json"), _gate),
)
STEPS: Final = (
    Step("train", "Train the challenger", _leaves("splits.csv"), train),
    Step("export", "Make a bundle of it, with its proof", _leaves(f"bundle/{MANIFEST_FILE}"), _export),
    *_COMPARING,
    Step("publish", "Add it to the registry", _leaves("published.json"), _publish),
    Step("decide", "Promote or refuse it", _decided, _decide),
    Step("report", "Write the report", _leaves("report.html"), _report),
    Step("log", "Log it to MLflow", lambda work: work.config.mlflow is None, _log),
    Step("end", "Write the outcome", _leaves("outcome.json"), _end),
)
