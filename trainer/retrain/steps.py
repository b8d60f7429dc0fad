"""What each step of a cycle is given, and what a step is."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from exporter.options import ExportOptions
from models.bundle import MANIFEST_FILE
from models.errors import HangtagError, RegistryError
from models.registry.history import CHALLENGER, Event, What
from models.registry.registry import Registry
from models.whole_file import replace_file
from trainer.retrain.begin import SPLITS_FILE, champion_of, check_unseen
from trainer.retrain.compare import gone_photos
from trainer.retrain.config import RetrainConfig
from trainer.retrain.cycle_folder import CycleFolder, CycleStart, CycleStatus, Outcome
from trainer.retrain.records import CatalogueDiff, Comparison, Verdict
from trainer.retrain.tools import Tools
from trainer.run import Run
from trainer.splits.assigned import read_splits
from worker.tracking import server_name

if TYPE_CHECKING:
    from trainer.train import TrainingView


__all__ = [
    "CATALOGUE",
    "COMPARE",
    "DECIDE",
    "EXPORT",
    "GATE",
    "LOG",
    "PUBLISH",
    "CycleView",
    "Step",
    "Work",
    "compared_with",
    "decision",
    "ending",
    "forget",
    "numbers_of",
    "version_of",
]


class CycleView(Protocol):
    """Who is told how a cycle goes."""

    def note(self, line: str) -> None:
        """Something that a person should know."""

    def step(self, name: str) -> "AbstractContextManager[TrainingView]":
        """A step begins; what happens in it is told to what this gives."""


@dataclass(frozen=True)
class Work:
    """A cycle that is worked on.

    Attributes:
        folder: of the cycle.
        start: what it began with.
        config: the settings that it began with.
        registry: where its model is.
        tools: what it works with.
        force: why a refusal is to be overruled; none where it is not.
        note: told what a person should know, a line each.
    """

    folder: CycleFolder
    start: CycleStart
    config: RetrainConfig
    registry: Registry
    tools: Tools
    force: str | None
    note: Callable[[str], None]

    @property
    def cycle_id(self) -> str:
        """As the registry's history names it."""
        return self.folder.path.name


@dataclass(frozen=True)
class Step:
    """A step of a cycle. Doing it twice does no harm; what it leaves is whole or absent.

    Attributes:
        name: in a word.
        done: whether there is nothing left to do.
        do: it.
    """

    name: str
    done: Callable[[Work], bool]
    do: "Callable[[Work, TrainingView], None]"


def _export(work: Work, view: "TrainingView") -> None:
    asked = work.config.export
    options = ExportOptions(int8=asked.int8, float16=asked.fp16, edge=asked.edge, ort=asked.ort)
    work.tools.export(work.folder.run, work.folder.bundle, options, view.advance)


EXPORT = Step("export", lambda work: (work.folder.bundle / MANIFEST_FILE).is_file(), _export)


def _publish(work: Work, view: "TrainingView") -> None:
    run = Run(work.folder.run)
    comparison = work.folder.read(work.folder.comparison, Comparison)
    view.advance("Publishing", 0, 1)
    published = work.registry.publish(
        work.start.name,
        work.folder.bundle,
        f"retraining cycle {work.cycle_id}",
        numbers=numbers_of(comparison),
        training={"splits.csv": run.splits, "best.keras": run.best, "args.json": run.path / "args.json"},
        cycle=work.cycle_id,
        alias=CHALLENGER,
    )
    replace_file(work.folder.published, json.dumps({"version": published.version}).encode())


PUBLISH = Step("publish", lambda work: work.folder.published.is_file(), _publish)


def version_of(work: Work) -> int:
    """The challenger's version."""
    return int(json.loads(work.folder.published.read_bytes())["version"])


def numbers_of(comparison: Comparison) -> dict[str, Any]:
    """What the registry's history tells of a comparison."""
    keys = {"champion", "champion_accuracy", "challenger_accuracy", "points", "points_95", "photos", "won", "lost"}
    promised = comparison.automation.own_precision if comparison.automation else None
    return {**comparison.model_dump(mode="json", include=keys), "precision": promised}


def _compare(work: Work, view: "TrainingView") -> None:
    name, champion = work.start.name, champion_of(work.registry, work.start.name)
    own = work.registry.training(name, champion, SPLITS_FILE) if champion else None
    photos = read_splits(work.folder.splits)
    check_unseen(name, champion, own, photos)
    comparison = work.tools.compare(
        work.folder.run,
        work.folder.bundle,
        work.registry.path(name, champion) if champion else None,
        (f"{name}@{champion}" if champion else None, f"{name}@challenger"),
        work.config.classes,
        work.tools.cache(),
        view.advance,
    )
    gone = len(gone_photos(read_splits(own), photos, work.config.classes.drop)) if own else 0
    work.folder.write(work.folder.comparison, comparison.model_copy(update={"unread": comparison.unread + gone}))


COMPARE = Step("compare", lambda work: work.folder.comparison.is_file(), _compare)


def _catalogue_done(work: Work) -> bool:
    return work.config.catalogue is None or not compared_with(work) or work.folder.catalogue.is_file()


def _catalogue(work: Work, view: "TrainingView") -> None:
    assert work.config.catalogue is not None  # noqa: S101 - the step is done where there is none
    diff = work.tools.catalogue_diff(
        work.config.catalogue,
        work.registry.path(work.start.name, compared_with(work)),
        work.folder.bundle,
        work.folder.rows,
        work.config.classes.rename,
        view.advance,
    )
    work.folder.write(work.folder.catalogue, diff)


CATALOGUE = Step("catalogue", _catalogue_done, _catalogue)


def _gate(work: Work, view: "TrainingView") -> None:
    view.advance("Judging", 0, 1)
    folder = work.folder
    diff = folder.read(folder.catalogue, CatalogueDiff) if folder.catalogue.is_file() else None
    folder.write(folder.verdict, work.tools.judge(work.config.gate, folder.read(folder.comparison, Comparison), diff))


GATE = Step("gate", lambda work: work.folder.verdict.is_file(), _gate)


def compared_with(work: Work) -> int:
    """The champion that the comparison is with; 0 for none."""
    said = work.folder.read(work.folder.comparison, Comparison).champion
    return int(said.rpartition("@")[2]) if said else 0


def forget(work: Work) -> None:
    """Take the weighing back, the last of it first, so that what is there always fits together.

    The catalogue's rows stay, and so does what the challenger says of them.
    """
    for file in (work.folder.verdict, work.folder.catalogue, work.folder.comparison):
        file.unlink(missing_ok=True)


_TIMES = 3
"""Another champion may come so often while this challenger is weighed."""


def decision(work: Work) -> Event | None:
    """What the history says of the challenger last: this cycle's word, or that of a person who promoted it.

    What a person has promoted and taken back is as if nobody had.
    """
    version, rolled_back = version_of(work), False
    for event in reversed(work.registry.history(work.start.name).events()):
        rolled_back |= event.what is What.ROLLED_BACK
        own = event.cycle == work.cycle_id
        refused = event.what is What.REFUSED and own
        promoted = event.what is What.PROMOTED and (own or not rolled_back)
        if event.version == version and (refused or promoted):
            return event
    return None


def _decide(work: Work, view: "TrainingView") -> None:
    for _ in range(_TIMES):
        if _settle(work):
            return
        work.note(f"Another version of {work.start.name} is champion by now; the challenger is compared with that one.")
        forget(work)
        for step in (COMPARE, CATALOGUE, GATE):
            if not step.done(work):
                step.do(work, view)
    msg = (
        f"Expected {work.start.name} to have one champion while a challenger is compared with it, others came "
        f"{_TIMES} times; run hangtag retrain again when nobody promotes."
    )
    raise RegistryError(msg)


def _decided(work: Work) -> bool:
    event = decision(work)
    return event is not None and (event.what is What.PROMOTED or work.force is None)


DECIDE = Step("decide", _decided, _decide)


def _settle(work: Work) -> bool:
    """Promote or refuse, unless the champion is not that any more which the challenger was compared with."""
    before = compared_with(work)
    if _champion_moved(work, before):
        return False
    verdict = work.folder.read(work.folder.verdict, Verdict)
    if not verdict.passed:
        _refuse(work, verdict)
    if not verdict.passed and work.force is None:
        return True
    try:
        _promote(work, verdict, before)
    except RegistryError:
        if _champion_moved(work, before):
            return False
        raise
    return True


def _champion_moved(work: Work, before: int) -> bool:
    return champion_of(work.registry, work.start.name) != before


def _refuse(work: Work, verdict: Verdict) -> None:
    numbers = numbers_of(work.folder.read(work.folder.comparison, Comparison))
    work.registry.refuse(work.start.name, version_of(work), verdict.reasons, numbers, work.cycle_id)


def _promote(work: Work, verdict: Verdict, before: int) -> None:
    numbers = numbers_of(work.folder.read(work.folder.comparison, Comparison))
    forced = not verdict.passed
    why = f"{work.force} (although: {'; '.join(verdict.reasons)})" if forced else work.force or "passed the gate"
    work.registry.promote(
        work.start.name,
        version_of(work),
        why,
        numbers=numbers,
        cycle=work.cycle_id,
        instead_of=before,
        force=work.force is not None,  # this cycle may have refused it against another champion
    )


def _log_done(work: Work) -> bool:
    return work.config.mlflow is None or work.folder.mlflow.is_file()


def _log(work: Work, view: "TrainingView") -> None:
    """A tracking server that is away keeps no champion from its place: said, and the cycle ends without it."""
    assert work.config.mlflow is not None  # noqa: S101 - the step is done where there is none
    view.advance("Logging", 0, 1)
    mlflow, name, promoted = work.config.mlflow, work.start.name, _status(work) is CycleStatus.PROMOTED
    aliases = work.registry.state(name).aliases
    try:
        run = work.tools.log_cycle(
            mlflow.uri, mlflow.experiment, work.folder.path, name, version_of(work), promoted, aliases
        )
    except HangtagError as error:
        work.note(f"Not logged to {server_name(mlflow.uri)}: {error}")  # a URI may hold a password
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
