"""Reads text files of catalogues in their encodings."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from encodings.aliases import aliases
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from models.errors import InputError

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32", "utf-32-le"),  # before UTF-16: both marks begin with FF FE
    (codecs.BOM_UTF32_BE, "utf-32", "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8-sig", "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16-be"),
)
"""Byte order mark, the encoding with the mark, and the encoding without the mark."""
_NO_FILES: Final = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})
"""Python codecs that text files do not use."""
LIKELY_ENCODINGS: Final = (
    "cp1252", "gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1250", "cp1253", "cp1251", "koi8_r", "cp1254",
    "cp1255", "cp1256", "iso8859_2", "mac_roman", "cp850",
)  # fmt: skip
"""Encodings of spreadsheets and shops, likeliest first."""
_WESTERN: Final = frozenset("äöüßÄÖÜéèêëàâçîïôûùÉÈÀÇñáíóúåøæÅØÆ°®™©€£½¼¾²×«»–—‘’“”…•·")
"""Characters that are common in Western European texts, but rare in other texts decoded as cp1252."""
_WESTERN_SHARE: Final = 0.95
_LONGEST_RUN: Final = 1.5
"""Western European texts have at most this many non-ASCII letters in a row, on average."""
_SAMPLE_BYTES: Final = 4 * 1024 * 1024
_JUDGED_BYTES: Final = 32 * 1024
_BLOCK_BYTES: Final = 1024 * 1024
_MANY_NULS: Final = 0.2
_SAME_MESS: Final = 0.05
_SAME_SENSE: Final = 0.1
"""Two scores of charset-normalizer count as equal if they differ by at most this value."""
_MAX_LINE: Final = 64 * 1024 * 1024
_UTF8: Final = "utf-8-sig"  # with or without a byte order mark
_HEAD_BYTES: Final = 4096
_ZIP: Final = b"PK\x03\x04"
_NEED_MARKS: Final = ("utf-16", "utf-32")


class EncodingError(InputError):
    """A text file has an unexpected encoding."""


class BadByte(NamedTuple):
    """A byte that is invalid in the encoding. ``value``: the byte, or None if the file ends inside a character."""

    offset: int
    line: int
    value: int | None


@dataclass(frozen=True)
class TextFile:
    """A text file, and Python's name of its encoding.

    Attributes:
        name: name of the file in messages.
        option: whether messages advise ``--encoding``.
    """

    path: Path
    name: str
    codec: str
    option: bool = False

    def lines(self, newline: str | None = None) -> Iterator[str]:
        r"""The file's lines, each with its line end (``\n`` or ``\r``). Raises InputError."""
        try:
            with self.opened(self._line_end() if newline is None else newline) as file:
                while line := file.readline(_MAX_LINE):
                    if len(line) == _MAX_LINE:
                        msg = (
                            f"Expected lines of less than {_MAX_LINE:,} characters in {self.name}, found a longer line."
                        )
                        raise InputError(msg)
                    yield line
        except UnicodeDecodeError as error:
            bad = first_bad_byte(self.path, self.codec)
            what = "it ends inside a character" if bad.value is None else f"got byte 0x{bad.value:02x}"
            problem = f"{what} in line {bad.line:,}"
            name, text = _likely_encoding(self.path, bad.offset) or (None, "")
            hint = f"it looks like {name}, which decodes this place as {text!r}" if name else "no other encoding fits"
            raise self.refusal(problem, hint, name) from error

    def _line_end(self) -> str:
        with self.opened("") as file:
            head = file.read(_HEAD_BYTES)
        return "\r" if "\r" in head and "\n" not in head else "\n"

    def opened(self, newline: str) -> TextIO:
        """Open the file as text."""
        return self.path.open(encoding=self.codec, newline=newline)

    def refusal(self, problem: str, hint: str, likely: str | None) -> EncodingError:
        """The error for bytes that are invalid in the encoding."""
        expected = "UTF-8" if self.codec == _UTF8 else self.codec
        to_do = f"pass --encoding {likely}, or save it as UTF-8" if likely and self.option else "save it as UTF-8"
        return EncodingError(f"Expected {expected} in {self.name}, {problem}; {hint}: {to_do}.")


def text_file(path: Path, name: str | None = None, encoding: str | None = None, *, option: bool = False) -> TextFile:
    """Open a text file. Default encoding: UTF-8, unless the file has a byte order mark. Raises InputError."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    called, marked = name or str(path), next((names for mark, *names in _MARKS if head.startswith(mark)), None)
    if head.startswith(_ZIP):
        msg = f"Expected text in {called}, got a ZIP or Excel file; unpack it, or save the sheet as CSV."
        raise InputError(msg)
    if marked:
        if encoding is not None and check_encoding(encoding) not in marked:
            msg = f"Expected {encoding} in {called}, but its byte order mark is for {marked[1]}; leave out --encoding."
            raise EncodingError(msg)
        return TextFile(path, called, marked[0], option)
    if encoding is not None:
        codec = check_encoding(encoding)
        if codec in _NEED_MARKS:
            msg = f"Expected a byte order mark in {called}, found none; pass --encoding {codec}-le, or {codec}-be."
            raise EncodingError(msg)
        return TextFile(path, called, _UTF8 if codec == "utf-8" else codec, option)
    text = TextFile(path, called, _UTF8, option)
    unmarked = _unmarked_utf16(head)
    if unmarked:
        raise text.refusal(problem="got NUL bytes", hint=f"it looks like {unmarked}", likely=unmarked)
    return text


def check_encoding(name: str) -> str:
    """Python's name of an encoding. Raises InputError if Python does not know the encoding."""
    try:
        "a".encode(name)  # raises LookupError for codecs that encode no text, such as base64
        known = codecs.lookup(name).name
    except (LookupError, ValueError):  # an invalid name
        known = ""
    if not known or known.replace("_", "-") in _NO_FILES:
        names = sorted({alias.replace("_", "-") for alias in [*aliases, *aliases.values()]})
        near = get_close_matches(name.lower(), names, n=3) or ["utf-8", "utf-16", "cp1252", "cp932"]
        msg = f"Expected --encoding to be an encoding that Python knows, such as {', '.join(near)}, got {name!r}."
        raise InputError(msg)
    return known


def _unmarked_utf16(head: bytes) -> str | None:
    first, second = head[0::2].count(0), head[1::2].count(0)
    if max(first, second) <= _MANY_NULS * len(head) or min(first, second) > _MANY_NULS * max(first, second):
        return None
    return "utf-16-le" if second > first else "utf-16-be"


def first_bad_byte(path: Path, codec: str) -> BadByte:
    """The first invalid byte, or the file's end."""
    decoder = codecs.getincrementaldecoder(codec)()
    offset, line = 0, 1
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK_BYTES)
            try:
                line += decoder.decode(block, final=not block).count("\n")
            except UnicodeDecodeError as error:
                held = len(error.object) - len(block)  # bytes of a character that began in the previous block
                value = error.object[error.start] if block else None
                return BadByte(offset - held + error.start, line + error.object[: error.start].count(b"\n"), value)
            if not block:
                return BadByte(offset, line, None)
            offset += len(block)


def _likely_encoding(path: Path, offset: int) -> tuple[str, str] | None:
    """The likely encoding of a file, and the line of the invalid byte. None if no known encoding fits."""
    start = max(0, offset - _SAMPLE_BYTES // 2)
    with path.open("rb") as file:
        file.seek(start)
        lines = file.read(_SAMPLE_BYTES).splitlines(keepends=True)
    if start:
        del lines[0]  # the beginning of the line is cut off
    telling = b"".join(line for line in lines if not line.isascii())
    name = "cp1252" if _is_western(telling) else _guessed(telling[:_JUDGED_BYTES])
    return None if name is None else (name, _line_at(path, offset).decode(name, "replace"))


def _is_western(data: bytes) -> bool:
    runs = re.findall(rb"[\x80-\xff]+", data)
    special = b"".join(runs).decode("cp1252", "replace")
    frequent = sum(special.count(character) for character in _WESTERN)
    return frequent >= _WESTERN_SHARE * len(special) and len(special) <= _LONGEST_RUN * len(runs)


def _guessed(data: bytes) -> str | None:
    from charset_normalizer import from_bytes

    matches = list(from_bytes(data, cp_isolation=list(LIKELY_ENCODINGS)))
    if not matches:
        return None
    least_mess = min(match.chaos for match in matches)
    clean = [match for match in matches if match.chaos <= least_mess + _SAME_MESS]
    most_sense = max(match.coherence for match in clean)
    fitting = {
        name
        for match in clean
        if match.coherence >= most_sense - _SAME_SENSE
        for name in match.could_be_from_charset  # encodings that decode these bytes in the same way
    }
    return next((name for name in LIKELY_ENCODINGS if name in fitting), None)


def _line_at(path: Path, offset: int, most: int = 60) -> bytes:
    start = max(0, offset - most // 2)
    with path.open("rb") as file:
        file.seek(start)
        before, after = file.read(offset - start), file.read(most // 2)
    return before.rpartition(b"\n")[2] + after.partition(b"\n")[0].rstrip(b"\r")
