"""The records of photos with their splits, and ``splits.csv``, which keeps them from one training to the next."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from trainer.data.csv_files import write_rows
from trainer.data.dataset import Exclusion, Split

_COLUMNS: Final = ("image", "label", "split", "sha256", "group", "product", "present")
_PRESENT: Final = {"true": True, "false": False}


@dataclass(frozen=True)
class Candidate:
    """A photo that asks for a split.

    Attributes:
        split: given by the person or by an earlier training; None if it is still to be decided.
        group: its group's name in an earlier training, which decided its split; None for a new photo.
        present: false for a photo of an earlier training that the data lack now.
        earlier_label: its class in that training; None for a new photo.
        open: whether the person leaves its split to Hangtag, though others have one.
    """

    path: Path
    label: str
    sha256: str
    product: str | None = None
    split: Split | None = None
    group: str | None = None
    present: bool = True
    earlier_label: str | None = None
    open: bool = False

    @property
    def fixed(self) -> bool:
        """Whether an earlier training has decided on the split."""
        return self.group is not None

    @property
    def relabeled(self) -> bool:
        """Whether the person has corrected its class since."""
        return self.earlier_label not in {None, self.label}


@dataclass(frozen=True)
class AssignedPhoto:
    """A photo with its split, in this training and in every one that follows.

    Photos of one ``group`` show the same picture, or belong to one product; its name stays. A photo of an earlier
    training that this one does not use is not ``present``: it keeps its split for the day it comes back.
    """

    path: Path
    label: str
    split: Split
    sha256: str
    group: str
    product: str | None = None
    present: bool = True


@dataclass(frozen=True)
class Assignment:
    """Photos with their splits, absent ones included; those set aside; and notes for people, a line each."""

    photos: list[AssignedPhoto]
    set_aside: list[Exclusion]
    notes: tuple[str, ...]


def group_numbers(photos: Sequence[AssignedPhoto]) -> npt.NDArray[np.intp]:
    """A number for each photo's group, from 0, ``(n,)``."""
    return np.unique([photo.group for photo in photos], return_inverse=True)[1].reshape(-1)


def write_splits(path: Path, photos: Sequence[AssignedPhoto]) -> None:
    """Write ``splits.csv``."""
    rows = (
        (p.path, p.label, p.split, p.sha256, p.group, p.product or "", "true" if p.present else "false") for p in photos
    )
    write_rows(path, _COLUMNS, rows)


def read_splits(path: Path) -> list[AssignedPhoto]:
    """Read ``splits.csv``."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if tuple(header) != _COLUMNS:
                msg = f"its columns are {','.join(header) or 'missing'}, not {','.join(_COLUMNS)}"
                raise ValueError(msg)
            photos = [_read_row(row, rows.line_num) for row in rows if row]
            if not photos:
                msg = "it has no row"
                raise ValueError(msg)
    except (OSError, ValueError, csv.Error) as error:
        msg = f"Expected the splits of a run in {path}, could not read them: {error}. Correct it, or do without it."
        raise DataError(msg) from error
    return photos


def _read_row(row: list[str], line: int) -> AssignedPhoto:
    try:
        if "" in row[:5]:
            msg = f"a cell is empty in the row of {row[0]!r}"
            raise ValueError(msg)
        image, label, split, sha256, group, product, present = row
        return AssignedPhoto(Path(image), label, Split(split), sha256, group, product or None, _PRESENT[present])
    except (KeyError, ValueError) as error:
        msg = f"line {line} is not as a training has written it ({error})"
        raise ValueError(msg) from error
