"""Photos with splits: reads and writes ``splits.csv``, and matches photos with an earlier file."""

import csv
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from catalogue.writers import unescape_formula
from models.errors import DataError
from models.text import label_text
from trainer.data.csv_files import write_rows
from trainer.data.dataset import LEARN, Exclusion, LabeledPhoto, Split

_COLUMNS: Final = ("image", "label", "split", "sha256", "group", "product", "present")
_PRESENT: Final = {"true": True, "false": False}


@dataclass(frozen=True)
class Candidate:
    """A photo that needs a split.

    Attributes:
        split: from the user or from an earlier training, or None if undecided.
        group: the name of the photo's group in the earlier training. None for a new photo.
        present: false if the photo is only in an earlier training.
        earlier_label: the photo's class in that training, or None for a new photo.
        open: whether the user wrote ``open`` as the split. Hangtag then chooses it.
        chosen: whether a model chose the photo for review, so that it is used only for training.
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
    chosen: bool = False

    @property
    def fixed(self) -> bool:
        """Whether an earlier training decided the photo's split."""
        return self.group is not None

    @property
    def relabeled(self) -> bool:
        """Whether the photo's class was corrected since the earlier training."""
        return self.earlier_label not in {None, self.label}


@dataclass(frozen=True)
class AssignedPhoto:
    """A photo with its split, for this training and all later trainings.

    Photos of one ``group`` show the same picture or product. Later trainings keep the group's name.
    ``present`` is false if only an earlier training used the photo. A ``chosen`` photo was chosen for review
    by a model, and is only used for training.
    """

    path: Path
    label: str
    split: Split
    sha256: str
    group: str
    product: str | None = None
    present: bool = True
    chosen: bool = False


@dataclass(frozen=True)
class Assignment:
    """Photos with splits (including missing photos), excluded photos, and notes for the user, one per line."""

    photos: list[AssignedPhoto]
    set_aside: list[Exclusion]
    notes: tuple[str, ...]


def group_numbers(photos: Sequence[AssignedPhoto]) -> npt.NDArray[np.intp]:
    """The index of each photo's group, ``(n,)``."""
    return np.unique([photo.group for photo in photos], return_inverse=True)[1].reshape(-1)


def write_splits(path: Path, photos: Sequence[AssignedPhoto]) -> None:
    """Write ``splits.csv``."""
    rows = (
        (p.path, p.label, LEARN if p.chosen else p.split, p.sha256, p.group, p.product or "", str(p.present).lower())
        for p in photos
    )
    write_rows(path, _COLUMNS, rows)


def read_splits(path: Path) -> list[AssignedPhoto]:
    """Read ``splits.csv``."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if tuple(header) != _COLUMNS:
                msg = f"the columns are {','.join(header) or 'missing'}, not {','.join(_COLUMNS)}"
                raise ValueError(msg)
            photos = [_read_row(list(map(unescape_formula, row)), rows.line_num) for row in rows if row]
            if not photos:
                msg = "it has no rows"
                raise ValueError(msg)
    except (OSError, ValueError, csv.Error) as error:
        msg = (
            f"Expected the splits of a run in {path}, but could not read them: {error}. Correct the file, or "
            "leave it out."
        )
        raise DataError(msg) from error
    return photos


def _read_row(row: list[str], line: int) -> AssignedPhoto:
    try:
        if "" in row[:5]:
            msg = f"a cell is empty in the row of {row[0]!r}"
            raise ValueError(msg)
        image, label, split, sha256, group, product, present = row
        chosen = split == LEARN
        known = Split.TRAIN if chosen else Split(split)
        return AssignedPhoto(
            Path(image), label_text(label), known, sha256, group, product or None, _PRESENT[present], chosen
        )
    except (KeyError, ValueError) as error:
        msg = f"line {line} was changed after a training wrote it ({error})"
        raise ValueError(msg) from error


def match_earlier(
    photos: Sequence[LabeledPhoto], sha256s: Sequence[str], earlier: Sequence[AssignedPhoto]
) -> list[Candidate]:
    """Find each photo in an earlier training, by its content or by its path.

    A photo with the content of an earlier photo is the same photo, maybe renamed. If the earlier content is gone, a
    photo at the earlier path is the same photo, edited. A matched photo keeps its split and group, not its label.
    If a photo matches copies at other paths, test is preferred, then val. Additional copies are new photos. Earlier
    photos without a match come last, with ``present`` false.
    """
    today = [
        Candidate(p.path, p.label, s, p.product, p.split, open=p.open, chosen=p.chosen)
        for p, s in zip(photos, sha256s, strict=True)
    ]
    known: defaultdict[str, dict[Split, AssignedPhoto]] = defaultdict(dict)
    for old in earlier:
        known[old.sha256].setdefault(old.split, old)
    least = {sha256: by_split[max(by_split, key=lambda split: split.rank)] for sha256, by_split in known.items()}
    rows = _matched(today, earlier, least)
    _check_unmoved([(one, None if row is None else earlier[row]) for one, row in zip(today, rows, strict=True)])
    candidates = []
    for one, row in zip(today, rows, strict=True):
        if row is not None:
            kept = earlier[row]
            decided = replace(one, split=kept.split, group=kept.group, earlier_label=kept.label, chosen=kept.chosen)
            candidates.append(replace(decided, product=one.product or kept.product))
        elif one.split is None and len(known.get(one.sha256, ())) > 1:  # the same content was in several splits
            copied = least[one.sha256]
            candidates.append(replace(one, split=copied.split, group=copied.group))
        else:
            candidates.append(one)
    matched = set(rows)
    return [*candidates, *(_absent(old) for row, old in enumerate(earlier) if row not in matched)]


def _absent(row: AssignedPhoto) -> Candidate:
    known = Candidate(row.path, row.label, row.sha256, row.product, row.split, row.group)
    return replace(known, present=False, earlier_label=row.label, chosen=row.chosen)


def _matched(
    today: Sequence[Candidate], earlier: Sequence[AssignedPhoto], least: Mapping[str, AssignedPhoto]
) -> list[int | None]:
    """For each photo, return the index of its row in ``earlier``, or None. Each row is used once at most.

    ``least`` maps each SHA-256 to an earlier photo. Test is preferred, then validation.
    """
    rows_of: list[int | None] = [None] * len(today)
    asking = dict(enumerate(today))
    order = sorted(range(len(earlier)), key=lambda row: (not earlier[row].present, -earlier[row].split.rank))
    offered = {row: earlier[row] for row in order}

    def claim(key: Callable[[Candidate | AssignedPhoto], Hashable]) -> None:
        rows: defaultdict[Hashable, deque[int]] = defaultdict(deque)
        for row, old in offered.items():
            rows[key(old)].append(row)
        for place, one in list(asking.items()):
            own_key = key(one)
            if own_key is not None and rows.get(own_key):
                rows_of[place] = row = rows[own_key].popleft()
                del asking[place], offered[row]

    claim(lambda one: (one.sha256, one.path, one.label, one.split))
    claim(lambda one: (one.sha256, one.path, one.label))
    claim(lambda one: (one.sha256, one.path))
    claim(lambda one: (one.sha256, one.split))
    claim(lambda one: None if isinstance(one, AssignedPhoto) and one.split != least[one.sha256].split else one.sha256)
    claim(lambda one: None if isinstance(one, Candidate) and one.sha256 in least else one.path)
    return rows_of


def _check_unmoved(pairs: Sequence[tuple[Candidate, AssignedPhoto | None]]) -> None:
    splits = {photo.split for photo, _ in pairs}
    moved = []
    for photo, row in pairs:
        if row is not None and photo.split not in {None, row.split}:
            is_cut = photo.split is Split.TRAIN and row.split not in splits  # taken from training
            if not is_cut:
                moved.append((photo, row))
    if moved:
        photo, row = moved[0]
        others = f" (and {len(moved) - 1} others)" if len(moved) > 1 else ""
        msg = (
            f"Expected {photo.path}{others} in {row.split}, as in the earlier training, got {photo.split}; move "
            f"it back to {row.split}, or train without the earlier splits."
        )
        raise DataError(msg)
