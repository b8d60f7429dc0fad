"""A reviewer's word: what one person said, at one time, that one photo shows."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from models.text import number_of
from trainer.data.csv_files import cell_path, path_cell

__all__ = ["COLUMNS", "Agreed", "Conflict", "Settled", "Word", "ahead_sentence", "parse_word", "settle", "word_cells"]


COLUMNS: Final = ("image", "sha256", "label", "was", "reviewer", "model", "at")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ELSEWHERE: Final = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]*://")
_FAST_CLOCK: Final = timedelta(days=1)


@dataclass(frozen=True, order=True)
class Word:
    """What a reviewer said.

    Attributes:
        at: when, in UTC.
        reviewer: who.
        sha256: of the photo's bytes, in lower-case hex; empty where nobody knows it.
        image: the photo's absolute path, or its URL; empty where only its SHA-256 is known.
        label: what it shows.
        was: what it was said to show before; empty where nobody knows.
        model: name and version of the model that said so; empty where nobody knows.
    """

    at: datetime
    reviewer: str
    sha256: str
    image: str
    label: str
    was: str = ""
    model: str = ""

    @property
    def photo(self) -> str:
        """What tells its photo from all others: its bytes, else its place."""
        return self.sha256 or self.image

    @property
    def path(self) -> Path | None:
        """Where its photo is on this machine, if anywhere."""
        return Path(self.image) if self.image and not _ELSEWHERE.match(self.image) else None

    def is_ahead(self, now: datetime) -> bool:
        """Whether it is dated later than tomorrow: a clock was wrong, and it would stay its photo's last word."""
        return self.at > now + _FAST_CLOCK


def parse_word(cells: Mapping[str, str], folder: Path) -> Word:
    """A row of a CSV as a word.

    Args:
        cells: column → text; a column that is not there is as one that is empty.
        folder: where relative paths start.

    Raises:
        ValueError: it says no photo, no label, no reviewer or no time; the message says which.
    """
    sha256 = cells.get("sha256", "").strip().lower()
    if sha256 and not _SHA256.fullmatch(sha256):
        msg = f"expected a SHA-256 of 64 hexadecimal digits, got {sha256[:80]!r}"
        raise ValueError(msg)
    image = _image(cells.get("image", "").strip(), sha256, folder)
    if not image and not sha256:
        msg = "expected a photo, got neither image nor sha256"
        raise ValueError(msg)
    label = _line(cells, "label")
    reviewer = _line(cells, "reviewer")
    at = _time(cells.get("at", "").strip())
    return Word(at, reviewer, sha256, image, label, cells.get("was", "").strip(), cells.get("model", "").strip())


def _image(cell: str, sha256: str, folder: Path) -> str:
    """An absolute path, or a URL; a photo that its cell holds is known by its bytes."""
    if cell.startswith("data:"):
        if not sha256:
            msg = "expected the sha256 of a photo that its cell holds, got none"
            raise ValueError(msg)
        return ""
    if not cell or _ELSEWHERE.match(cell):
        return cell
    return os.path.normpath(folder / cell_path(cell))


def _line(cells: Mapping[str, str], column: str) -> str:
    text = cells.get(column, "").strip()
    if not text:
        msg = f"expected a {column}, got none"
        raise ValueError(msg)
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        msg = f"expected a {column} of characters on one line, got {text[:80]!r}"
        raise ValueError(msg)
    return text


def _time(text: str) -> datetime:
    """ISO 8601; a time without an offset is in UTC."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        msg = f"expected a time such as 2026-05-01T14:30:00Z in at, got {text[:80]!r}"
        raise ValueError(msg) from error


def word_cells(word: Word) -> tuple[str, ...]:
    """The cells of a word, in the order of ``COLUMNS``."""
    image = str(path_cell(word.path)) if word.path else word.image
    at = word.at.isoformat().replace("+00:00", "Z")
    return (image, word.sha256, word.label, word.was, word.reviewer, word.model, at)


def ahead_sentence(ahead: Sequence[Word], path: Path) -> str:
    """Tell people which words do not count, since a clock was wrong when they were said.

    Args:
        ahead: the words that are dated later than tomorrow; one at least.
        path: of their file.
    """
    words = number_of(len(ahead), "word is dated in the future and does", "words are dated in the future and do")
    first, photo = ahead[0], word_cells(ahead[0])[0] or ahead[0].sha256
    return (
        f"{words} not count, the first by {first.reviewer} at {first.at.isoformat()} on {photo}; correct its time "
        f"(the column at) in {path}."
    )


@dataclass(frozen=True)
class Agreed:
    """A photo of which all who spoke say the same, each with the last word.

    Attributes:
        words: the last of each reviewer, the latest first.
    """

    words: tuple[Word, ...]

    @property
    def label(self) -> str:
        """What it shows."""
        return self.words[0].label

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Who say so, in alphabetical order."""
        return _reviewers(self.words)


@dataclass(frozen=True)
class Conflict:
    """A photo of which reviewers say different things; nobody knows who is right, so it is left out.

    Attributes:
        words: the last of each reviewer (all that one said at the same moment), the latest first.
    """

    words: tuple[Word, ...]

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Who spoke, in alphabetical order."""
        return _reviewers(self.words)


@dataclass(frozen=True)
class Settled:
    """What came of reviewers' words, in the order of their photos."""

    agreed: tuple[Agreed, ...]
    conflicts: tuple[Conflict, ...]


def settle(words: Iterable[Word]) -> Settled:
    """Let each reviewer's last word on a photo count, and all reviewers alike.

    A conflict is over when a later word of one of them makes all of them say the same. Neither the order of words nor
    a word that comes twice makes a difference.
    """
    by_photo: defaultdict[str, list[Word]] = defaultdict(list)
    for word in sorted(set(words), reverse=True):
        by_photo[word.photo].append(word)
    agreed: list[Agreed] = []
    conflicts: list[Conflict] = []
    for _, said in sorted(by_photo.items()):
        last = _last(said)
        if len({word.label for word in last}) == 1:
            agreed.append(Agreed(last))
        else:
            conflicts.append(Conflict(last))
    return Settled(tuple(agreed), tuple(conflicts))


def _last(words: Sequence[Word]) -> tuple[Word, ...]:
    """Of words on one photo, the latest first, those that each reviewer ended with."""
    when = {word.reviewer: word.at for word in reversed(words)}
    return tuple(word for word in words if word.at == when[word.reviewer])


def _reviewers(words: Iterable[Word]) -> tuple[str, ...]:
    return tuple(sorted({word.reviewer for word in words}))
