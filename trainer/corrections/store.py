"""``corrections.csv``: all votes of all reviewers."""

import csv
import errno
import fcntl
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import BinaryIO, Final, TextIO

from catalogue.readers import Reader, read_delimited
from catalogue.text_file import TextFile, text_file
from catalogue.writers import csv_lines, escape_formula, unescape_formula
from models.errors import DISK_FULL, InputError
from models.whole_file import open_lock
from trainer.corrections.votes import COLUMNS, Vote, parse_vote, vote_cells
from trainer.data.csv_files import write_rows
from trainer.data.photo_files import sha256_now

_NEEDED: Final = frozenset({"label", "reviewer", "at"})
_MOST_LINES: Final = 20
_MOST_ROWS: Final = 5
_TAIL_BYTES: Final = 4096


@dataclass(frozen=True)
class Added:
    """The result of adding votes. ``known``: number of the given votes that were known. ``all``: old and new votes."""

    votes: tuple[Vote, ...]
    known: int
    all: tuple[Vote, ...]


class CorrectionStore:
    """The file of reviewers' votes. Votes are appended; a reviewer may also withdraw a vote.

    A killed writer may leave an incomplete last row. Readers skip this row, and the next vote replaces it. If people
    save the file with other columns or separators, the next vote restores Hangtag's format.

    If the file cannot be read, every method raises an InputError before it writes. The error lists the invalid rows. A
    missing file counts as empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def of_question(self, name: str) -> "CorrectionStore":
        """The store of a question, such as ``corrections-colour.csv`` for ``colour``.

        In a single file, a photo's answers to two questions would look like a conflict. For an empty name, returns this
        store.
        """
        place = self.path.with_name(f"{self.path.stem}-{name}{self.path.suffix}")
        return CorrectionStore(place) if name else self

    def question_files(self) -> list[Path]:
        """The corrections file of each question, in the folder of this file."""
        return sorted(self.path.parent.glob(f"{escape(self.path.stem)}-*{self.path.suffix}"))

    def votes(self) -> tuple[Vote, ...]:
        """All distinct votes, ordered by time."""
        return tuple(sorted(set(self._rows())))

    def photos(self) -> set[str]:
        """SHA-256 of photos with a label or a remark."""
        reader = self._reader()
        if reader is None or "sha256" not in reader.schema.names:
            return set()
        names = ["sha256", *(name for name in ("label", "remark") if name in reader.schema.names)]
        tables = ([batch.column(name).to_pylist() for name in names] for batch in reader.batches)
        rows = (row for columns in tables for row in zip(*columns, strict=True))
        return {sha256.lower() for sha256, *decision in rows if sha256 and any(decision)}

    def stamp(self) -> object:
        """A value that changes with every write to the file."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - called up to twice per photo
        except OSError:
            return ()
        return (status.st_ino, status.st_size, status.st_mtime_ns)

    def check(self) -> None:
        """Raise InputError if the file is not writable."""
        with self._alone():
            if self.path.exists():
                self.path.open("r+b").close()

    def append(self, votes: Sequence[Vote]) -> None:
        """Append votes and flush them to disk."""
        lines = b"".join(map(self._line, votes))
        with self._alone():
            if self._is_ours():
                self._extend(lines)
            else:
                self._write([*self._rows(), *votes])

    def withdraw(self, vote: Vote) -> bool:
        """Remove a vote, and replace the file. Returns False if the file lacks the vote."""
        with self._alone():
            votes = list(self._rows())
            if vote in votes:
                self._write(other for other in votes if other != vote)
            return vote in votes

    def add(self, timed: Sequence[Vote], untimed: Sequence[Vote] = ()) -> Added:
        """Add votes, and replace the file.

        The time of an ``untimed`` vote is its file's modification time. An ``untimed`` repeat of the reviewer's last
        vote on the photo is skipped, unless the path is new.
        """
        with self._alone():
            before = set(self._rows())
            known = before | {*timed}
            last = {(vote.photo, vote.reviewer): vote.decision for vote in sorted(known) if vote.decision}
            places = {(vote.photo, vote.image) for vote in known}
            fresh = {
                vote
                for vote in untimed
                if last.get((vote.photo, vote.reviewer)) != vote.decision
                or ((vote.photo, vote.image) not in places and vote.path and sha256_now(vote.path) == vote.sha256)
            }
            votes = tuple(sorted(known | fresh))
            new = tuple(sorted((known | fresh) - before))
            if new:
                self._write(votes)
            return Added(new, len({*timed, *untimed}) - len(new), votes)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open_lock(self.path.with_name(f".{self.path.name}.lock")) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            why = error.strerror or error
            msg = f"{self.path} cannot be written: {why}. Give this user write permission, or choose another file."
            raise InputError(msg) from error

    def _rows(self) -> Iterator[Vote]:
        reader = self._reader()
        if reader is None:
            return
        names = set(reader.schema.names)
        if _NEEDED - names or not {"image", "sha256"} & names:
            msg = f"Expected the columns {','.join(COLUMNS)} in {self.path}, found {','.join(reader.schema.names)}."
            raise InputError(msg)
        faults: list[tuple[int, str]] = []
        rows = (row for batch in reader.batches for row in batch.to_pylist())
        for number, row in enumerate(rows, start=1):
            try:
                yield self._parsed(row)
            except ValueError as error:
                faults.append((number, str(error)))
        if faults:
            raise refuse_rows(self.path, faults, "correct the rows, or restore the file from a backup")

    def _reader(self) -> Reader | None:
        data = self._data()
        if _HEADER.startswith(data):
            return None
        text = text_file(self.path)
        return read_delimited(_Snapshot(text.path, text.name, text.codec, data=data))

    def _data(self) -> bytes:
        try:
            if not self.path.exists():
                return b""
            data = self.path.read_bytes() if self.path.is_file() else None
        except OSError as error:
            msg = f"{self.path} cannot be read: {error.strerror or error}. Give this user read permission."
            raise InputError(msg) from error
        if data is None:
            msg = f"Expected corrections in a CSV file at {self.path}, found something else; pass a file."
            raise InputError(msg)
        end = data.rfind(b"\n") + 1
        return data[:end] if data.startswith(_HEADER) and self._is_torn(data[end:]) else data

    def _is_ours(self) -> bool:
        if not self.path.is_file():
            return False
        with self.path.open("rb") as file:
            return file.read(len(_HEADER)) == _HEADER

    def _extend(self, lines: bytes) -> None:
        with self.path.open("r+b", buffering=0) as file:
            end, last = _last_line(file)
            torn = self._is_torn(last)
            size = end - len(last) if torn else end
            lead = b"\n" if last and not torn else b""
            try:
                file.truncate(size)
                file.seek(size)
                if file.write(lead + lines) != len(lead + lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise

    def _write(self, votes: Iterable[Vote]) -> None:
        for left in self.path.parent.glob(f".{self.path.name}.*.tmp"):
            left.unlink(missing_ok=True)
        write_rows(self.path, COLUMNS, map(vote_cells, votes))

    def _is_torn(self, last: bytes) -> bool:
        """Whether the last line is incomplete. The line break may be missing."""
        try:
            cells = next(csv.reader([last.decode()], strict=True), [])
            if cells:
                self._parsed(dict(zip(COLUMNS, cells, strict=True)))
        except (ValueError, csv.Error):
            return True
        return False

    def _parsed(self, cells: Mapping[str, str]) -> Vote:
        return parse_vote({name: unescape_formula(cell) for name, cell in cells.items()}, self.path.parent)

    def _line(self, vote: Vote) -> bytes:
        cells = vote_cells(vote)
        try:
            line = _csv_line(map(escape_formula, cells))
            parse_vote(dict(zip(COLUMNS, cells, strict=True)), self.path.parent)
            if line.count(b"\n") > 1:
                msg = "expected text on one line"
                raise ValueError(msg)
        except ValueError as error:
            msg = f"Expected a valid row for {self.path}: {error}."
            raise InputError(msg) from error
        return line


@dataclass(frozen=True)
class _Snapshot(TextFile):
    """A copy of a text file, because other processes may change the file."""

    data: bytes = b""

    def opened(self, newline: str) -> TextIO:
        return io.TextIOWrapper(io.BytesIO(self.data), self.codec, newline=newline)


def _csv_line(cells: Iterable[str]) -> bytes:
    return "".join(csv_lines([tuple(cells)])).encode()


_HEADER: Final = _csv_line(COLUMNS)


def _last_line(file: BinaryIO | io.FileIO) -> tuple[int, bytes]:
    size, tail = file.seek(0, os.SEEK_END), b""
    while b"\n" not in tail and len(tail) < size:
        start = max(0, size - max(_TAIL_BYTES, 2 * len(tail)))
        file.seek(start)
        tail = file.read(size - start) or b""
    return size, tail.rpartition(b"\n")[2]


def _rows_words(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    more = len(numbers) - _MOST_ROWS
    return f"rows {', '.join(map(str, numbers[:_MOST_ROWS]))}" + (f" and {more:,} more" if more > 0 else "")


def refuse_rows(path: Path, faults: Iterable[tuple[int, str]], to_do: str) -> InputError:
    """The error for invalid rows. A fault is (number, reason); number 1 is the first row below the header.

    The message numbers rows as a spreadsheet does: the header is row 1.
    """
    by_reason: dict[str, list[int]] = {}
    for number, reason in faults:
        by_reason.setdefault(reason, []).append(number + 1)
    lines = [f"{_rows_words(numbers)}: {reason}" for reason, numbers in by_reason.items()]
    more = [f"and {len(lines) - _MOST_LINES:,} more"] if len(lines) > _MOST_LINES else []
    shown = "\n  ".join([*lines[:_MOST_LINES], *more])
    count = sum(map(len, by_reason.values()))
    rows = "a row" if count == 1 else f"{count:,} rows"
    return InputError(f"Expected corrections in {path}, {rows} cannot be used: {to_do}.\n  {shown}")
