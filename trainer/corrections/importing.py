"""Imports a reviewer's file: a filled ``review.csv``, or rows in the format of ``corrections.csv``."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from catalogue.catalogue import find_column, usual_image_column
from catalogue.photo import PhotoLocator
from catalogue.readers import read_delimited
from catalogue.urls import is_url
from catalogue.writers import unescape_formula
from models.errors import InputError
from models.photo import NONE
from models.storage.storage import FolderStorage
from models.taxonomy import PATH_MARK
from models.text import label_text
from trainer.corrections.store import Added, CorrectionStore, refuse_rows
from trainer.corrections.votes import COLUMNS, PhotoVotes, Remark, Vote, parse_vote, resolve
from trainer.data.csv_files import data_folder
from trainer.data.photo_files import sha256_now
from trainer.run import Run
from worker.job.job import QUESTIONS, Job, open_job
from worker.job.parts import CORRECT_LABEL, THUMBNAIL

_FAST_CLOCK: Final = timedelta(days=1)
_TOP_K: Final = "top_k"
_CONFIDENCE: Final = re.compile(r" [0-9]\.[0-9]{2}(?:; |$)")
"""Suffix of the label columns in ``review.csv``."""
_REMARKS: Final = {NONE: Remark.NOT_A_PRODUCT, **{remark.value: remark for remark in Remark if remark}}
"""Answers in ``correct_label`` that are not classes."""
_ALIKE: Final = 0.8
"""A new label may be misspelt if its difflib ratio to a known label is at least this: ``hatt`` and ``hat`` have 0.86,
``boots`` and ``boats`` 0.8, ``hats`` and ``cats`` 0.75."""


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import. Image options that are None come from the job or run next to the file.

    ``reviewer``: the name for rows without a reviewer. ``new_labels``: labels to accept, even if they look like
    misspelt known labels. From the job: ``prefix``, which begins the names of Hangtag's columns, and
    ``above_classes``, labels to refuse.
    """

    reviewer: str | None = None
    image_column: str | None = None
    image_root: Path | None = None
    new_labels: tuple[str, ...] = ()
    prefix: str = ""
    above_classes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReviewFile:
    """The rows of a review file: votes with a time, votes without a time, and the model's labels."""

    rows: int
    timed: tuple[Vote, ...]
    untimed: tuple[Vote, ...]
    named: frozenset[str]

    @property
    def votes(self) -> tuple[Vote, ...]:
        """All votes."""
        return (*self.timed, *self.untimed)


@dataclass(frozen=True)
class Imported:
    """The result of an import, with all votes on each photo.

    ``lost``: paths without a file. ``root``: the folder of relative paths, if the job or run next to the file sets it.
    ``new_labels``: labels that neither the model (in this file) nor an earlier vote gave.
    """

    file: ReviewFile
    added: Added
    resolved: dict[str, PhotoVotes]
    lost: tuple[str, ...]
    root: Path | None
    new_labels: tuple[str, ...] = ()

    @property
    def by_label(self) -> dict[str, int]:
        """Count the new votes by label, most frequent first."""
        return dict(Counter(vote.label for vote in self.added.votes if vote.label).most_common())

    @property
    def without_sha256(self) -> int:
        """Count the new votes whose photo is identified only by its path, because the file is missing."""
        return sum(not vote.sha256 for vote in self.added.votes)


def import_corrections(
    file: Path, store: CorrectionStore, options: ImportOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Imported:
    """Add a file's votes to the store, unless a vote is invalid."""
    completed = _completed(file.absolute(), options)
    review = read_review(file, completed, now())
    new = _new_labels(file, review, store.votes(), options.new_labels)
    added = store.add(list(map(_hashed, review.timed)), list(map(_hashed, review.untimed)))
    places = dict.fromkeys(vote.image for vote in review.votes if vote.path is not None)
    lost = tuple(place for place in places if not os.path.isfile(place))  # noqa: PTH113 - Path.is_file may raise errors
    root = None if options.image_root else completed.image_root
    return Imported(review, added, resolve(added.all), lost, root, new)


def _new_labels(file: Path, review: ReviewFile, before: Sequence[Vote], meant: Sequence[str]) -> tuple[str, ...]:
    known = {vote.label for vote in before} | {vote.was for vote in (*before, *review.votes)} | review.named
    new = {vote.label for vote in review.votes} - {*map(label_text, meant), ""} - known
    if path := next((label for label in sorted(new) if PATH_MARK in label), None):
        msg = (
            f"Expected names of classes in {file}, but {path!r} looks like a path in a tree; the file was not "
            f"imported. Write the class's own name, or pass --new-label {shlex.quote(path)} if this is its name."
        )
        raise InputError(msg)
    if near := _near_labels(new, known - {""}):
        on_purpose = " ".join(f"--new-label {shlex.quote(label)}" for label in near)
        questions = " ".join(f"{label}: do you mean {likely}?" for label, likely in near.items())
        msg = (
            f"{questions} Expected known labels in {file}; the file was not imported. Correct these labels and import "
            f"the file again, or pass {on_purpose}."
        )
        raise InputError(msg)
    return tuple(sorted(new)) if known - {""} else ()


def _near_labels(new: set[str], known: set[str]) -> dict[str, str]:
    by_folded = {label.casefold(): label for label in sorted(known, reverse=True)}
    matches = {label: get_close_matches(label.casefold(), by_folded, n=1, cutoff=_ALIKE) for label in sorted(new)}
    return {label: by_folded[closest[0]] for label, closest in matches.items() if closest}


def _completed(file: Path, options: ImportOptions) -> ImportOptions:
    """Take open options from the job or run in the file's folder, if its photo folder and image column exist."""
    run = Run(file.parent)
    if (run.path / "args.json").is_file():
        return replace(options, image_root=options.image_root or _there(data_folder(Path(run.args().data))))
    job = _job_of(file.parent)
    if job is None:
        return options
    root = None if is_url(job.spec.image_root) else _there(Path(job.spec.image_root))
    names = read_delimited(file).schema.names if file.is_file() else ()
    column, prefix = job.spec.image_column, job.spec.options.prefix
    return replace(
        options,
        image_root=options.image_root or root,
        image_column=options.image_column or (column if column in names else None),
        prefix=prefix if f"{prefix}{CORRECT_LABEL}" in names else "",
        above_classes=frozenset(map(label_text, (job.model.taxonomy or {}).values())),
    )


def _job_of(folder: Path) -> Job | None:
    if (job := open_job(FolderStorage(folder))) is None and folder.parent.name == QUESTIONS:
        whole = open_job(FolderStorage(folder.parent.parent))
        return whole.question(folder.name) if whole else None
    return job


def question_of(file: Path) -> str:
    """The question whose folder contains the file, or an empty text."""
    job = _job_of(file.absolute().parent)
    return job.name if job else ""


def _there(folder: Path) -> Path | None:
    return folder if folder.is_absolute() and folder.is_dir() else None


def _hashed(vote: Vote) -> Vote:
    if vote.sha256 or not vote.path:
        return vote
    return replace(vote, sha256=sha256_now(vote.path) or "")


def read_review(path: Path, options: ImportOptions, now: datetime) -> ReviewFile:
    """Read a file row by row. Raises an InputError that lists all invalid rows.

    A row is a vote if ``correct_label`` is filled. Without this column, every row is a vote.
    """
    if not path.is_file():
        msg = f"Expected corrections in a CSV file at {path}, found none; check the path."
        raise InputError(msg)
    reader = read_delimited(path)
    columns = _columns(path, reader.schema.names, options)
    own_time = min(datetime.fromtimestamp(path.stat().st_mtime, UTC), now)
    folder = (options.image_root or path.parent).absolute()
    places = PhotoLocator(str(folder))
    defaults = {"reviewer": options.reviewer or "", "at": own_time.isoformat()}
    timed: list[Vote] = []
    untimed: list[Vote] = []
    faults: list[tuple[int, str]] = []
    named: set[str] = set()
    number = 0
    rows = (row for batch in reader.batches for row in batch.to_pylist())
    for number, row in enumerate(rows, start=1):
        cells = {column: unescape_formula(row[name]) for column, name in columns.items()}
        named.update(map(label_text, _best(cells)))
        answer = _answer(cells)
        if answer is None:
            continue
        if options.image_root is None and CORRECT_LABEL in columns:  # a review.csv may have been moved
            answer["image"] = unescape_formula(row.get(f"{options.prefix}{THUMBNAIL}", "")).strip() or answer.get(
                "image", ""
            )
        if image := answer.get("image", "").strip():
            answer["image"] = places.url(image) or image if image.startswith("//") else places.name(image)
        filled = {name: text for name, text in answer.items() if text.strip()}
        try:
            vote = parse_vote({**defaults, **filled}, folder)
        except ValueError as error:
            hint = "; pass --reviewer NAME" if "expected a reviewer" in str(error) else ""
            faults.append((number, f"{error}{hint}"))
            continue
        faults += ((number, fault) for fault in _faults(vote, options, now))
        (timed if "at" in filled else untimed).append(vote)
    if faults:
        raise refuse_rows(path, faults, "the file was not imported; correct the rows and import the file again")
    return ReviewFile(number, tuple(timed), tuple(untimed), frozenset(named))


def _faults(vote: Vote, options: ImportOptions, now: datetime) -> Iterator[str]:
    if vote.label in options.above_classes:
        yield f"expected a class, but {vote.label!r} is a label above classes"
    if vote.at > now + _FAST_CLOCK:  # otherwise this vote would long override later votes
        yield f"expected a past time in the column at, got {vote.at.isoformat()}"


def _columns(path: Path, names: Sequence[str], options: ImportOptions) -> dict[str, str]:
    is_list = f"{options.prefix}{CORRECT_LABEL}" in names
    own = {*COLUMNS, _TOP_K, CORRECT_LABEL} - {"image"} - ({"remark", "note"} if is_list else set())
    columns = {name: f"{options.prefix}{name}" for name in own if f"{options.prefix}{name}" in names}
    named = options.image_column
    image = usual_image_column(names) if named is None else find_column(names, named)
    if image is None and named is not None:
        msg = f"Expected a column {named!r} in {path}, found {', '.join(names)}."
        raise InputError(msg)
    if image is not None and image not in columns.values():
        columns["image"] = image
    is_guess = "label" not in columns or _TOP_K in columns  # in review.csv, the column label is the model's label
    lacks_label = CORRECT_LABEL not in columns and is_guess
    if lacks_label or not {"image", "sha256"} & set(columns):
        lacks = f"a column label or {CORRECT_LABEL}" if lacks_label else "a column sha256, or a column with the photos"
        prefixed = next((name for name in names if name.endswith(f"_{CORRECT_LABEL}")), None) if lacks_label else None
        advice = (
            f"import the file from its job's folder, where Hangtag finds the prefix of {prefixed}"
            if prefixed
            else "rename a column, or pass --image-column"
        )
        msg = f"Expected {lacks} in {path}, found {', '.join(names)}; {advice}."
        raise InputError(msg)
    return columns


def _best(cells: Mapping[str, str]) -> list[str]:
    return [label for label in _CONFIDENCE.split(cells.get(_TOP_K, ""))[:-1] if label]


def _answer(cells: Mapping[str, str]) -> dict[str, str] | None:
    if CORRECT_LABEL not in cells:
        return {**cells}
    best, answer = _best(cells), cells[CORRECT_LABEL].strip()
    before = cells.get("was") or (best[0] if best else cells.get("label", ""))
    if remark := _REMARKS.get(answer.casefold().replace(" ", "_")):
        return {**cells, "label": "", "remark": remark.value, "was": before}
    return {**cells, "label": answer, "was": before} if answer else None
