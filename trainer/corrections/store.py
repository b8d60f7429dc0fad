"""``corrections.csv``: every word of every reviewer, in the order of their times."""

import fcntl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from models.errors import InputError
from models.whole_file import open_lock
from trainer.corrections.guarded import guarded, unguarded
from trainer.corrections.mend import leads_to_photo, mended_words
from trainer.corrections.word import COLUMNS, Word, parse_word, word_cells
from trainer.data.csv_file import write_rows
from worker.sources.readers import read_delimited

__all__ = ["Added", "CorrectionStore", "refuse_rows"]

_MOST_LINES: Final = 20


@dataclass(frozen=True)
class Added:
    """What an import brought.

    Attributes:
        words: that were not there before.
        known: how many were.
        all: every word that counts now.
        mended: how many words that were there have a path now that leads to their photo, and had none.
    """

    words: tuple[Word, ...]
    known: int
    all: tuple[Word, ...]
    mended: int = 0


class CorrectionStore:
    """The file that reviewers' words are kept in; it only grows, and of what is there only paths are mended.

    Args:
        path: of the file; one that is not there yet holds no words.
        now: the time. Words of after tomorrow, of a clock that was wrong once, stay in the file and do not count.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path.absolute()
        self._now = now

    def words(self) -> tuple[Word, ...]:
        """All words that count, in order.

        Raises:
            InputError: it is not as :meth:`add` left it; each bad row is named.
        """
        return self._divided()[0]

    def ahead(self) -> tuple[Word, ...]:
        """The words of after tomorrow, in order.

        Raises:
            InputError: as :meth:`words` does.
        """
        return self._divided()[1]

    def _divided(self) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
        words, now = self._all(), self._now()
        return tuple(w for w in words if not w.is_ahead(now)), tuple(w for w in words if w.is_ahead(now))

    def _all(self) -> tuple[Word, ...]:
        if not self.path.exists():
            return ()
        if not self.path.is_file():
            msg = f"Expected corrections in a CSV file at {self.path}, found something else; give the file."
            raise InputError(msg)
        return tuple(sorted(set(self._rows())))

    def _rows(self) -> Iterator[Word]:
        reader = read_delimited(self.path)
        missing = {"label", "reviewer", "at"} - set(reader.schema.names)
        if missing or not {"image", "sha256"} & set(reader.schema.names):
            msg = f"Expected the columns {','.join(COLUMNS)} in {self.path}, found {','.join(reader.schema.names)}."
            raise InputError(msg)
        rows = (row for batch in reader.batches for row in batch.to_pylist())
        wrong: list[tuple[int, str]] = []
        for number, row in enumerate(rows, start=1):
            try:
                cells = {name: unguarded(cell) for name, cell in row.items()}
                yield parse_word(cells, self.path.parent)
            except ValueError as error:
                wrong.append((number, str(error)))
        if wrong:
            raise refuse_rows(self.path, wrong, "mend them, or take the file from a backup")

    def add(
        self,
        timed: Sequence[Word],
        untimed: Sequence[Word] = (),
        leads: Callable[[Word], bool] = leads_to_photo,
    ) -> Added:
        """Add words; the file is replaced as a whole, and only one process does so at a time.

        Args:
            timed: of which it is known when they were said.
            untimed: whose time is that of the file that they stood in; one that says what its reviewer has said last
                of the photo says nothing new.
            leads: whether a word's path leads to its photo: it takes the place of one that does not.

        Raises:
            InputError: what is there cannot be read; nothing is written then.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            kept, ahead = self._divided()
            better = mended_words(kept, (*timed, *untimed), leads)
            before, timed, untimed = (
                tuple(better.get(word, word) for word in words) for words in (kept, timed, untimed)
            )
            mended = sum(word in better for word in kept)
            known = {*before, *timed}
            last = {(word.photo, word.reviewer): word.label for word in sorted(known)}
            fresh = {word for word in untimed if last.get((word.photo, word.reviewer)) != word.label}
            words = tuple(sorted(known | fresh))
            there = set(before)
            new = tuple(word for word in words if word not in there)
            if new or mended:
                write_rows(self.path, COLUMNS, (tuple(map(guarded, word_cells(word))) for word in (*words, *ahead)))
        return Added(new, len({*timed, *untimed}) - len(new), words, mended)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One import at a time; the lock goes with the process, however it ends, and so does what it left half done."""
        with open_lock(self.path.with_name(f".{self.path.name}.lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._tidy()
            yield

    def _tidy(self) -> None:
        for left in self.path.parent.iterdir():
            if left.name.startswith(f".{self.path.name}.") and left.suffix == ".tmp":
                left.unlink(missing_ok=True)


def refuse_rows(path: Path, wrong: Iterable[tuple[int, str]], to_do: str) -> InputError:
    """What to raise where rows cannot be used.

    Args:
        path: of the file.
        wrong: number of the row (from 1, the header not counted) and what is wrong with it.
        to_do: next.
    """
    lines = [f"row {number}: {reason}" for number, reason in wrong]
    more = [f"and {len(lines) - _MOST_LINES:,} more"] if len(lines) > _MOST_LINES else []
    shown = "\n  ".join([*lines[:_MOST_LINES], *more])
    rows = "a row" if len(lines) == 1 else f"{len(lines):,} rows"
    return InputError(f"Expected corrections in {path}, {rows} cannot be used: {to_do}.\n  {shown}")
