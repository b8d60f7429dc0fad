"""Votes of reviewers. A vote is one reviewer's answer on one photo. Reviewers agree if their last votes are equal."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from catalogue.urls import scheme_of
from models.text import label_text
from trainer.data.csv_files import cell_path, path_cell

COLUMNS: Final = ("image", "sha256", "label", "remark", "note", "was", "reviewer", "model", "at")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ELSEWHERE: Final = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]*://")


class Remark(StrEnum):
    """Why a reviewer gives no label to a photo."""

    NONE = ""
    NOT_A_PRODUCT = "not_a_product"
    MORE_THAN_ONE = "more_than_one"


@dataclass(frozen=True, order=True)
class Vote:
    """A reviewer's answer on a photo, with a label, a remark, or only a note.

    Unknown fields are empty. ``at`` is in UTC. ``sha256`` hashes the photo's bytes. ``image`` is an absolute path or a
    URL. ``was`` is the label that ``model`` gave. Hangtag ignores notes.
    """

    at: datetime
    reviewer: str
    sha256: str
    image: str
    label: str = ""
    remark: Remark = Remark.NONE
    note: str = ""
    was: str = ""
    model: str = ""

    @property
    def photo(self) -> str:
        """The photo's SHA-256, or its path or URL if the SHA-256 is unknown."""
        return self.sha256 or self.image

    @property
    def path(self) -> Path | None:
        """The path of the photo on this machine, or None if unknown."""
        return Path(self.image) if self.image and not _ELSEWHERE.match(self.image) else None

    @property
    def decision(self) -> tuple[str, Remark] | None:
        """The label or the remark. None if the vote is only a note."""
        return (self.label, self.remark) if self.label or self.remark else None


@dataclass(frozen=True)
class PhotoVotes:
    """Each reviewer's last vote on one photo, latest first. A reviewer's votes with the same time are all kept."""

    votes: tuple[Vote, ...]

    @property
    def in_conflict(self) -> bool:
        """Whether reviewers disagree."""
        return len({vote.decision for vote in self.votes}) > 1

    @property
    def label(self) -> str | None:
        """The label, if all reviewers agree on it."""
        return None if self.in_conflict else self.votes[0].label or None

    @property
    def remark(self) -> Remark | None:
        """The remark, if all reviewers agree on it."""
        return None if self.in_conflict else self.votes[0].remark or None

    @property
    def reviewers(self) -> tuple[str, ...]:
        """The reviewers, in alphabetical order."""
        return tuple(sorted({vote.reviewer for vote in self.votes}))


def resolve(votes: Iterable[Vote]) -> dict[str, PhotoVotes]:
    """Group votes by photo (see :attr:`Vote.photo`). Only each reviewer's last label or remark counts.

    The order of the votes does not matter. Repeated votes count once.
    """
    by_photo: defaultdict[str, list[Vote]] = defaultdict(list)
    for vote in sorted(set(votes), reverse=True):
        if vote.decision:
            by_photo[vote.photo].append(vote)
    return {photo: PhotoVotes(_last(by_photo[photo])) for photo in sorted(by_photo)}


def _last(votes: list[Vote]) -> tuple[Vote, ...]:
    when = {vote.reviewer: vote.at for vote in reversed(votes)}
    return tuple(vote for vote in votes if vote.at == when[vote.reviewer])


def parse_vote(cells: Mapping[str, str], folder: Path) -> Vote:
    """Parse a row of a CSV. Relative paths start at ``folder``. Raises ValueError if a cell is invalid."""
    line = {name: cells.get(name, "").strip() for name in COLUMNS}
    _check_line("reviewer", line["reviewer"])
    if line["remark"] not in list(Remark):
        msg = f"expected {Remark.NOT_A_PRODUCT} or {Remark.MORE_THAN_ONE} in remark, got {line['remark'][:80]!r}"
        raise ValueError(msg)
    line |= {name: label_text(line[name]) for name in ("label", "was")}
    if not line["remark"] and (line["label"] or not line["note"]):
        _check_line("label", line["label"])
    if line["remark"] and line["label"]:
        msg = f"expected a label or a remark, got both: {line['label'][:80]!r} and {line['remark']}"
        raise ValueError(msg)
    sha256 = line["sha256"].lower()
    if sha256 and not _SHA256.fullmatch(sha256):
        msg = f"expected a SHA-256 of 64 hexadecimal digits, got {sha256[:80]!r}"
        raise ValueError(msg)
    image, at, remark = _place(line["image"], sha256, folder), _time(line["at"]), Remark(line["remark"])
    note, was, model = (" ".join(line[name].splitlines()) for name in ("note", "was", "model"))
    return Vote(at, line["reviewer"], sha256, image, line["label"], remark, note, was, model)


def _place(image: str, sha256: str, folder: Path) -> str:
    if scheme_of(image) == "data":
        if not sha256:
            msg = "expected a sha256 for a data: URL, got none"
            raise ValueError(msg)
        return ""
    if not image and not sha256:
        msg = "expected a photo, got neither image nor sha256"
        raise ValueError(msg)
    return os.path.normpath(folder / cell_path(image)) if image and not _ELSEWHERE.match(image) else image


def _check_line(column: str, text: str) -> None:
    if not text:
        msg = f"expected a {column}, got none"
        raise ValueError(msg)
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        msg = f"expected text on one line in {column}, got {text[:80]!r}"
        raise ValueError(msg)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        msg = f"expected a time such as 2026-05-01T14:30:00Z in the column at, got {text[:80]!r}"
        raise ValueError(msg) from error


def vote_cells(vote: Vote) -> tuple[str, ...]:
    """The cells of a vote, in the order of ``COLUMNS``."""
    image = str(path_cell(vote.path)) if vote.path else vote.image
    at = vote.at.isoformat().replace("+00:00", "Z")
    decision = (vote.label, vote.remark.value, vote.note, vote.was)
    return (image, vote.sha256, *decision, vote.reviewer, vote.model, at)
