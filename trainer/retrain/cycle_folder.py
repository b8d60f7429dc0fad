"""The folders of cycles: ``<folder>/000003/`` holds all that a cycle was given and all that it made."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ExitCode, InputError
from models.text import numbered
from models.whole_file import replace_file

COLLECTING: Final = ".collecting"
"""The folder in which photos are collected before we know whether any are new."""

R = TypeVar("R", bound=BaseModel)


def now_text() -> str:
    """Now, in UTC, for files."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class CycleStatus(StrEnum):
    """What came of a cycle.

    ``failed``: abandoned, by ``--restart`` or since it could not succeed. A cycle that another error stopped has no
    outcome yet and goes on.
    """

    PROMOTED = "promoted"
    REFUSED = "refused"
    NOTHING_NEW = "nothing_new"
    FAILED = "failed"

    @property
    def exit_code(self) -> ExitCode:
        """What ``hangtag retrain`` leaves with."""
        return {
            CycleStatus.PROMOTED: ExitCode.OK,
            CycleStatus.REFUSED: ExitCode.GATE_REFUSED,
            CycleStatus.NOTHING_NEW: ExitCode.NOTHING_NEW,
            CycleStatus.FAILED: ExitCode.FAILURE,
        }[self]


class CycleRecord(BaseModel):
    """A JSON file of a cycle. Keys that a later version of Hangtag adds are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class CycleStart(CycleRecord):
    """What a cycle began with (``cycle.json``); it keeps these settings even if the file has changed.

    Attributes:
        number: its folder's name, in six digits.
        started: in UTC.
        why: ``data``, or ``drift`` if a job has drifted.
        config: the settings, with absolute paths.
        champion_version: 0 if there was no champion.
    """

    number: int
    name: str
    started: str
    why: str = "data"
    config: dict[str, Any] = Field(default_factory=dict)
    champion_version: int = 0


class Outcome(CycleRecord):
    """What came of a cycle (``outcome.json``).

    Attributes:
        number: of the cycle; 0 if none was begun.
        champion: the one that the challenger was compared with, such as ``shop@3``, or that stays if nothing was done.
        challenger: such as ``shop@4``; ``version`` is its number.
        reasons: why it was refused, a sentence each; or why nothing was done. Kept of a forced promotion too.
        started, finished: in UTC.
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


class _File:
    """A file or folder of a cycle, by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: "CycleFolder", owner: type) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class CycleFolder:
    """The folder of one cycle. A file in it is whole or absent; a step whose file is there is done."""

    path: Path

    dataset = _File("dataset.csv")  # photos and labels that it learns from
    collected = _File("collected.json")  # records.Collected
    earlier = _File("earlier.csv")  # the splits that it extends, as they were when it began; absent without any
    start = _File("cycle.json")
    run = _File("run")  # the challenger's training
    splits = _File("splits.csv")  # that the next cycle extends; they outlive the run
    bundle = _File("bundle")  # the challenger
    comparison = _File("comparison.json")  # records.Comparison
    catalogue = _File("catalogue.json")  # records.CatalogueDiff
    rows = _File("catalogue")  # the catalogue's rows that are compared, and both models' labels
    verdict = _File("verdict.json")  # records.Verdict
    published = _File("published.json")  # the challenger's version
    seconds = _File("seconds.json")  # how long each step took
    report = _File("report.html")
    outcome = _File("outcome.json")  # the last file: a cycle with it is over

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
            msg = f"{path} is missing, damaged or of another version of Hangtag; begin again: hangtag retrain "
            raise InputError(msg + "CONFIG --restart.") from error

    def find(self, path: Path, kind: type[R]) -> R | None:
        """A record, if its step has left one."""
        return self.read(path, kind) if path.is_file() else None

    def abandon(self, why: str) -> None:
        """End the cycle without a decision; its number is not used again."""
        start = self.read(self.start, CycleStart)
        outcome = Outcome(
            status=CycleStatus.FAILED,
            number=start.number,
            name=start.name,
            reasons=(why,),
            started=start.started,
            finished=now_text(),
        )
        self.write(self.outcome, outcome)

    def lighten(self) -> None:
        """Remove photos, weights and bundle; records, report and splits stay."""
        for folder in (self.run, self.bundle, self.rows):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self.dataset, self.earlier):
            file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Cycles:
    """All cycles of a model on this machine."""

    path: Path

    def all(self) -> list[CycleFolder]:
        """All cycles, in order; a folder counts once it has all that a cycle begins with."""
        numbers = numbered((entry.name for entry in self.path.glob("[0-9]*") if entry.is_dir()), "")
        return [CycleFolder(self.path / f"{number:06d}") for number in numbers]

    def unfinished(self) -> CycleFolder | None:
        """The unfinished cycle, if any."""
        return next((cycle for cycle in reversed(self.all()) if not cycle.outcome.is_file()), None)

    def finished(self) -> list[CycleFolder]:
        """The cycles that came to a decision, in order."""
        decided = {CycleStatus.PROMOTED, CycleStatus.REFUSED}
        over = [cycle for cycle in self.all() if cycle.outcome.is_file()]
        return [cycle for cycle in over if cycle.read(cycle.outcome, Outcome).status in decided]

    def lighten(self, keep: int) -> None:
        """Remove the large files of old cycles: of all but the latest ``keep`` finished ones and the latest of all."""
        stay = {cycle.path for cycle in [*self.finished()[-keep:], *self.all()[-1:]]}
        for cycle in self.all():
            if cycle.outcome.is_file() and cycle.path not in stay:
                cycle.lighten()
