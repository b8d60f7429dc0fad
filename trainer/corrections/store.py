"""``corrections.csv``: every word of every reviewer, in the order of their times."""

import fcntl
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from models.errors import InputError
from models.whole_file import open_lock
from trainer.corrections.votes import COLUMNS, Word, parse_word, word_cells
from trainer.data.csv_files import write_rows
from trainer.data.photo_files import holds
from worker.merging.formula import inert
from worker.sources.readers import read_delimited

__all__ = [
    "Added",
    "CorrectionStore",
    "guarded",
    "leads_to_photo",
    "lost_places",
    "mended_words",
    "refuse_rows",
    "unguarded",
]


def mended_words(before: Iterable[Word], said: Sequence[Word], leads: Callable[[Word], bool]) -> dict[Word, Word]:
    """What words become where another one of the same reviewer, photo and label knows the way to the photo.

    A path that leads to the photo's bytes takes the place of one that does not, whichever was said first; of several,
    the first in alphabetical order. URLs stay as they are. Files are looked at only where paths differ.

    Args:
        before: words that are kept.
        said: words that come in; only what they are about is looked at.
        leads: whether a word's path leads to a file with its photo's bytes.

    Returns:
        The words that change → what they become.
    """
    wanted = {_about(word) for word in said if _movable(word)}
    by_photo: defaultdict[tuple[str, str, str], set[Word]] = defaultdict(set)
    for word in (*before, *said):
        if _movable(word) and _about(word) in wanted:
            by_photo[_about(word)].add(word)
    mended: dict[Word, Word] = {}
    for words in by_photo.values():
        if len({word.image for word in words}) == 1:
            continue
        alive = {image for image, one in {word.image: word for word in words}.items() if leads(one)}
        if alive:
            mended |= {word: replace(word, image=min(alive)) for word in words if word.image not in alive}
    return mended


def leads_to_photo(word: Word) -> bool:
    """Whether a word's path leads to a file with its photo's bytes."""
    return word.path is not None and holds(word.path, word.sha256)


def lost_places(words: Iterable[Word]) -> list[str]:
    """The paths in words that lead to no file, each once, in the order of the words."""
    places = dict.fromkeys(word.image for word in words if word.path is not None)
    return [place for place in places if not _is_file(Path(place))]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False  # its name is too long, or nobody may look


def _about(word: Word) -> tuple[str, str, str]:
    return word.reviewer, word.sha256, word.label


def _movable(word: Word) -> bool:
    return bool(word.sha256) and (word.path is not None or not word.image)


def guarded(text: str) -> str:
    """The text, behind an apostrophe where a spreadsheet would compute it, or where it would lose one when read."""
    bare = text.lstrip("'")
    return text if inert(bare) == bare else f"'{text}"


def unguarded(cell: str) -> str:
    """The inverse of :func:`guarded`; it also takes off the apostrophe that a ``review.csv`` has before a formula."""
    bare = cell.lstrip("'")
    return cell if bare == cell or inert(bare) == bare else cell[1:]


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
