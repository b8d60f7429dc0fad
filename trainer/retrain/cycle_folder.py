"""Where cycles lie: ``<folder>/000003/``, each with all that it was told and all that came of it."""

import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ExitCode, InputError
from models.text import numbered
from models.whole_file import replace_file

__all__ = ["COLLECTING", "CycleFolder", "CycleStart", "CycleStatus", "CycleWhy", "Cycles", "Outcome", "exit_code"]


CycleWhy = Literal["data", "drift"]
"""Why a cycle began: something new to learn from, or besides a job that has drifted."""


class CycleStatus(StrEnum):
    """What came of a cycle.

    ``failed`` is of a cycle that was abandoned, by ``--restart`` or since it could come to nothing; one that another
    error stopped has no outcome yet and goes on.
    """

    PROMOTED = "promoted"
    REFUSED = "refused"
    NOTHING_NEW = "nothing_new"
    FAILED = "failed"


class _Record(BaseModel):
    """What a later version of Hangtag writes besides is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class CycleStart(_Record):
    """What a cycle began with (``cycle.json``); it keeps to this whatever the settings say by now.

    Attributes:
        number: of the cycle; its folder's name, in six digits.
        name: of the model.
        started: when, in UTC.
        why: it began.
        config: the settings, with absolute paths.
        champion_version: that was champion then; 0 for none.
        champion_digest: of its bundle.
        first: whether the model had no version at all.
    """

    number: int
    name: str
    started: str
    why: str = "data"
    config: dict[str, Any] = Field(default_factory=dict)
    champion_version: int = 0
    champion_digest: str | None = None
    first: bool = False


class Outcome(_Record):
    """What came of a cycle (``outcome.json``).

    Attributes:
        status: in a word.
        number: of the cycle; 0 where none was begun.
        name: of the model.
        champion: that the challenger was compared with, such as ``shop@3``, or that stays where nothing was done; none
            where there is none.
        challenger: such as ``shop@4``; none where it came to none.
        version: the challenger's.
        reasons: why it was refused, a sentence each; or why nothing was done. Kept of a forced promotion too.
        started, finished: when, in UTC.
        forced: whether a refusal was overruled.
        seconds: step → how long it took, of all processes that worked on it.
    """

    status: CycleStatus
    number: int
    name: str
    champion: str | None = None
    challenger: str | None = None
    version: int | None = None
    reasons: tuple[str, ...] = ()
    started: str
    finished: str
    forced: bool = False
    seconds: dict[str, float] = Field(default_factory=dict)


def exit_code(status: CycleStatus) -> ExitCode:
    """What ``hangtag retrain`` leaves with."""
    return {
        CycleStatus.PROMOTED: ExitCode.OK,
        CycleStatus.REFUSED: ExitCode.GATE_REFUSED,
        CycleStatus.NOTHING_NEW: ExitCode.NOTHING_NEW,
        CycleStatus.FAILED: ExitCode.FAILURE,
    }[status]


COLLECTING: Final = ".collecting"
"""Where photos are collected before it is known whether there is anything new in them."""
_FINISHED: Final = {CycleStatus.PROMOTED, CycleStatus.REFUSED}
_HEAVY: Final = ("run", "bundle", "catalogue")
_COPIES: Final = ("dataset.csv", "earlier.csv")

R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True)
class CycleFolder:
    """The folder of one cycle. A file in it is whole or absent; a step whose file is there is done."""

    path: Path

    @property
    def number(self) -> int:
        """Of the cycle."""
        return int(self.path.name)

    @property
    def dataset(self) -> Path:
        """Photos and labels that it learns from."""
        return self.path / "dataset.csv"

    @property
    def collected(self) -> Path:
        """:class:`trainer.retrain.records.Collected`."""
        return self.path / "collected.json"

    @property
    def earlier(self) -> Path:
        """The splits that it extends, as they were when it began; absent where there were none."""
        return self.path / "earlier.csv"

    @property
    def start(self) -> Path:
        """:class:`trainer.retrain.cycle_folder.CycleStart`."""
        return self.path / "cycle.json"

    @property
    def run(self) -> Path:
        """The challenger's training."""
        return self.path / "run"

    @property
    def splits(self) -> Path:
        """The splits that the next cycle extends; they outlive the run."""
        return self.path / "splits.csv"

    @property
    def bundle(self) -> Path:
        """The challenger."""
        return self.path / "bundle"

    @property
    def comparison(self) -> Path:
        """:class:`trainer.retrain.records.Comparison`."""
        return self.path / "comparison.json"

    @property
    def catalogue(self) -> Path:
        """:class:`trainer.retrain.records.CatalogueDiff`."""
        return self.path / "catalogue.json"

    @property
    def rows(self) -> Path:
        """The catalogue's rows that are compared, and what both models say of them."""
        return self.path / "catalogue"

    @property
    def verdict(self) -> Path:
        """:class:`trainer.retrain.records.Verdict`."""
        return self.path / "verdict.json"

    @property
    def published(self) -> Path:
        """The challenger's version in the registry."""
        return self.path / "published.json"

    @property
    def seconds(self) -> Path:
        """How long each step took."""
        return self.path / "seconds.json"

    @property
    def mlflow(self) -> Path:
        """The run's id on the tracking server."""
        return self.path / "mlflow.json"

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"

    @property
    def outcome(self) -> Path:
        """:class:`trainer.retrain.cycle_folder.Outcome`; the last file, so that a cycle with it is over."""
        return self.path / "outcome.json"

    def write(self, path: Path, record: BaseModel) -> None:
        """Write a record as JSON, whole."""
        replace_file(path, record.model_dump_json(indent=1).encode())

    def read(self, path: Path, kind: type[R]) -> R:
        """Read a record.

        Raises:
            InputError: it is missing or damaged.
        """
        try:
            return kind.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            msg = f"{path} is missing, damaged or of another version of Hangtag; begin anew with hangtag retrain "
            raise InputError(msg + "CONFIG --restart.") from error

    def lighten(self) -> None:
        """Take away photos, weights and bundle; what tells of the cycle stays, and so do its splits."""
        for name in _HEAVY:
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in _COPIES:
            (self.path / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Cycles:
    """All cycles of a model on this machine."""

    path: Path

    def all(self) -> list[CycleFolder]:
        """In order; a folder becomes a cycle's when it has all that a cycle begins with."""
        numbers = numbered((entry.name for entry in self.path.glob("[0-9]*") if entry.is_dir()), "")
        return [CycleFolder(self.path / f"{number:06d}") for number in numbers]

    def last_number(self) -> int:
        """The highest number that a cycle here has; 0 where there is none."""
        return max((cycle.number for cycle in self.all()), default=0)

    def unfinished(self) -> CycleFolder | None:
        """The cycle that is to go on."""
        return next((cycle for cycle in reversed(self.all()) if not cycle.outcome.is_file()), None)

    def finished(self) -> list[CycleFolder]:
        """Those that came to a decision, in order."""
        over = [cycle for cycle in self.all() if cycle.outcome.is_file()]
        return [cycle for cycle in over if cycle.read(cycle.outcome, Outcome).status in _FINISHED]

    def abandon(self, cycle: CycleFolder, why: str, now: str) -> Outcome:
        """End a cycle without a decision; its number is not used again."""
        start = cycle.read(cycle.start, CycleStart)
        outcome = Outcome(
            status=CycleStatus.FAILED,
            number=start.number,
            name=start.name,
            reasons=(why,),
            started=start.started,
            finished=now,
        )
        cycle.write(cycle.outcome, outcome)
        return outcome

    def lighten(self, keep: int) -> None:
        """Of all but the latest ``keep`` finished cycles, and of the latest one, keep only what tells of them."""
        stay = {cycle.path for cycle in [*self.finished()[-keep:], *self.all()[-1:]]}
        for cycle in self.all():
            if cycle.outcome.is_file() and cycle.path not in stay:
                cycle.lighten()
