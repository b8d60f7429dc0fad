"""Quarantine: moves harmful photos out of the data, and keeps a log to move them back."""

import csv
import itertools
import os
import shlex
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalogue.urls import join_url, scheme_of
from catalogue.writers import csv_lines, unescape_formula
from models.errors import InputError
from models.text import number_of
from trainer.check.checkup import Checkup, Issue
from trainer.check.relations import label_count
from trainer.data.csv_files import guarded_cells, path_cell, write_rows
from trainer.data.dataset import OPEN, LabeledPhoto
from trainer.data.photo_files import FaultKind

LOG: Final = "quarantine.csv"
_COLUMNS: Final = ("from", "to", "reason")


def make_outside(data: Path, folder: Path, option: str) -> None:
    """Create a folder. Raises InputError for a folder inside the data, which later checks would read."""
    within = data.is_dir() and folder.resolve().is_relative_to(data.resolve())
    if within or (folder.exists() and not folder.is_dir()):
        msg = f"Expected a folder outside {data} for {option}, got {folder}; choose another folder."
        raise InputError(msg)
    folder.mkdir(parents=True, exist_ok=True)


def photos_to_move(checkup: Checkup) -> dict[LabeledPhoto, Issue]:
    """The photos that would harm training, with the reasons.

    If copies have different labels, the copies in the earliest split are moved (order: no split, train, val, test).
    Photos are not moved if their file changed after its SHA-256 was recorded, or if their host failed.
    """
    photos, relations = checkup.scanned.photos, checkup.relations
    chosen = {
        one.photo: one.issue
        for one in checkup.scanned.faulty
        if one.fault.kind is not FaultKind.CHANGED and not one.photo.is_away
    }
    for group in relations.placeholders:
        if label_count(photos, group) > 1:
            chosen.update({photos[place]: Issue.PLACEHOLDER for place in group})
    for group in relations.conflicts:
        first = min(_rank(photos[place]) for place in group)
        chosen.update({photos[p]: Issue.LABEL_CONFLICT for p in group if _rank(photos[p]) == first})
    families = relations.families.tolist()
    latest: dict[int, int] = {}
    for leak in relations.leaks:
        family = families[leak.photo]
        latest[family] = max(latest.get(family, 0), _rank(photos[leak.photo]))
    for photo, family in zip(photos, families, strict=True):
        if family in latest and _rank(photo) < latest[family]:
            chosen[photo] = Issue.LEAK
    return chosen


def _rank(photo: LabeledPhoto) -> int:
    return -1 if photo.split is None else photo.split.rank


def quarantine(checkup: Checkup, folder: Path) -> tuple[int, Path | None]:
    """Move files into a folder, at the same relative paths as in the data. Each move is logged before it happens.

    A file is moved only if all of its rows are removed. Downloaded files are not moved: only their rows are removed.

    Returns:
        The number of moved files, and a CSV with the remaining rows of a table, or None for a folder.
    """
    data, going = checkup.dataset.source, photos_to_move(checkup)
    staying = {_normal(photo.path) for photo in checkup.scanned.photos if photo not in going}
    staying |= {_normal(photo.path) for photo in going if photo.cell is not None}
    files = {_normal(photo.path): issue for photo, issue in going.items() if _normal(photo.path) not in staying}
    root = data if data.is_dir() else data.parent
    _log(folder, [])
    rest = None if data.is_dir() else _write_rest(checkup, folder, going)
    moved = 0
    for path, issue in files.items():
        if not os.path.lexists(path):
            continue
        within = path.relative_to(root) if path.is_relative_to(root) else Path(*path.parts[1:])
        place = _free(folder.absolute() / within)
        try:
            _log(folder, [(path, place.relative_to(folder.absolute()), issue)])
            _move(path, place)
        except OSError as error:
            msg = (
                f"Expected to move {path} to {place}, but the system answered {error.strerror}. "
                f"{number_of(moved, 'file was', 'files were')} already moved; to move them back: hangtag check --undo "
                f"{shlex.quote(str(folder))}."
            )
            raise InputError(msg) from error
        moved += 1
    return moved, rest


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _free(place: Path) -> Path:
    beside = (place.with_name(f"{place.stem}-{number}{place.suffix}") for number in itertools.count(2))
    return next(free for free in itertools.chain([place], beside) if not os.path.lexists(free))


def _log(folder: Path, moves: Iterable[tuple[Path, Path, Issue]]) -> None:
    with (folder / LOG).open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
        if file.tell() == 0:
            file.writelines(csv_lines([_COLUMNS]))
        file.writelines(csv_lines(map(guarded_cells, moves)))
        file.flush()
        os.fsync(file.fileno())


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


def _write_rest(checkup: Checkup, folder: Path, going: Iterable[LabeledPhoto]) -> Path:
    """Write the remaining rows. Paths are absolute, because the CSV is in another folder."""
    dataset, gone = checkup.dataset, set(going)
    root = dataset.table.image_root if dataset.table else ""
    rest = _free(folder / f"{dataset.source.stem}.csv")
    cells = (
        (_image(p, root), p.label, p.split or (OPEN if p.open else ""), p.product or "", p.sha256 or "")
        for p in dataset.photos
        if p not in gone
    )
    write_rows(rest, ("image", "label", "split", "group", "sha256"), cells)
    return rest


def _image(photo: LabeledPhoto, root: str) -> str:
    if photo.cell is None:
        return path_cell(photo.path)
    return photo.cell if scheme_of(photo.cell) else join_url(root, photo.cell)


@dataclass(frozen=True)
class BroughtBack:
    """The result of moving files back. A file is renamed if another returned file has its old path."""

    moved: int
    renamed: tuple[Path, ...]
    lost: tuple[Path, ...]


def bring_back(folder: Path) -> BroughtBack:
    """Move all files of a quarantine back. If an original path has a new file, raises InputError and moves nothing."""
    log = _read_log(folder)
    moves = {there: back for there, back in log.items() if os.path.lexists(there)}
    taken = next((back for back in moves.values() if os.path.lexists(back)), None)
    if taken is not None:
        msg = f"Expected no file at the original place of {taken}, found a new file; move the new file away first."
        raise InputError(msg)
    renamed = []
    for there, back in moves.items():
        place = _free(back)  # an earlier move may have taken the path
        _move(there, place)
        renamed += [place] if place != back else []
    lost = [back for there, back in log.items() if there not in moves and not os.path.lexists(back)]
    return BroughtBack(len(moves), tuple(renamed), tuple(lost))


def _read_log(folder: Path) -> dict[Path, Path]:
    try:
        with (folder / LOG).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            header, *rows = [row for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error) as error:
        msg = f"Expected the log {LOG} of a quarantine in {folder}, could not read it ({error})."
        raise InputError(msg) from error
    if tuple(header) != _COLUMNS:
        msg = f"Expected the log of a quarantine in {folder / LOG}, found the columns {', '.join(header)}."
        raise InputError(msg)
    moves = [list(map(unescape_formula, row[:2])) for row in rows if len(row) == len(_COLUMNS)]
    return {folder / there: Path(back) for back, there in moves}
