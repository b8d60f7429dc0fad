"""What a cycle begins with and what came of it: the first and the last file in its folder."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.errors import ExitCode

__all__ = ["CycleStart", "CycleStatus", "CycleWhy", "Outcome", "exit_code"]

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
