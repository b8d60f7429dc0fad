"""A file of corrections comes into the store."""

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from models.errors import ImageError, InputError
from trainer.corrections.job_root import job_root
from trainer.corrections.mend import lost_places
from trainer.corrections.near_labels import near_labels
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
        lost: paths in the file that lead to no file, in its order.
        root: where relative paths start, as the job or the run beside the file says; ``None`` if neither says it, or
            if nobody asked.
    """

    sheet: Sheet
    added: Added
    settled: Settled
    lost: tuple[str, ...] = ()
    root: Path | None = None

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
        InputError: the file or the store cannot be used, or a new label looks like a typing error of a known one.
    """
    root = None if options.image_root else job_root(file)
    sheet = read_sheet(file, replace(options, image_root=root) if root else options, now())
    _check_labels(file, sheet, store.words(), options.new_labels)
    added = store.add(_hashed(sheet.timed), _hashed(sheet.untimed))
    lost = tuple(lost_places((*sheet.timed, *sheet.untimed)))
    return Imported(sheet, added, settle(added.all), lost, root)


def _check_labels(file: Path, sheet: Sheet, before: Sequence[Word], new_labels: Sequence[str]) -> None:
    """Refuse labels that may be typing errors of what a reviewer or the model has said before."""
    said = (*sheet.timed, *sheet.untimed)
    known = {word.label for word in before} | {word.was for word in (*before, *said) if word.was} | sheet.named
    near = near_labels({word.label for word in said} - set(new_labels), known)
    if near:
        asked = "\n  ".join(f"{label}: do you mean {meant}?" for label, meant in near.items())
        msg = (
            f"Expected labels in {file} that are known, or new on purpose; none was imported, so mend these and import "
            f"the file again, or say --new-label {shlex.quote(next(iter(near)))}.\n  {asked}"
        )
        raise InputError(msg)


def _hashed(words: Sequence[Word]) -> list[Word]:
    """Words on photos that are known by their bytes wherever these can be read: a file that moves keeps its words."""
    return [word if word.sha256 else replace(word, sha256=_sha256(word)) for word in words]


def _sha256(word: Word) -> str:
    try:
        return file_sha256(word.path) if word.path else ""
    except ImageError:
        return ""
