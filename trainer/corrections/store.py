"""``corrections.csv``: every vote of every reviewer, in the order of their times."""

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
from trainer.corrections.votes import COLUMNS, Vote, parse_vote, vote_cells
from trainer.data.csv_files import write_rows
from trainer.data.photo_files import holds
from worker.merging.cells import inert
from worker.sources.readers import read_delimited

__all__ = ["Added", "CorrectionStore", "guarded", "refuse_rows", "unguarded"]

_MOST_LINES: Final = 20


@dataclass(frozen=True)
class Added:
    """What an import brought.

    Attributes:
        votes: those that are new; ``known`` counts the others.
        all: every vote that counts now.
        repaired: how many older votes have got a path that leads to their photo.
    """

    votes: tuple[Vote, ...]
    known: int
    all: tuple[Vote, ...]
    repaired: int


class CorrectionStore:
    """The file that reviewers' votes are kept in; it only grows, and only paths in it are ever repaired.

    Args:
        path: of the file; one that is not there yet holds no votes.
        now: the time. Votes that are dated later than tomorrow, by a wrong clock, stay in the file and do not count.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path.absolute()
        self._now = now

    def votes(self) -> tuple[Vote, ...]:
        """All votes that count, in order.

        Raises:
            InputError: it is not as :meth:`add` left it; each bad row is named.
        """
        return self._read()[0]

    def ahead(self) -> tuple[Vote, ...]:
        """The votes that are dated later than tomorrow, in order; raises as :meth:`votes` does."""
        return self._read()[1]

    def _read(self) -> tuple[tuple[Vote, ...], tuple[Vote, ...]]:
        votes, now = sorted(set(self._rows())), self._now()
        return tuple(v for v in votes if not v.is_ahead(now)), tuple(v for v in votes if v.is_ahead(now))

    def _rows(self) -> Iterator[Vote]:
        if not self.path.exists():
            return
        if not self.path.is_file():
            msg = f"Expected corrections in a CSV file at {self.path}, found something else; give the file."
            raise InputError(msg)
        reader = read_delimited(self.path)
        missing = {"label", "reviewer", "at"} - set(reader.schema.names)
        if missing or not {"image", "sha256"} & set(reader.schema.names):
            msg = f"Expected the columns {','.join(COLUMNS)} in {self.path}, found {','.join(reader.schema.names)}."
            raise InputError(msg)
        rows = (row for batch in reader.batches for row in batch.to_pylist())
        wrong: list[tuple[int, str]] = []
        for number, row in enumerate(rows, start=1):
            try:
                yield parse_vote({name: unguarded(cell) for name, cell in row.items()}, self.path.parent)
            except ValueError as error:
                wrong.append((number, str(error)))
        if wrong:
            raise refuse_rows(self.path, wrong, "correct them, or take the file from a backup")

    def add(self, timed: Sequence[Vote], untimed: Sequence[Vote] = ()) -> Added:
        """Add votes; the file is replaced as a whole, and only one process does so at a time.

        Args:
            timed: votes with a time of their own.
            untimed: their time is that of their file; one that repeats its reviewer's last vote on the photo is not
                added.

        Raises:
            InputError: what is there cannot be read; nothing is written then.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            kept, ahead = self._read()
            better = _repaired_votes(kept, (*timed, *untimed))
            before, timed, untimed = (
                tuple(better.get(vote, vote) for vote in votes) for votes in (kept, timed, untimed)
            )
            repaired = sum(vote in better for vote in kept)
            known = {*before, *timed}
            last = {(vote.photo, vote.reviewer): vote.label for vote in sorted(known)}
            fresh = {vote for vote in untimed if last.get((vote.photo, vote.reviewer)) != vote.label}
            votes = tuple(sorted(known | fresh))
            new = tuple(sorted((known | fresh) - set(before)))
            if new or repaired:
                write_rows(self.path, COLUMNS, (tuple(map(guarded, vote_cells(vote))) for vote in (*votes, *ahead)))
        return Added(new, len({*timed, *untimed}) - len(new), votes, repaired)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One import at a time; the lock goes with the process, however it ends, and so does what it left half done."""
        with open_lock(self.path.with_name(f".{self.path.name}.lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.path.parent.iterdir():
                if left.name.startswith(f".{self.path.name}.") and left.suffix == ".tmp":
                    left.unlink(missing_ok=True)
            yield


def _repaired_votes(before: Iterable[Vote], said: Sequence[Vote]) -> dict[Vote, Vote]:
    """Vote → the same with a better path, from another vote of the same reviewer, photo and label.

    A path that leads to the photo's bytes takes the place of one that does not, whichever came first; of several,
    the first in alphabetical order. URLs stay as they are. Files are looked at only where paths differ, and only of
    photos on which something is ``said`` now.
    """

    def about(vote: Vote) -> tuple[str, str, str] | None:
        movable = vote.sha256 and (vote.path is not None or not vote.image)
        return (vote.reviewer, vote.sha256, vote.label) if movable else None

    wanted = set(map(about, said)) - {None}
    by_photo: defaultdict[object, set[Vote]] = defaultdict(set)
    for vote in (*before, *said):
        if (key := about(vote)) in wanted:
            by_photo[key].add(vote)
    repaired: dict[Vote, Vote] = {}
    for votes in by_photo.values():
        places = {vote.image: vote.path for vote in votes}
        if len(places) > 1:
            sha256 = next(iter(votes)).sha256
            alive = {image for image, path in places.items() if path is not None and holds(path, sha256)}
            if alive:
                repaired |= {vote: replace(vote, image=min(alive)) for vote in votes if vote.image not in alive}
    return repaired


def guarded(text: str) -> str:
    """The text, behind an apostrophe where a spreadsheet would compute it, or where it would lose one when read."""
    bare = text.lstrip("'")
    return text if inert(bare) == bare else f"'{text}"


def unguarded(cell: str) -> str:
    """The inverse of :func:`guarded`; it also takes off the apostrophe that a ``review.csv`` has before a formula."""
    bare = cell.lstrip("'")
    return cell if bare == cell or inert(bare) == bare else cell[1:]


def refuse_rows(path: Path, wrong: Iterable[tuple[int, str]], to_do: str) -> InputError:
    """The error for rows that cannot be used; ``wrong`` is (number from 1 without the header, reason)."""
    lines = [f"row {number}: {reason}" for number, reason in wrong]
    more = [f"and {len(lines) - _MOST_LINES:,} more"] if len(lines) > _MOST_LINES else []
    shown = "\n  ".join([*lines[:_MOST_LINES], *more])
    rows = "a row" if len(lines) == 1 else f"{len(lines):,} rows"
    return InputError(f"Expected corrections in {path}, {rows} cannot be used: {to_do}.\n  {shown}")
