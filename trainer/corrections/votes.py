"""Votes: what one reviewer said, at one time, that one photo shows; and what reviewers agree on."""

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

COLUMNS: Final = ("image", "sha256", "label", "was", "reviewer", "model", "at")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ELSEWHERE: Final = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]*://")
_FAST_CLOCK: Final = timedelta(days=1)


@dataclass(frozen=True, order=True)
class Said:
    """That a reviewer said something of a photo.

    Attributes:
        at: when, in UTC.
        reviewer: who.
        sha256: of the photo's bytes, in lower-case hex; empty if unknown.
        image: the photo's absolute path, or its URL; empty if only its SHA-256 is known.
    """

    at: datetime
    reviewer: str
    sha256: str
    image: str

    @property
    def photo(self) -> str:
        """What identifies its photo: its bytes, else its place."""
        return self.sha256 or self.image

    @property
    def path(self) -> Path | None:
        """Where its photo is on this machine, if anywhere."""
        return Path(self.image) if self.image and not _ELSEWHERE.match(self.image) else None

    def is_ahead(self, now: datetime) -> bool:
        """Whether it is dated later than tomorrow, by a wrong clock: it would stay its photo's last vote."""
        return self.at > now + _FAST_CLOCK


@dataclass(frozen=True, order=True)
class Vote(Said):
    """What a reviewer said that a photo shows.

    Attributes:
        label: what it shows.
        was: its label before; empty if unknown.
        model: name and version of the model that gave that label; empty if unknown.
    """

    label: str
    was: str = ""
    model: str = ""


@dataclass(frozen=True)
class PhotoVotes:
    """The votes on one photo that count: the last of each reviewer (all of one moment), the latest first."""

    votes: tuple[Vote, ...]

    @property
    def label(self) -> str:
        """What the photo shows, where all agree."""
        return self.votes[0].label

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Who voted, in alphabetical order."""
        return tuple(sorted({vote.reviewer for vote in self.votes}))


@dataclass(frozen=True)
class Resolved:
    """What came of reviewers' votes, in the order of their photos.

    Attributes:
        agreed: photos on which all reviewers agree.
        conflicts: photos on which they differ; nobody knows who is right, so they are left out.
    """

    agreed: tuple[PhotoVotes, ...]
    conflicts: tuple[PhotoVotes, ...]


def resolve(votes: Iterable[Vote]) -> Resolved:
    """Let each reviewer's last vote on a photo count, and all reviewers alike.

    A conflict is over when a later vote of one of them makes all of them say the same. Neither the order of votes nor
    a vote that comes twice makes a difference.
    """
    by_photo: defaultdict[str, list[Vote]] = defaultdict(list)
    for vote in sorted(set(votes), reverse=True):
        by_photo[vote.photo].append(vote)
    agreed: list[PhotoVotes] = []
    conflicts: list[PhotoVotes] = []
    for _, said in sorted(by_photo.items()):
        when = {vote.reviewer: vote.at for vote in reversed(said)}
        last = tuple(vote for vote in said if vote.at == when[vote.reviewer])
        (agreed if len({vote.label for vote in last}) == 1 else conflicts).append(PhotoVotes(last))
    return Resolved(tuple(agreed), tuple(conflicts))


def parse_vote(cells: Mapping[str, str], folder: Path) -> Vote:
    """A row of a CSV as a vote; a column that is missing is like an empty one, relative paths start at ``folder``.

    Raises:
        ValueError: it says no photo, no label, no reviewer or no time; the message says which.
    """
    label, said = _line(cells, "label"), parse_said(cells, folder)
    return Vote(**vars(said), label=label, was=cells.get("was", "").strip(), model=cells.get("model", "").strip())


def parse_said(cells: Mapping[str, str], folder: Path) -> Said:
    """Who says something in a row of a CSV, when, and of which photo.

    Raises:
        ValueError: it says no photo, no reviewer or no time; the message says which.
    """
    sha256 = cells.get("sha256", "").strip().lower()
    if sha256 and not _SHA256.fullmatch(sha256):
        msg = f"expected a SHA-256 of 64 hexadecimal digits, got {sha256[:80]!r}"
        raise ValueError(msg)
    image = cells.get("image", "").strip()
    if image.startswith("data:"):  # a photo that its cell holds is known by its bytes
        if not sha256:
            msg = "expected the sha256 of a photo that its cell holds, got none"
            raise ValueError(msg)
        image = ""
    elif image and not _ELSEWHERE.match(image):
        image = os.path.normpath(folder / cell_path(image))
    if not image and not sha256:
        msg = "expected a photo, got neither image nor sha256"
        raise ValueError(msg)
    reviewer = _line(cells, "reviewer")
    return Said(_time(cells.get("at", "").strip()), reviewer, sha256, image)


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


def vote_cells(vote: Vote) -> tuple[str, ...]:
    """The cells of a vote, in the order of ``COLUMNS``."""
    return (image_cell(vote), vote.sha256, vote.label, vote.was, vote.reviewer, vote.model, at_cell(vote))


def image_cell(said: Said) -> str:
    """Where its photo is, as a cell of a CSV."""
    return str(path_cell(said.path)) if said.path else said.image


def at_cell(said: Said) -> str:
    """When it was said, as a cell of a CSV."""
    return said.at.isoformat().replace("+00:00", "Z")


def ahead_sentence(ahead: Sequence[Vote], path: Path) -> str:
    """Tell people which votes (one at least) of a file do not count, since a clock was wrong when they were cast."""
    votes = number_of(len(ahead), "vote is dated in the future and does", "votes are dated in the future and do")
    first, photo = ahead[0], vote_cells(ahead[0])[0] or ahead[0].sha256
    return (
        f"{votes} not count, the first by {first.reviewer} at {first.at.isoformat()} on {photo}; correct its time "
        f"(the column at) in {path}."
    )
