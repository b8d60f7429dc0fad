"""A CSV that grows by whole rows, whoever is killed while writing; it holds corrections, or remarks."""

import csv
import errno
import fcntl
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Generic, TextIO, TypeVar

from catalogue.readers import Reader, read_delimited
from catalogue.text_file import TextFile, text_file
from catalogue.writers import csv_lines, inert
from models.errors import InputError
from models.whole_file import open_lock, replace_file
from trainer.data.csv_files import write_rows

_MOST_LINES: Final = 20
_TAIL_BYTES: Final = 4096
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class RowsFile(Generic[_Row]):
    """A table of what people said; a file that is not there yet, or is empty, holds no rows.

    What a killed writer left of its last row is no row: readers leave it out, and the next row takes its place.

    Attributes:
        path: of the file, absolute.
        columns: of the header that we write; people's files may have others, in another order.
        needed: columns that no file may lack.
        parse: a row's cells, and the folder where relative paths start → the row. Raises ``ValueError``.
        cells: the inverse, in the order of ``columns``.
    """

    path: Path
    columns: tuple[str, ...]
    needed: frozenset[str]
    parse: Callable[[Mapping[str, str], Path], _Row]
    cells: Callable[[_Row], tuple[str, ...]]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One writer at a time; the lock goes with the process, however it ends.

        Raises:
            InputError: the system does not let it write.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open_lock(self.path.with_name(f".{self.path.name}.lock")) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            why = error.strerror or error
            msg = f"{self.path} cannot be written: {why}. Let this user write there, or name another file."
            raise InputError(msg) from error

    def check(self) -> None:
        """Find out whether rows could be written; raises as :meth:`alone`."""
        with self.alone():
            if self.path.exists():
                self.path.open("r+b").close()

    def rows(self) -> Iterator[_Row]:
        """All rows, in the file's order. They may be read while others append.

        Raises:
            InputError: it is no such table; each bad row is named.
        """
        reader = self._reader()
        if reader is None:
            return
        found = set(reader.schema.names)
        if self.needed - found or not {"image", "sha256"} & found:
            msg = (
                f"Expected the columns {','.join(self.columns)} in {self.path}, found {','.join(reader.schema.names)}."
            )
            raise InputError(msg)
        wrong: list[tuple[int, str]] = []
        cells = (row for batch in reader.batches for row in batch.to_pylist())
        for number, row in enumerate(cells, start=1):
            try:
                yield self._parsed(row)
            except ValueError as error:
                wrong.append((number, str(error)))
        if wrong:
            raise refuse_rows(self.path, wrong, "correct them, or take the file from a backup")

    def cells_of(self, *names: str) -> Iterator[tuple[str, ...]]:
        """Those cells of each row as they stand there, in the file's order: quicker than :meth:`rows`, and unchecked.

        Raises:
            InputError: it cannot be read.
        """
        reader = self._reader()
        if reader is not None and set(names) <= set(reader.schema.names):
            for batch in reader.batches:
                yield from zip(*(batch.column(name).to_pylist() for name in names), strict=True)

    def _reader(self) -> Reader | None:
        """Of what the file holds now; None where that is no row."""
        data = self._data()
        if self._header.startswith(data):
            return None
        text = text_file(self.path)
        return read_delimited(_Snapshot(text.path, text.name, text.codec, data=data))

    def append(self, rows: Sequence[_Row]) -> None:
        """Add rows at the end, however many are there: they are on the disk when this returns.

        A file with another header, such as one that a spreadsheet has saved, is written as ours once.

        Raises:
            InputError: a row could not be read back, or the file cannot be read; nothing is written then.
        """
        lines = b"".join(map(self._line, rows))
        with self.alone():
            if lines.count(b"\n") == len(rows) and self._is_ours():
                self._extend(lines)
            else:
                self.write([*self.rows(), *rows])

    def withdraw(self, row: _Row) -> bool:
        """Take a row out again; the file is replaced as a whole.

        Returns:
            Whether it was there.

        Raises:
            InputError: the file cannot be read; nothing is written then.
        """
        line = self._line(row)
        with self.alone():
            if line.count(b"\n") == 1 and self._is_ours():
                lines = self._data().split(b"\n")
                kept = [other for other in lines if other != line.removesuffix(b"\n")]
                if len(kept) < len(lines):
                    replace_file(self.path, b"\n".join(kept))
                return len(kept) < len(lines)
            there, written = list(self.rows()), self._parsed(dict(zip(self.columns, self.cells(row), strict=True)))
            if written in there:
                self.write([other for other in there if other != written])
            return written in there

    def write(self, rows: Iterable[_Row]) -> None:
        """Replace the file as a whole, and clear away what killed writers left; only for who is :meth:`alone`."""
        for left in self.path.parent.iterdir():
            if left.name.startswith(f".{self.path.name}.") and left.suffix == ".tmp":
                left.unlink(missing_ok=True)
        write_rows(self.path, self.columns, (tuple(map(guarded, self.cells(row))) for row in rows))

    @property
    def _header(self) -> bytes:
        return _csv_line(self.columns)

    def _is_ours(self) -> bool:
        if not self.path.is_file():
            return False
        with self.path.open("rb") as file:
            return file.read(len(self._header)) == self._header

    def _data(self) -> bytes:
        """What the file holds now, without what is left of a row."""
        try:
            if not self.path.exists():
                return b""
            data = self.path.read_bytes() if self.path.is_file() else None
        except OSError as error:
            msg = f"{self.path} cannot be read: {error.strerror or error}. Let this user read it."
            raise InputError(msg) from error
        if data is None:
            msg = f"Expected corrections in a CSV file at {self.path}, found something else; give the file."
            raise InputError(msg)
        end = data.rfind(b"\n") + 1
        return data[:end] if data.startswith(self._header) and self._is_torn(data[end:]) else data

    def _extend(self, lines: bytes) -> None:
        """Write behind the last whole row, all or nothing."""
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

    def _is_torn(self, last: bytes) -> bool:
        """Whether a last line without its end is no row; one that a person's editor left may be whole."""
        try:
            cells = next(csv.reader([last.decode()], strict=True), [])
            if cells:
                self._parsed(dict(zip(self.columns, cells, strict=True)))
        except (ValueError, csv.Error):
            return True
        return False

    def _parsed(self, cells: Mapping[str, str]) -> _Row:
        return self.parse({name: unguarded(cell) for name, cell in cells.items()}, self.path.parent)

    def _line(self, row: _Row) -> bytes:
        cells = self.cells(row)
        try:
            self.parse(dict(zip(self.columns, cells, strict=True)), self.path.parent)
            return _csv_line(map(guarded, cells))
        except ValueError as error:
            msg = f"Expected a row that {self.path} can hold: {error}."
            raise InputError(msg) from error


@dataclass(frozen=True)
class _Snapshot(TextFile):
    """A text file as it was when it was read: others may be writing."""

    data: bytes = b""

    def opened(self, newline: str) -> TextIO:
        return io.TextIOWrapper(io.BytesIO(self.data), self.codec, newline=newline)


def _csv_line(cells: Iterable[str]) -> bytes:
    return "".join(csv_lines([tuple(cells)])).encode()


def _last_line(file: BinaryIO | io.FileIO) -> tuple[int, bytes]:
    """A file's size, and what follows its last line feed."""
    size, tail = file.seek(0, os.SEEK_END), b""
    while b"\n" not in tail and len(tail) < size:
        start = max(0, size - max(_TAIL_BYTES, 2 * len(tail)))
        file.seek(start)
        tail = file.read(size - start) or b""
    return size, tail.rpartition(b"\n")[2]


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
