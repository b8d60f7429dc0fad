"""Import of a file that a person has reviewed photos in: a ``review.csv`` with their marks, or rows of our own CSV."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from catalogue.catalogue import IMAGE_COLUMNS
from catalogue.readers import read_delimited
from catalogue.urls import is_url
from models.errors import ImageError, InputError, JobError
from models.storage.storage import FolderStorage
from models.taxonomy import PATH_MARK
from trainer.corrections.rows_file import refuse_rows, unguarded
from trainer.corrections.store import Added, CorrectionStore
from trainer.corrections.votes import COLUMNS, Resolved, Vote, parse_vote, resolve
from trainer.data.csv_files import data_folder
from trainer.data.photo_files import file_sha256
from trainer.run import Run
from worker.job.columns import CORRECT_LABEL, THUMBNAIL
from worker.job.job import QUESTIONS, Job, open_job

_CORRECTED: Final = "corrected"
"""What people called the column before there was one for them."""
_ANSWERS: Final = (CORRECT_LABEL, _CORRECTED)
_TOP_K: Final = "top_k"
_BEST: Final = re.compile(r"(.+?) [0-9]\.[0-9]{2}(?:; |$)")
"""A label that ``review.csv`` names, the likeliest one first."""
_ALIKE: Final = 0.8
"""Of difflib's ratio: ``hatt`` and ``hat`` have 0.86, ``boots`` and ``boats`` 0.8, ``hats`` and ``cats`` 0.75."""


@dataclass(frozen=True)
class ImportOptions:
    """What the file itself does not say.

    Attributes:
        reviewer: whose votes those rows are that name nobody.
        image_column: the column that names the photos. Default: the obvious one.
        image_root: where relative paths start. Default: as the job or the run beside the file says, else its folder.
        prefix: of the columns that Hangtag has added.
        new_labels: labels that are new on purpose, though they look like typing errors of known ones.
        above_classes: labels above the classes of a tree, which no photo can be given. Default: as the job beside says.
    """

    reviewer: str | None = None
    image_column: str | None = None
    image_root: Path | None = None
    prefix: str = ""
    new_labels: tuple[str, ...] = ()
    above_classes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReviewFile:
    """What the rows of a review file say.

    Attributes:
        timed: votes of rows that say when.
        untimed: votes of the others, as of the file's own time.
        named: labels that the model gave some row, likely or not.
    """

    rows: int
    timed: tuple[Vote, ...]
    untimed: tuple[Vote, ...]
    named: frozenset[str]

    @property
    def silent(self) -> int:
        """Rows in which nobody has said anything."""
        return self.rows - len(self.timed) - len(self.untimed)


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        file: what the file said; ``added`` is what was new of it.
        resolved: what came of all votes that are there now.
        lost: paths that lead to no file, each once, in the file's order.
        root: where relative paths start, as the job or the run beside the file says; ``None`` if neither says it, or
            if nobody asked.
    """

    file: ReviewFile
    added: Added
    resolved: Resolved
    lost: tuple[str, ...]
    root: Path | None

    @property
    def by_label(self) -> dict[str, int]:
        """How many of the new votes say each label, the commonest first."""
        return dict(Counter(vote.label for vote in self.added.votes).most_common())

    @property
    def pathbound(self) -> int:
        """How many of the new votes name their photo by its path only, since no file is there."""
        return sum(not vote.sha256 for vote in self.added.votes)


def import_corrections(
    file: Path, store: CorrectionStore, options: ImportOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Imported:
    """Add what a file says to the store, as a whole or not at all.

    Raises:
        InputError: the file or the store cannot be used, or a new label looks like a typing error of a known one, or
            like a path in a tree.
    """
    asked = options
    options = _as_the_files_beside_say(file.absolute(), asked)
    review = read_review(file, options, now())
    votes = (*review.timed, *review.untimed)
    before = store.votes()
    known = {vote.label for vote in before} | {vote.was for vote in (*before, *votes) if vote.was} | review.named
    new = {vote.label for vote in votes} - set(options.new_labels)
    if path := next((label for label in sorted(new - known) if PATH_MARK in label), None):
        msg = (
            f"Expected names of classes in {file}, {path!r} reads as a path in a tree; none was imported, so give the "
            f"class's own name, or say --new-label {shlex.quote(path)} if that is its name."
        )
        raise InputError(msg)
    near = _near_labels(new, known)
    if near:
        on_purpose = " ".join(f"--new-label {shlex.quote(label)}" for label in near)
        questions = "\n  ".join(f"{label}: do you mean {meant}?" for label, meant in near.items())
        msg = (
            f"Expected labels in {file} that are known, or new on purpose; none was imported, so correct these and "
            f"import the file again, or say {on_purpose}.\n  {questions}"
        )
        raise InputError(msg)
    added = store.add(list(map(_hashed, review.timed)), list(map(_hashed, review.untimed)))
    places = dict.fromkeys(vote.image for vote in votes if vote.path is not None)
    lost = tuple(place for place in places if not os.path.isfile(place))  # noqa: PTH113 - a path's own raises errors
    root = None if asked.image_root else options.image_root
    return Imported(review, added, resolve(added.all), lost, root)


def _as_the_files_beside_say(file: Path, options: ImportOptions) -> ImportOptions:
    """The options, with what nobody said as the job or the run says whose files lie in the same folder.

    A folder of photos counts if it is on this machine, and a column if the file has it.
    """
    folder = file.parent
    try:
        return replace(options, image_root=options.image_root or _there(data_folder(Path(Run(folder).args().data))))
    except (OSError, InputError):  # no run, or of another version: as if it were not there
        pass
    try:
        job = _job_of(folder)
    except JobError:  # of another version
        return options
    if job is None:
        return options
    root = None if is_url(job.spec.image_root) else _there(Path(job.spec.image_root))
    names = read_delimited(file).schema.names if file.is_file() else ()
    column, prefix = job.spec.image_column, job.spec.options.prefix
    return replace(
        options,
        image_root=options.image_root or root,
        image_column=options.image_column or (column if column in names else None),
        prefix=options.prefix or (prefix if f"{prefix}{CORRECT_LABEL}" in names else ""),
        above_classes=frozenset((job.model.taxonomy or {}).values()),
    )


def _job_of(folder: Path) -> Job | None:
    """The job in a folder, or the question that the folder is of: ``labels.parquet.job/questions/colour``."""
    if (job := open_job(FolderStorage(folder))) is None and folder.parent.name == QUESTIONS:
        whole = open_job(FolderStorage(folder.parent.parent))
        return whole.question(folder.name) if whole else None
    return job


def question_of(file: Path) -> str:
    """The question whose folder a file lies in; an empty name if it is of none."""
    try:
        job = _job_of(file.absolute().parent)
    except JobError:  # of another version
        return ""
    return job.name if job else ""


def _there(folder: Path) -> Path | None:
    return folder if folder.is_absolute() and folder.is_dir() else None


def _hashed(vote: Vote) -> Vote:
    """The vote with its photo's SHA-256, if it can be read: a file that moves keeps its votes."""
    if vote.sha256 or not vote.path:
        return vote
    try:
        return replace(vote, sha256=file_sha256(vote.path))
    except ImageError:
        return vote


def _near_labels(labels: set[str], known: set[str]) -> dict[str, str]:
    """New label → the known one that it resembles most; upper and lower case count as the same."""
    by_folded = {label.casefold(): label for label in sorted(known, reverse=True)}
    near: dict[str, str] = {}
    for label in sorted(labels - known):
        found = get_close_matches(label.casefold(), by_folded, n=1, cutoff=_ALIKE)
        if found:
            near[label] = by_folded[found[0]]
    return near


def read_review(path: Path, options: ImportOptions, now: datetime) -> ReviewFile:
    """Read a file row by row; it is used as a whole, or not at all.

    A row is a vote if its cell under ``correct_label`` or ``corrected`` is filled; without a column ``corrected``, also
    if ``label`` differs from the first of ``top_k``; without any of these three, always.

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
    timed: list[Vote] = []
    untimed: list[Vote] = []
    wrong: list[tuple[int, str]] = []
    named: set[str] = set()
    number = 0
    rows = (row for batch in reader.batches for row in batch.to_pylist())
    for number, row in enumerate(rows, start=1):
        cells = {column: unguarded(row[name]) for column, name in columns.items()}
        named.update(_BEST.findall(cells.get(_TOP_K, "")))
        said = _said(cells)
        if said is None:
            continue
        if options.image_root is None and CORRECT_LABEL in columns:  # it is one of our lists, wherever it was moved
            said["image"] = unguarded(row.get(f"{options.prefix}{THUMBNAIL}", "")).strip() or said.get("image", "")
        given = {name: text for name, text in said.items() if text.strip()}
        try:
            vote = parse_vote({**defaults, **given}, folder)
        except ValueError as error:
            hint = "; pass --reviewer NAME" if "expected a reviewer" in str(error) else ""
            wrong.append((number, f"{error}{hint}"))
            continue
        wrong += ((number, fault) for fault in _faults(vote, options, now))
        (timed if "at" in given else untimed).append(vote)
    if wrong:
        raise refuse_rows(path, wrong, "none was imported, so correct them and import the file again")
    return ReviewFile(number, tuple(timed), tuple(untimed), frozenset(named))


def _faults(vote: Vote, options: ImportOptions, now: datetime) -> Iterator[str]:
    if vote.label in options.above_classes:
        yield f"expected a class, {vote.label!r} is a label above classes"
    if vote.is_ahead(now):
        yield f"expected a time in the past, got {vote.at.isoformat()} in at"


def _columns(path: Path, names: Sequence[str], options: ImportOptions) -> dict[str, str]:
    """What is known of a row → the column that says it."""
    wanted = {name: f"{options.prefix}{name}" for name in (*COLUMNS, _TOP_K, CORRECT_LABEL) if name != "image"}
    found = {name: column for name, column in wanted.items() if column in names}
    if options.image_column is not None and options.image_column not in names:
        msg = f"Expected a column {options.image_column!r} in {path}, found {', '.join(names)}."
        raise InputError(msg)
    by_name = {name.lower(): name for name in reversed(names)}
    image = options.image_column or next((by_name[known] for known in IMAGE_COLUMNS if known in by_name), None)
    if image is not None and image not in found.values():
        found["image"] = image
    if _CORRECTED in names:
        found[_CORRECTED] = _CORRECTED
    lacks_label = not {"label", *_ANSWERS} & set(found)
    if lacks_label or not {"image", "sha256"} & set(found):
        what = f"a column label or {CORRECT_LABEL}" if lacks_label else "a column sha256, or one that names the photos"
        msg = f"Expected {what} in {path}, found {', '.join(names)}; name it so, or pass --prefix or --image-column."
        raise InputError(msg)
    return found


def _said(cells: Mapping[str, str]) -> dict[str, str] | None:
    """What a row says, its label under ``label`` and the one before under ``was``; ``None`` where it is silent."""
    best = _BEST.match(cells.get(_TOP_K, ""))
    before = cells.get("was") or (best[1] if best else "")
    answer = next((text for name in _ANSWERS if (text := cells.get(name, "").strip())), "")
    if answer:
        return {**cells, "label": answer, "was": before or cells.get("label", "")}
    if _CORRECTED in cells:
        return None
    edited = cells.get("label", "").strip() != before.strip()
    if _TOP_K in cells or CORRECT_LABEL in cells:
        return {**cells, "was": before} if _TOP_K in cells and edited else None
    return {**cells, "was": before}
