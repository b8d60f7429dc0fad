"""A folder of jobs whose writer may be killed, or overtaken, at any step."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from models.storage.storage import FolderStorage

__all__ = ["Fate", "KilledError", "MortalStorage"]


class KilledError(BaseException):
    """Stands for the end of the process, which nothing can catch."""


@dataclass
class Fate:
    """Something happens at a step.

    Attributes:
        at: which step, from 1 on; 0 for none.
        happens: what.
        steps: so far: one before each write and one after it.
    """

    at: int
    happens: Callable[[], None]
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            self.happens()


@dataclass(frozen=True)
class MortalStorage(FolderStorage):
    """Storages of one place are equal, whatever their fate."""

    fate: Fate = field(compare=False)

    def commit(self, key: str, data: bytes) -> bool:
        self.fate.step()
        won = super().commit(key, data)
        self.fate.step()
        return won

    def child(self, folder: str) -> "MortalStorage":
        return MortalStorage(Path(self.root / folder), self.fate)
