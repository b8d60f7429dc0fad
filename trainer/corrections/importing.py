"""A file that a person has reviewed photos in: a ``review.csv`` with their marks, or rows of ``corrections.csv``."""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from models.errors import ImageError, InputError, JobError
from models.storage.storage import FolderStorage
from trainer.corrections.store import Added, CorrectionStore, lost_places, refuse_rows, unguarded
from trainer.corrections.votes import COLUMNS, Settled, Word, parse_word, settle
from trainer.data.csv_files import data_folder
from trainer.data.photo_files import file_sha256
from trainer.run import Run
from worker.job import open_job
from worker.sources.catalogue import IMAGE_COLUMNS
from worker.sources.readers import Reader, read_delimited

__all__ = ["Imported", "Sheet", "SheetOptions", "import_corrections", "job_root", "near_labels", "read_sheet"]


_ALIKE: Final = 0.8
"""Of difflib's ratio: ``hatt`` and ``hat`` have 0.86, ``boots`` and ``boats`` 0.8, ``hats`` and ``cats`` 0.75."""


def near_labels(labels: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Labels that nobody has used → the known one that each is nearest to, upper and lower case being alike."""
    there = set(known)
    by_folded = {label.casefold(): label for label in sorted(there, reverse=True)}
    near: dict[str, str] = {}
    for label in sorted(set(labels) - there):
        found = get_close_matches(label.casefold(), by_folded, n=1, cutoff=_ALIKE)
        if found:
            near[label] = by_folded[found[0]]
    return near


def job_root(file: Path) -> Path | None:
    """The folder at which relative paths start in a file that lies beside a job's or a run's own files.

    ``None`` if there is no job and no run, if the job's photos are not files, or if the folder is not on this machine.
    """
    folder = file.absolute().parent
    root = _of_run(folder) or _of_job(folder)
    return root if root is not None and root.is_absolute() and root.is_dir() else None


def _of_run(folder: Path) -> Path | None:
    try:
        return data_folder(Path(Run(folder).args().data))
    except (OSError, InputError):
        return None  # no run, or of another version: as if it were not there


def _of_job(folder: Path) -> Path | None:
    try:
        job = open_job(FolderStorage(folder))
    except JobError:
        return None  # of another version: as if it were not there
    return None if job is None or "://" in job.spec.image_root else Path(job.spec.image_root)


_CORRECTED: Final = "corrected"
_TOP_K: Final = "top_k"
_BEST: Final = re.compile(r"(.+?) [0-9]\.[0-9]{2}(?:; |$)")
"""A label that ``review.csv`` names, the likeliest one first."""


@dataclass(frozen=True)
class SheetOptions:
    """What a file does not say by itself.

    Attributes:
        reviewer: who speaks in rows that name nobody.
        image_column: that names the photos; the obvious one where it is not given.
        image_root: where relative paths start; the file's folder where it is not given.
        prefix: before the names of the columns that Hangtag has added.
        new_labels: labels that are new on purpose, though they look like typing errors of known ones.
    """

    reviewer: str | None = None
    image_column: str | None = None
    image_root: Path | None = None
    prefix: str = ""
    new_labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """What a file says.

    Attributes:
        rows: how many it has.
        timed: words of rows that say when.
        untimed: words of the others, as of the file's own time.
        silent: rows in which nobody has said anything.
        named: labels that the model gave some row, likely or not.
    """

    rows: int
    timed: tuple[Word, ...]
    untimed: tuple[Word, ...]
    silent: int
    named: frozenset[str] = frozenset()


def read_sheet(path: Path, options: SheetOptions, now: datetime) -> Sheet:
    """Read a file row by row; it is used as a whole, or not at all.

    A row says something where its cell under ``corrected`` does; without such a column, where ``label`` is another than
    the first of ``top_k``; without that either, always.

    Raises:
        InputError: it is missing or no CSV, a column is missing, or rows cannot be used: each is named with its reason.
    """
    if not path.is_file():
        msg = f"Expected corrections in a CSV file at {path}, found none; check the path."
        raise InputError(msg)
    reader = read_delimited(path)
    columns = _columns(path, reader.schema.names, options)
    own_time = min(datetime.fromtimestamp(path.stat().st_mtime, UTC), now)
    folder = (options.image_root or path.parent).absolute()
    defaults = {"reviewer": options.reviewer or "", "at": own_time.isoformat()}
    timed: list[Word] = []
    untimed: list[Word] = []
    wrong: list[tuple[int, str]] = []
    named: set[str] = set()
    rows = 0
    for rows, cells in enumerate(_cells(reader, columns), start=1):
        named.update(_BEST.findall(cells.get(_TOP_K, "")))
        said = _said(cells)
        if said is None:
            continue
        given = {name: text for name, text in said.items() if text.strip()}
        try:
            word = parse_word({**defaults, **given}, folder)
            _check_said(word, now)
            (timed if "at" in given else untimed).append(word)
        except ValueError as error:
            hint = "; pass --reviewer NAME" if "expected a reviewer" in str(error) else ""
            wrong.append((rows, f"{error}{hint}"))
    if wrong:
        raise refuse_rows(path, wrong, "none was imported, so mend these and import the file again")
    return Sheet(rows, tuple(timed), tuple(untimed), rows - len(timed) - len(untimed), frozenset(named))


def _check_said(word: Word, now: datetime) -> None:
    if word.is_ahead(now):
        msg = f"expected a time that has been, got {word.at.isoformat()} in at"
        raise ValueError(msg)


def _cells(reader: Reader, columns: Mapping[str, str]) -> Iterator[dict[str, str]]:
    for batch in reader.batches:
        for row in batch.to_pylist():
            yield {column: unguarded(row[name]) for column, name in columns.items()}


def _columns(path: Path, names: Sequence[str], options: SheetOptions) -> dict[str, str]:
    """What is known of a row → the column that says it."""
    wanted = {name: f"{options.prefix}{name}" for name in (*COLUMNS, _TOP_K) if name != "image"}
    found = {name: column for name, column in wanted.items() if column in names}
    image = _image_column(path, names, options.image_column)
    if image is not None and image not in found.values():
        found["image"] = image
    if _CORRECTED in names:
        found[_CORRECTED] = _CORRECTED
    lacks_label = not {"label", _CORRECTED} & set(found)
    if lacks_label or not {"image", "sha256"} & set(found):
        what = "a column label or corrected" if lacks_label else "a column sha256, or one that names the photos"
        msg = f"Expected {what} in {path}, found {', '.join(names)}; name it so, or pass --prefix or --image-column."
        raise InputError(msg)
    return found


def _image_column(path: Path, names: Sequence[str], wanted: str | None) -> str | None:
    if wanted is not None and wanted not in names:
        msg = f"Expected a column {wanted!r} in {path}, found {', '.join(names)}."
        raise InputError(msg)
    by_name = {name.lower(): name for name in reversed(names)}
    return wanted or next((by_name[known] for known in IMAGE_COLUMNS if known in by_name), None)


def _said(cells: dict[str, str]) -> dict[str, str] | None:
    """What a row says, with its label under ``label`` and what it was before under ``was``; none where it is silent."""
    before = cells.get("was") or _best(cells.get(_TOP_K, ""))
    if _CORRECTED in cells:
        corrected = cells[_CORRECTED].strip()
        return {**cells, "label": corrected, "was": before or cells.get("label", "")} if corrected else None
    if _TOP_K in cells and cells.get("label", "").strip() == before.strip():
        return None
    return {**cells, "was": before}


def _best(top_k: str) -> str:
    found = _BEST.match(top_k)
    return found[1] if found else ""


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        sheet: what the file said.
        added: what was new of it.
        settled: all words that are there now.
        lost: paths in the file that lead to no file, in its order.
        root: where relative paths start, as the job or the run beside the file says; ``None`` if neither says it, or
            if nobody asked.
    """

    sheet: Sheet
    added: Added
    settled: Settled
    lost: tuple[str, ...] = ()
    root: Path | None = None

    @property
    def by_label(self) -> dict[str, int]:
        """How many of the new words say each label, the commonest first."""
        return dict(Counter(word.label for word in self.added.words).most_common())

    @property
    def pathbound(self) -> int:
        """How many of the new words are known by a place alone, since no file is there."""
        return sum(not word.sha256 for word in self.added.words)


def import_corrections(
    file: Path, store: CorrectionStore, options: SheetOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Imported:
    """Add what a file says to the store, as a whole or not at all.

    Raises:
        InputError: the file or the store cannot be used, or a new label looks like a typing error of a known one.
    """
    root = None if options.image_root else job_root(file)
    sheet = read_sheet(file, replace(options, image_root=root) if root else options, now())
    _check_labels(file, sheet, store.words(), options.new_labels)
    added = store.add(_hashed(sheet.timed), _hashed(sheet.untimed))
    lost = tuple(lost_places((*sheet.timed, *sheet.untimed)))
    return Imported(sheet, added, settle(added.all), lost, root)


def _check_labels(file: Path, sheet: Sheet, before: Sequence[Word], new_labels: Sequence[str]) -> None:
    """Refuse labels that may be typing errors of what a reviewer or the model has said before."""
    said = (*sheet.timed, *sheet.untimed)
    known = {word.label for word in before} | {word.was for word in (*before, *said) if word.was} | sheet.named
    near = near_labels({word.label for word in said} - set(new_labels), known)
    if near:
        asked = "\n  ".join(f"{label}: do you mean {meant}?" for label, meant in near.items())
        msg = (
            f"Expected labels in {file} that are known, or new on purpose; none was imported, so mend these and import "
            f"the file again, or say --new-label {shlex.quote(next(iter(near)))}.\n  {asked}"
        )
        raise InputError(msg)


def _hashed(words: Sequence[Word]) -> list[Word]:
    """Words on photos that are known by their bytes wherever these can be read: a file that moves keeps its words."""
    return [word if word.sha256 else replace(word, sha256=_sha256(word)) for word in words]


def _sha256(word: Word) -> str:
    try:
        return file_sha256(word.path) if word.path else ""
    except ImageError:
        return ""
