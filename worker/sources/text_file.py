"""A text file of a catalogue: its lines, or why its bytes are no text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import InputError
from worker.sources.encoding import (
    BadByte,
    check_encoding,
    first_bad_byte,
    likely_encoding,
    marked_encoding,
    unmarked_utf16,
)

__all__ = ["MAX_LINE", "TextFile", "text_file"]

MAX_LINE: Final = 64 * 1024 * 1024
_UTF8: Final = "utf-8-sig"  # with or without its mark
_HEAD_BYTES: Final = 4096
_NEED_MARKS: Final = ("utf-16", "utf-32")


@dataclass(frozen=True)
class TextFile:
    """A text file, and how its bytes become characters.

    Attributes:
        path: where it is.
        name: what messages call it.
        codec: Python's name of its encoding.
        option: whether the person may name another with ``--encoding``.
    """

    path: Path
    name: str
    codec: str
    option: bool = False

    def lines(self, newline: str = "\n") -> Iterator[str]:
        r"""Its lines with their ends.

        Args:
            newline: what ends a line, as in ``open``: ``"\n"``, or ``""`` for any end that there is.

        Raises:
            InputError: bytes are of no such encoding, or a line is longer than any may be.
        """
        with self.path.open(encoding=self.codec, newline=newline) as file:
            try:
                while line := file.readline(MAX_LINE):
                    if len(line) == MAX_LINE:
                        msg = f"Expected lines of less than {MAX_LINE:,} characters in {self.name}, one is longer."
                        raise InputError(msg)
                    yield line
            except UnicodeDecodeError as error:
                raise self._undecodable(first_bad_byte(self.path, self.codec)) from error

    def _undecodable(self, bad: BadByte) -> InputError:
        what = "it ends inside a character" if bad.value is None else f"got byte 0x{bad.value:02x}"
        came = f"{what} in line {bad.line:,}"
        likely = likely_encoding(self.path, bad)
        looks = f"it looks like {likely[0]}, which reads {likely[1]!r} there" if likely else "no other encoding fits"
        return self.refusal(came, looks, likely and likely[0])

    def refusal(self, came: str, looks: str, likely: str | None) -> InputError:
        """What to raise where bytes are not of its encoding.

        Args:
            came: instead of what was expected.
            looks: what the file looks like, in words.
            likely: the encoding that it looks like, if any.
        """
        expected = "UTF-8" if self.codec == _UTF8 else self.codec
        to_do = f"pass --encoding {likely}, or save it as UTF-8" if likely and self.option else "save it as UTF-8"
        return InputError(f"Expected {expected} in {self.name}, {came}; {looks}: {to_do}.")


def text_file(path: Path, name: str | None = None, encoding: str | None = None, *, option: bool = False) -> TextFile:
    """A text file in UTF-8, in UTF-16 or UTF-32 with a byte order mark, or in the encoding that a person names.

    Args:
        path: where it is.
        name: what messages call it; its path where none is given.
        encoding: as the person named it.
        option: whether messages may name ``--encoding``.

    Raises:
        InputError: there is no such encoding, the file's mark says another, or it is UTF-16 without a mark.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    called, marked = name or str(path), marked_encoding(head)
    if marked:
        _check_mark(called, marked, encoding)
        return TextFile(path, called, marked[0], option)
    if encoding is not None:
        codec = check_encoding(encoding)
        if codec in _NEED_MARKS:
            msg = f"Expected a byte order mark in {called}, found none; pass --encoding {codec}-le, or {codec}-be."
            raise InputError(msg)
        return TextFile(path, called, _UTF8 if codec == "utf-8" else codec, option)
    text = TextFile(path, called, _UTF8, option)
    unmarked = unmarked_utf16(head)
    if unmarked:
        raise text.refusal(came="got NUL bytes", looks=f"it looks like {unmarked}", likely=unmarked)
    return text


def _check_mark(called: str, marked: tuple[str, str], encoding: str | None) -> None:
    if encoding is not None and check_encoding(encoding) not in marked:
        msg = f"Expected {encoding} in {called}, its first bytes are the mark of {marked[1]}; leave out --encoding."
        raise InputError(msg)
