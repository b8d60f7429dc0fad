"""What each step of a cycle is given, and what a step is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from models.registry import Registry
from models.registry_history import CHAMPION
from trainer.retrain.config import RetrainConfig
from trainer.retrain.cycle_folder import CycleFolder
from trainer.retrain.outcome import CycleStart
from trainer.retrain.tools import Tools

if TYPE_CHECKING:
    from trainer.train import TrainingView

__all__ = ["CycleView", "Step", "Work", "champion_of"]


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


def champion_of(registry: Registry, name: str) -> int:
    """The champion's version now; 0 where there is none."""
    return registry.history(name).state().aliases.get(CHAMPION, 0)
