"""Imports a reviewer's file: a filled ``review.csv``, or rows in the format of ``corrections.csv``."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from catalogue.catalogue import find_column, usual_image_column
from catalogue.photo import PhotoLocator
from catalogue.readers import Reader, read_delimited
from catalogue.text_file import text_file
from catalogue.urls import is_url
from catalogue.writers import unescape_formula
from models.errors import InputError
from models.photo import NONE
from models.storage.storage import FolderStorage
from models.taxonomy import PATH_MARK
from models.text import label_text, number_of
from trainer.corrections.store import Added, CorrectionStore, refuse_rows
from trainer.corrections.votes import COLUMNS, PhotoVotes, Remark, Vote, parse_vote, resolve
from trainer.data.csv_files import data_folder
from trainer.data.photo_files import sha256_now
from trainer.run import Run
from worker.job.job import QUESTIONS, Job, open_job
from worker.job.model import bundle_of
from worker.job.parts import CORRECT_LABEL, THUMBNAIL

_FAST_CLOCK: Final = timedelta(days=1)
_TOP_K: Final = "top_k"
_CONFIDENCE: Final = re.compile(r" [0-9]\.[0-9]{2}(?:; |$)")
"""Matches the confidence after each label in a ``top_k`` cell."""
_REMARKS: Final = {NONE: Remark.NOT_A_PRODUCT, **{remark.value: remark for remark in Remark if remark}}
"""Values of ``correct_label`` that are not classes."""
_ALIKE: Final = 0.8
"""Least difflib ratio of a typo to its class: 0.86 for ``hatt`` and ``hat``, but 0.75 for ``hats`` and ``cats``."""
_MOST_NAMES: Final = 10


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import. If an image option is None, its value comes from the job or run next to the file.

    ``reviewer``: the name for rows without a reviewer. ``new_labels``: unknown labels to accept. The job sets
    ``prefix`` (of Hangtag's columns) and ``above_classes`` (labels to refuse). The job or run sets ``classes``.
    """

    reviewer: str | None = None
    image_column: str | None = None
    image_root: Path | None = None
    new_labels: tuple[str, ...] = ()
    encoding: str | None = None
    prefix: str = ""
    classes: frozenset[str] = frozenset()
    above_classes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReviewFile:
    """The votes in a review file.

    ``named``: labels of the model. ``rows_of``: for each label, the rows that vote for it (the first row is 1).
    """

    rows: int
    timed: tuple[Vote, ...]
    untimed: tuple[Vote, ...]
    named: frozenset[str]
    rows_of: Mapping[str, list[int]]

    @property
    def votes(self) -> tuple[Vote, ...]:
        """All votes."""
        return (*self.timed, *self.untimed)


@dataclass(frozen=True)
class Imported:
    """The result of an import, with all votes on each photo.

    ``lost``: paths without a file. ``root``: the photos' folder from the job or run, if any. ``remarks``: the import's
    own decisions.
    """

    file: ReviewFile
    added: Added
    resolved: dict[str, PhotoVotes]
    lost: tuple[str, ...]
    root: Path | None
    remarks: tuple[str, ...]

    @property
    def by_label(self) -> dict[str, int]:
        """Count the new votes by label, most frequent first."""
        return dict(Counter(vote.label for vote in self.added.votes if vote.label).most_common())

    @property
    def without_sha256(self) -> int:
        """Number of new votes without a SHA-256: the photo is a URL, or was not found."""
        return sum(not vote.sha256 for vote in self.added.votes)


def import_corrections(
    file: Path, store: CorrectionStore, options: ImportOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Imported:
    """Add a file's votes to the store, unless a vote is invalid or has an unknown label."""
    job = _job_of(file.absolute().parent)
    completed = _completed(file.absolute(), options, job)
    moved = "" if completed.prefix else _moved_prefix(file, options, accept=not job and not store.question_files())
    completed = replace(completed, prefix=completed.prefix or moved)
    review = read_review(file, completed, now())
    read_as = _read_as(file, review, completed, store.votes())

    def final(vote: Vote) -> Vote:
        return _hashed(replace(vote, label=read_as.get(vote.label, vote.label)))

    added = store.add(list(map(final, review.timed)), list(map(final, review.untimed)))
    places = dict.fromkeys(vote.image for vote in review.votes if vote.path is not None)
    lost = tuple(place for place in places if not os.path.isfile(place))  # noqa: PTH113 - Path.is_file may raise errors
    root = None if options.image_root else completed.image_root
    return Imported(review, added, resolve(added.all), lost, root, tuple(_remarks(review, read_as, moved)))


def _remarks(review: ReviewFile, read_as: Mapping[str, str], moved: str) -> Iterator[str]:
    if moved:
        yield (
            f"Read the columns that begin with {moved}. If the job has several models, pass this model's own file as "
            "--corrections."
        )
    for label, known in read_as.items():
        yield f"Read as {known[:80]}: {label[:80]!r} ({number_of(len(review.rows_of[label]), 'row')})"


def _read_as(file: Path, review: ReviewFile, options: ImportOptions, before: Sequence[Vote]) -> dict[str, str]:
    """Match labels with other capitals to known labels. Refuse labels that are new to the model and to earlier votes.

    If no label is known, accept any class name.
    """
    known = {vote.label for vote in before} | {vote.was for vote in (*before, *review.votes)}
    known = (known | review.named | options.classes) - options.above_classes - {""}
    accepted = known | {*map(label_text, options.new_labels), ""}
    by_folded = defaultdict[str, list[str]](list)
    for label in sorted(accepted):
        by_folded[label.casefold()].append(label)
    others = [label for label in review.rows_of if label not in accepted]
    read_as = {label: alike[0] for label in others if len(alike := by_folded.get(label.casefold(), [])) == 1}
    faults = [
        (row, _unknown_words(label, by_folded))
        for label in others
        if label not in read_as and (known or PATH_MARK in label)
        for row in review.rows_of[label]
    ]
    if faults:
        to_do = (
            "the file was not imported. Correct these labels and import the file again, or pass --new-label LABEL for "
            f"each new class. Known labels: {_names_words(sorted(known))}. In {CORRECT_LABEL}, 'not a product' "
            "and 'more than one' are answers, too"
        )
        raise refuse_rows(file, faults, to_do)
    return read_as


def _unknown_words(label: str, by_folded: Mapping[str, list[str]]) -> str:
    words, folded = f"unknown label {label[:80]!r}", label.casefold()
    if PATH_MARK in label:
        return f"{words}; it looks like a path in a tree: write the class's own name"
    near = get_close_matches(folded, by_folded, n=1, cutoff=_ALIKE)
    return f"{words}; do you mean {' or '.join(repr(one[:80]) for one in by_folded[near[0]])}?" if near else words


def _completed(file: Path, options: ImportOptions, job: Job | None) -> ImportOptions:
    run = Run(file.parent)
    if (run.path / "args.json").is_file():
        args = run.args()
        root = options.image_root or _there(data_folder(Path(args.data)))
        return replace(options, image_root=root, classes=frozenset(args.classes))
    if job is None:
        return options
    root = None if is_url(job.spec.image_root) else _there(Path(job.spec.image_root))
    names = _reader(file, options).schema.names if file.is_file() else ()
    column, prefix, bundle = job.spec.image_column, job.spec.options.prefix, bundle_of(job)
    return replace(
        options,
        image_root=options.image_root or root,
        image_column=options.image_column or (column if column in names else None),
        prefix=prefix if f"{prefix}{CORRECT_LABEL}" in names else "",
        classes=frozenset(map(label_text, bundle.manifest.labels if bundle else ())),
        above_classes=frozenset(map(label_text, (job.model.taxonomy or {}).values())),
    )


def _moved_prefix(file: Path, options: ImportOptions, *, accept: bool) -> str:
    """The prefix of Hangtag's columns in a file outside its job's folder. ``incorrect_label`` has no prefix."""
    names: Sequence[str] = _reader(file, options).schema.names if file.is_file() else ()
    ends = [name.removesuffix(CORRECT_LABEL) for name in names if name.endswith(CORRECT_LABEL)]
    own = [prefix for prefix in ends if {f"{prefix}label", f"{prefix}sha256"} & set(names)]
    if len(own) != 1 or "" in ends:
        return ""
    if not accept:
        msg = (
            f"Expected {file} in its job's folder: its columns begin with {own[0]}, which may be a question's name; "
            "copy it there. Without the job, pass the question's own file as --corrections."
        )
        raise InputError(msg)
    return own[0]


def _job_of(folder: Path) -> Job | None:
    if (job := open_job(FolderStorage(folder))) is None and folder.parent.name == QUESTIONS:
        whole = open_job(FolderStorage(folder.parent.parent))
        return whole.question(folder.name) if whole else None
    return job


def question_of(file: Path) -> str:
    """The name of the question whose folder has the file, or an empty string."""
    job = _job_of(file.absolute().parent)
    return job.name if job else ""


def _reader(file: Path, options: ImportOptions) -> Reader:
    return read_delimited(text_file(file, encoding=options.encoding, option=True))


def _there(folder: Path) -> Path | None:
    return folder if folder.is_absolute() and folder.is_dir() else None


def _hashed(vote: Vote) -> Vote:
    if vote.sha256 or not vote.path:
        return vote
    return replace(vote, sha256=sha256_now(vote.path) or "")


def read_review(path: Path, options: ImportOptions, now: datetime) -> ReviewFile:
    """Read a file row by row. Raises an InputError that lists all invalid rows.

    A row is a vote if its ``correct_label`` is filled, or if the file lacks this column.
    """
    if not path.is_file():
        msg = f"Expected corrections in a CSV file at {path}, found none; check the path."
        raise InputError(msg)
    reader = _reader(path, options)
    columns = _columns(path, reader.schema.names, options)
    own_time = min(datetime.fromtimestamp(path.stat().st_mtime, UTC), now)
    folder = (options.image_root or path.parent).absolute()
    places = PhotoLocator(str(folder))
    defaults = {"reviewer": options.reviewer or "", "at": own_time.isoformat()}
    timed: list[Vote] = []
    untimed: list[Vote] = []
    faults: list[tuple[int, str]] = []
    named: set[str] = set()
    rows_of = defaultdict[str, list[int]](list)
    number = 0
    rows = (row for batch in reader.batches for row in batch.to_pylist())
    for number, row in enumerate(rows, start=1):
        cells = {column: unescape_formula(row[name]) for column, name in columns.items()}
        named.update(map(label_text, _best(cells)))
        answer = _answer(cells)
        if answer is None:
            continue
        if options.image_root is None and CORRECT_LABEL in columns:  # a moved review.csv has wrong paths
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
        rows_of[vote.label].append(number)
    if faults:
        raise refuse_rows(path, faults, "the file was not imported; correct the rows and import the file again")
    return ReviewFile(number, tuple(timed), tuple(untimed), frozenset(named), rows_of)


def _faults(vote: Vote, options: ImportOptions, now: datetime) -> Iterator[str]:
    if vote.label in options.above_classes:
        yield f"expected a class, but {vote.label!r} is a label that groups classes"
    if vote.at > now + _FAST_CLOCK:  # a future time would override later votes
        yield f"expected a past time in the column at, got {vote.at.isoformat()}"


def _columns(path: Path, names: Sequence[str], options: ImportOptions) -> dict[str, str]:
    is_list = f"{options.prefix}{CORRECT_LABEL}" in names
    own = {*COLUMNS, _TOP_K, CORRECT_LABEL} - {"image"} - ({"remark", "note"} if is_list else set())
    columns = {name: f"{options.prefix}{name}" for name in own if f"{options.prefix}{name}" in names}
    named = options.image_column
    image = usual_image_column(names) if named is None else find_column(names, named)
    if image is None and named is not None:
        msg = f"Expected a column {named!r} in {path}, found {_names_words(names)}."
        raise InputError(msg)
    if image is not None and image not in columns.values():
        columns["image"] = image
    is_guess = "label" not in columns or _TOP_K in columns  # in review.csv, the column label is the model's label
    lacks_label = CORRECT_LABEL not in columns and is_guess
    if lacks_label or not {"image", "sha256"} & set(columns):
        lacks = f"a column label or {CORRECT_LABEL}" if lacks_label else "a column sha256, or a column with the photos"
        msg = f"Expected {lacks} in {path}: rename a column, or pass --image-column. Found {_names_words(names)}."
        raise InputError(msg)
    return columns


def _names_words(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


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
