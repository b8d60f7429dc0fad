"""A file of corrections comes into the store."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from models.errors import ImageError
from trainer.corrections.settle import Settled, settle
from trainer.corrections.sheet import Sheet, SheetOptions, read_sheet
from trainer.corrections.store import Added, CorrectionStore
from trainer.corrections.word import Word
from trainer.data.hashing import file_sha256

__all__ = ["Imported", "import_corrections"]


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        sheet: what the file said.
        added: what was new of it.
        settled: all words that are there now.
    """

    sheet: Sheet
    added: Added
    settled: Settled

    @property
    def by_label(self) -> dict[str, int]:
        """How many of the new words say each label, the commonest first."""
        return dict(Counter(word.label for word in self.added.words).most_common())

    @property
    def pathbound(self) -> int:
        """How many of the new words are known by a place alone, since no file is there."""
        return sum(not word.sha256 for word in self.added.words)


def import_corrections(
    file: Path, store: CorrectionStore, options: SheetOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Imported:
    """Add what a file says to the store, as a whole or not at all.

    Raises:
        InputError: the file or the store cannot be used.
    """
    sheet = read_sheet(file, options, now())
    added = store.add(_hashed(sheet.timed), _hashed(sheet.untimed))
    return Imported(sheet, added, settle(added.all))


def _hashed(words: Sequence[Word]) -> list[Word]:
    """Words on photos that are known by their bytes wherever these can be read: a file that moves keeps its words."""
    return [word if word.sha256 else replace(word, sha256=_sha256(word)) for word in words]


def _sha256(word: Word) -> str:
    try:
        return file_sha256(word.path) if word.path else ""
    except ImageError:
        return ""
