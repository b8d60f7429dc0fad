"""``corrections.csv``: every vote of every reviewer."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from trainer.corrections.remarks import Remark, RemarkStore, heard
from trainer.corrections.rows_file import RowsFile
from trainer.corrections.votes import COLUMNS, Vote, parse_vote, vote_cells
from trainer.data.photo_files import holds


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
    """The file that reviewers' votes are kept in, and beside it that of their remarks.

    It only grows, but for what a reviewer takes back; and only paths in it are ever repaired.

    Args:
        path: of the file; one that is not there yet holds no votes.
        now: the time. Votes that are dated later than tomorrow, by a wrong clock, stay in the file and do not count.

    Attributes:
        remarks: in ``corrections.remarks.csv`` for ``corrections.csv``.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path.absolute()
        self.remarks = RemarkStore(self.path.with_name(f"{self.path.stem}.remarks{self.path.suffix}"))
        self._now = now
        self._file = RowsFile(self.path, COLUMNS, frozenset({"label", "reviewer", "at"}), parse_vote, vote_cells)

    def of_question(self, name: str) -> "CorrectionStore":
        """Where answers to a question of a job with named models are: ``corrections-colour.csv`` for ``colour``.

        One photo has an answer to each; in one file they would be conflicts. An empty name has this store itself.
        """
        place = self.path.with_name(f"{self.path.stem}-{name}{self.path.suffix}")
        return CorrectionStore(place, self._now) if name else self

    def votes(self) -> tuple[Vote, ...]:
        """All votes that count, in the order of their times; one that a later remark overrules does not.

        Raises:
            InputError: it is not as :meth:`add` and :meth:`append` left it; each bad row is named.
        """
        return tuple(self.words()[0])

    def ahead(self) -> tuple[Vote, ...]:
        """The votes that are dated later than tomorrow, in order; raises as :meth:`votes` does."""
        return self._read()[1]

    def standing_remarks(self) -> tuple[Remark, ...]:
        """The last word of those reviewers who gave a photo a remark and no label after it; raises as :meth:`votes`."""
        return tuple(self.words()[1])

    def words(self) -> tuple[list[Vote], list[Remark]]:
        """:meth:`votes` and :meth:`standing_remarks`, read once."""
        return heard(self._read()[0], self._past_remarks())

    def photos(self) -> set[str]:
        """SHA-256 of photos that somebody has given a label or a remark.

        Raises:
            InputError: the files cannot be read; their rows are not checked.
        """
        return {sha256.lower() for (sha256,) in self._file.cells_of("sha256") if sha256} | self.remarks.photos()

    def stamp(self) -> object:
        """What is equal as long as nobody writes into the files."""
        return tuple(_stamp(path) for path in (self.path, self.remarks.path))

    def check(self) -> None:
        """Find out whether votes and remarks could be written.

        Raises:
            InputError: the system does not let it write; the message names the file, and says why.
        """
        self._file.check()
        self.remarks.check()

    def append(self, votes: Sequence[Vote]) -> None:
        """Add votes as they are; they are on the disk when this returns, which takes as long however many are there.

        Raises:
            InputError: one could not be read back, or the file cannot be read; nothing is written then.
        """
        self._file.append(votes)

    def withdraw(self, vote: Vote) -> bool:
        """Take back a vote; the file is replaced as a whole.

        Returns:
            Whether it was there, exactly as it is.

        Raises:
            InputError: the file cannot be read; nothing is written then.
        """
        return self._file.withdraw(vote)

    def _read(self) -> tuple[tuple[Vote, ...], tuple[Vote, ...]]:
        votes, now = sorted(set(self._file.rows())), self._now()
        return tuple(v for v in votes if not v.is_ahead(now)), tuple(v for v in votes if v.is_ahead(now))

    def _past_remarks(self) -> list[Remark]:
        now = self._now()
        return [remark for remark in self.remarks.remarks() if not remark.is_ahead(now)]

    def _heard(self, votes: Iterable[Vote]) -> list[Vote]:
        return heard(votes, self._past_remarks())[0]

    def add(self, timed: Sequence[Vote], untimed: Sequence[Vote] = ()) -> Added:
        """Add votes; the file is replaced as a whole, and only one process does so at a time.

        Args:
            timed: votes with a time of their own.
            untimed: their time is that of their file; one that repeats its reviewer's last vote on the photo is not
                added.

        Raises:
            InputError: what is there cannot be read; nothing is written then.
        """
        with self._file.alone():
            kept, ahead = self._read()
            better = _repaired_votes(kept, (*timed, *untimed))
            before, timed, untimed = (
                tuple(better.get(vote, vote) for vote in votes) for votes in (kept, timed, untimed)
            )
            repaired = sum(vote in better for vote in kept)
            known = {*before, *timed}
            last = {(vote.photo, vote.reviewer): vote.label for vote in self._heard(sorted(known))}
            fresh = {vote for vote in untimed if last.get((vote.photo, vote.reviewer)) != vote.label}
            votes = tuple(sorted(known | fresh))
            new = tuple(sorted((known | fresh) - set(before)))
            if new or repaired:
                self._file.write((*votes, *ahead))
            return Added(new, len({*timed, *untimed}) - len(new), tuple(self._heard(votes)), repaired)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - may be asked twice a photo
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


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
