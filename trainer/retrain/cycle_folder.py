"""The folders of cycles: ``<folder>/000003/`` holds all that a cycle was given and all that it made."""

import json
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
    """How a cycle ended.

    ``failed``: abandoned, by ``--restart`` or since it could not succeed. A cycle that another error stopped has no
    outcome yet and goes on.
    """

    PROMOTED = "promoted"
    REFUSED = "refused"
    NOTHING_NEW = "nothing_new"
    FAILED = "failed"

    @property
    def exit_code(self) -> ExitCode:
        """The exit status of ``hangtag retrain``."""
        return {
            CycleStatus.PROMOTED: ExitCode.OK,
            CycleStatus.REFUSED: ExitCode.GATE_REFUSED,
            CycleStatus.NOTHING_NEW: ExitCode.NOTHING_NEW,
            CycleStatus.FAILED: ExitCode.FAILURE,
        }[self]


class CycleRecord(BaseModel):
    """A JSON file of a cycle."""

    model_config = ConfigDict(frozen=True)


class CycleStart(CycleRecord):
    """What a cycle began with (``cycle.json``); it keeps these settings even if the file has changed.

    ``config`` has absolute paths; ``champion_version`` is 0 if there was no champion.
    """

    number: int
    name: str
    started: str
    why: str = "data"
    config: dict[str, Any] = Field(default_factory=dict)
    champion_version: int = 0


class Outcome(CycleRecord):
    """How a cycle ended (``outcome.json``).

    Attributes:
        number: of the cycle; 0 if none was begun.
        champion: the challenger's opponent, such as ``shop@3``; or the model in use, if there was nothing to do.
        reasons: why it was refused, even if a person promoted it then; or why nothing was done.
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
    seconds: dict[str, float] = Field(default_factory=dict)


class _File:
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
        """Read a record; InputError if it is missing or damaged."""
        try:
            return kind.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            msg = f"{path} is missing or damaged; begin again: hangtag retrain CONFIG --restart."
            raise InputError(msg) from error

    def find(self, path: Path, kind: type[R]) -> R | None:
        """A record, if its step has left one."""
        return self.read(path, kind) if path.is_file() else None

    def step_seconds(self) -> dict[str, float]:
        """Step → how long it took until now."""
        return dict(json.loads(self.seconds.read_bytes())) if self.seconds.is_file() else {}

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
        """Remove the large files of old cycles: of all but the latest ``keep`` finished ones and the latest of all.

        Records, report and splits stay.
        """
        stay = {cycle.path for cycle in [*self.finished()[-keep:], *self.all()[-1:]]}
        for cycle in self.all():
            if cycle.path not in stay:
                for folder in (cycle.run, cycle.bundle, cycle.rows):
                    shutil.rmtree(folder, ignore_errors=True)
                for file in (cycle.dataset, cycle.earlier):
                    file.unlink(missing_ok=True)
