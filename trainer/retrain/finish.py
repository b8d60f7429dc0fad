"""What is left of a cycle: the page to look at, a run on the tracking server, and the outcome."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from models.errors import HangtagError
from models.registry_history import What
from models.whole_file import replace_file
from trainer.retrain.decide import decision
from trainer.retrain.outcome import CycleStatus, Outcome
from trainer.retrain.records import Comparison, Verdict
from trainer.retrain.ship import version_of
from trainer.retrain.work import Step, Work
from worker.tracking.mlflow_client import server_name

if TYPE_CHECKING:
    from trainer.train import TrainingView

__all__ = ["LOG", "ending"]


def _log_done(work: Work) -> bool:
    return work.config.mlflow is None or work.folder.mlflow.is_file()


def _log(work: Work, view: "TrainingView") -> None:
    """A tracking server that is away keeps no champion from its place: said, and the cycle ends without it."""
    assert work.config.mlflow is not None  # noqa: S101 - the step is done where there is none
    view.advance("Logging", 0, 1)
    name, promoted = work.start.name, _status(work) is CycleStatus.PROMOTED
    aliases = work.registry.state(name).aliases
    try:
        run = work.tools.log_cycle(work.config.mlflow, work.folder.path, name, version_of(work), promoted, aliases)
    except HangtagError as error:
        work.note(f"Not logged to {server_name(work.config.mlflow.uri)}: {error}")  # a URI may hold a password
        return
    replace_file(work.folder.mlflow, json.dumps({"run": run}).encode())


LOG = Step("log", _log_done, _log)


def ending(now: Callable[[], str]) -> tuple[Step, Step, Step]:
    """The last steps: ``report.html``, the tracking server, and the file that says that the cycle is over."""

    def report(work: Work, view: "TrainingView") -> None:
        view.advance("Drawing the report", 0, 1)
        work.tools.write_report(work.folder.path, _outcome(work, now()))

    def end(work: Work, view: "TrainingView") -> None:
        view.advance("Ending", 0, 1)
        work.folder.write(work.folder.outcome, _outcome(work, now()))

    return (
        Step("report", lambda work: work.folder.report.is_file(), report),
        LOG,
        Step("end", lambda work: work.folder.outcome.is_file(), end),
    )


def _status(work: Work) -> CycleStatus:
    event = decision(work)
    promoted = event is not None and event.what is What.PROMOTED
    return CycleStatus.PROMOTED if promoted else CycleStatus.REFUSED


def _outcome(work: Work, now: str) -> Outcome:
    folder, name, version = work.folder, work.start.name, version_of(work)
    event = decision(work)
    return Outcome(
        status=_status(work),
        number=work.start.number,
        name=name,
        champion=folder.read(folder.comparison, Comparison).champion,
        challenger=f"{name}@{version}",
        version=version,
        reasons=folder.read(folder.verdict, Verdict).reasons,
        started=work.start.started,
        finished=now,
        forced=event is not None and event.forced,
        seconds=json.loads(folder.seconds.read_bytes()) if folder.seconds.is_file() else {},
    )
