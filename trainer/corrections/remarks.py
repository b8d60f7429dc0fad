"""What a reviewer says of a photo that is no label. A retraining takes "not a product" for ``_none``."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from trainer.corrections.rows_file import RowsFile
from trainer.corrections.votes import Said, Vote, at_cell, image_cell, parse_said

REMARK_COLUMNS: Final = ("image", "sha256", "remark", "note", "reviewer", "model", "at")


class RemarkKind(StrEnum):
    """What stands in place of a label; a note alone stands beside one."""

    NOT_A_PRODUCT = "not_a_product"
    MORE_THAN_ONE = "more_than_one"
    NOTE = ""


@dataclass(frozen=True, order=True)
class Remark(Said):
    """What a reviewer remarked on a photo.

    Attributes:
        kind: why it has no label; or that there is a note only.
        note: in the reviewer's own words; may be empty unless it is all that there is.
        model: name and version of the model that was shown; empty if unknown.
    """

    kind: RemarkKind
    note: str = ""
    model: str = ""


class RemarkStore:
    """The file that remarks are kept in, beside the corrections."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        needed = frozenset({"remark", "note", "reviewer", "at"})
        self._file = RowsFile(self.path, REMARK_COLUMNS, needed, parse_remark, remark_cells)

    def remarks(self) -> tuple[Remark, ...]:
        """All remarks in the order of their times, each once.

        Raises:
            InputError: it cannot be read; each bad row is named.
        """
        return tuple(sorted(set(self._file.rows())))

    def photos(self) -> set[str]:
        """SHA-256 of photos that have a remark, and not only a note; raises as :meth:`remarks`."""
        return {sha256.lower() for sha256, remark in self._file.cells_of("sha256", "remark") if sha256 and remark}

    def check(self) -> None:
        """Find out whether remarks could be written; raises as :meth:`CorrectionStore.check`."""
        self._file.check()

    def append(self, remarks: Sequence[Remark]) -> None:
        """Add remarks; they are on the disk when this returns, which takes as long however many are there.

        Raises:
            InputError: one could not be read back, or the file cannot be read; nothing is written then.
        """
        self._file.append(remarks)

    def withdraw(self, remark: Remark) -> bool:
        """Take a remark out again; ``False`` if it is not there. Raises as :meth:`append`."""
        return self._file.withdraw(remark)


def heard(votes: Iterable[Vote], remarks: Iterable[Remark]) -> tuple[list[Vote], list[Remark]]:
    """What counts of both, in their orders: a reviewer's last word on a photo, be it a label or a remark.

    Votes that a later remark of the same reviewer overrules are left out, and so are remarks that a vote or a later
    remark overrules. Notes alone overrule nothing and are left out.
    """
    votes, last = list(votes), dict[tuple[str, str], Remark]()
    for remark in sorted(remark for remark in remarks if remark.kind is not RemarkKind.NOTE):
        last[remark.photo, remark.reviewer] = remark
    labelled: dict[tuple[str, str], datetime] = {}
    for vote in votes:
        key = (vote.photo, vote.reviewer)
        labelled[key] = max(vote.at, labelled.get(key, vote.at))
    stand = {key: one for key, one in last.items() if key not in labelled or one.at > labelled[key]}
    return [vote for vote in votes if (vote.photo, vote.reviewer) not in stand], list(stand.values())


def parse_remark(cells: Mapping[str, str], folder: Path) -> Remark:
    """A row of a CSV as a remark; relative paths start at ``folder``.

    Raises:
        ValueError: it says no photo, no reviewer or no time, no such remark, or neither a remark nor a note.
    """
    kind, note = cells.get("remark", "").strip(), cells.get("note", "").strip()
    if kind not in list(RemarkKind):
        msg = f"expected {RemarkKind.NOT_A_PRODUCT}, {RemarkKind.MORE_THAN_ONE} or nothing in remark, got {kind[:80]!r}"
        raise ValueError(msg)
    if not kind and not note:
        msg = "expected a remark or a note, got neither"
        raise ValueError(msg)
    said = parse_said(cells, folder)
    return Remark(**vars(said), kind=RemarkKind(kind), note=note, model=cells.get("model", "").strip())


def remark_cells(remark: Remark) -> tuple[str, ...]:
    """The cells of a remark, in the order of ``REMARK_COLUMNS``."""
    image, at = image_cell(remark), at_cell(remark)
    return (image, remark.sha256, remark.kind, remark.note, remark.reviewer, remark.model, at)
