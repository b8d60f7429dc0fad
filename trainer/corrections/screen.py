"""Shows corrections on a terminal, and as JSON."""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from catalogue.urls import readable
from models.errors import InputError, NothingNewError
from models.terminal import Console, print_table
from models.text import number_of
from trainer.corrections.apply import apply_to_job, find_labels
from trainer.corrections.importing import Imported, ImportOptions, import_corrections, question_of
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import COLUMNS, PhotoVotes, Vote, resolve, vote_cells
from worker.job.parts import CORRECT_LABEL

_DEFAULT: Final = Path("corrections.csv")
_CONFIG_SUFFIX: Final = ".toml"
_MOST_ROWS: Final = 30
_FEW_DIGITS: Final = 12


def open_store(path: Path | None, corrections_of: Callable[[Path], Path | None]) -> CorrectionStore:
    """The store at ``path``. If this is a retraining's config, ``corrections_of`` reads the store's path."""
    if path is None or path.suffix.lower() != _CONFIG_SUFFIX:
        return CorrectionStore(path or _DEFAULT)
    corrections = corrections_of(path)
    if corrections is None:
        msg = f'{path} has no setting for corrections; add corrections = "corrections.csv".'
        raise InputError(msg)
    return CorrectionStore(corrections)


def import_and_show(
    file: Path,
    corrections: Path | None,
    corrections_of: Callable[[Path], Path | None],
    options: ImportOptions,
    *,
    as_json: bool,
) -> None:
    """Import a file and show the result. Warnings go to stderr, so that ``--json`` stays JSON."""
    store, question = open_store(corrections, corrections_of), question_of(file)
    one_models = corrections is not None and corrections.suffix.lower() == _CONFIG_SUFFIX
    if not one_models and not store.path.stem.endswith(f"-{question}"):
        store = store.of_question(question)
    done = import_corrections(file, store, options)
    for remark in done.remarks:
        Console(stderr=True).say(remark, "yellow")
    if done.lost:
        lead = "1 path leads" if len(done.lost) == 1 else f"{len(done.lost):,} paths lead"
        Console(stderr=True).say(
            f"Warning: {lead} to no file; the first is {done.lost[0]}. Training cannot use these photos unless "
            "the data contains them: pass the photos' folder as --image-root, and import again.",
            "yellow",
        )
    if as_json:
        _print_json(_import_json(file, store, done))
    else:
        _show_import(file, store, done)
    if not done.file.votes:
        msg = (
            f"Expected an answer in {file}, found none in {number_of(done.file.rows, 'row')}; write the right "
            f"label into the column {CORRECT_LABEL}, even where the model was right, and import the file again."
        )
        raise NothingNewError(msg)


def _show_import(file: Path, store: CorrectionStore, done: Imported) -> None:
    console, added = Console(), done.added
    silent, repeated = done.file.rows - len(done.file.votes), len(done.file.votes) - len(added.votes) - added.known
    if done.root:
        console.say(f"Paths are relative to {done.root} (from the job or run next to {file.name})")
    counts = f"{len(added.votes):,} new, {added.known:,} known already"
    counts += f", {repeated:,} repeated" if repeated else ""
    console.say(
        f"{number_of(done.file.rows, 'row')}: {counts}{f', {silent:,} without an answer' if silent else ''}",
    )
    if done.by_label:
        labels = ", ".join(f"{label} {count:,}" for label, count in done.by_label.items())
        console.say(f"Labels of the new corrections: {labels}")
    if done.without_sha256:
        console.say(f"New corrections stored by path or URL, without a SHA-256: {done.without_sha256:,}", "yellow")
    _print_conflicts(console, done.resolved)
    photos = number_of(len(done.resolved), "photo")
    console.say(f"{store.path} now has {number_of(len(added.all), 'vote')} on {photos}")
    if done.file.votes and file.parent.suffix == ".job":
        into = "" if store.path.absolute() == _DEFAULT.absolute() else f" --corrections {shlex.quote(str(store.path))}"
        console.say(f"Next: hangtag corrections apply {shlex.quote(str(file.parent.with_suffix('')))}{into}", "dim")


def _import_json(file: Path, store: CorrectionStore, done: Imported) -> dict[str, Any]:
    return {
        "file": str(file),
        "into": str(store.path),
        "rows": done.file.rows,
        "new": len(done.added.votes),
        "known": done.added.known,
        "repeated": len(done.file.votes) - len(done.added.votes) - done.added.known,
        "without_answer": done.file.rows - len(done.file.votes),
        "image_root": str(done.root) if done.root else None,
        "without_file": len(done.lost),
        "first_without_file": done.lost[0] if done.lost else None,
        "without_sha256": done.without_sha256,
        "labels": done.by_label,
        "votes": len(done.added.all),
        "photos": len(done.resolved),
        "conflicts": [_photo_json(votes) for votes in done.resolved.values() if votes.in_conflict],
    }


def apply_and_show(labels: str, jobs: str, store: CorrectionStore, output: Path | None, *, as_json: bool) -> None:
    """Write the corrected copy of a result, and show the number of changed rows."""
    result = find_labels(labels, jobs)
    stores = [store.of_question(one.name) for one in result.job.questions]
    if not any(one.path.exists() for one in stores):
        places = " or ".join(str(one.path) for one in stores)
        msg = (
            f"Expected corrections in {places}, found none; pass the file as --corrections, or import "
            "corrections first."
        )
        if len(stores) > 1:
            msg += f" Each question has its own file next to {store.path}."
        raise InputError(msg)
    done = apply_to_job(result, store, output)
    if as_json:
        audit = done.audit and done.audit.model_dump()
        products = {file: counts.model_dump() for file, counts in done.products.items()}
        _print_json({**vars(done), "reviewed": done.reviewed, "audit": audit, "products": products})
        return
    console, several = Console(), len(stores) > 1
    table = Table("", title=number_of(done.rows, "row"), title_justify="left")
    table.add_column("labels" if several else "rows", justify="right")
    table.add_row("reviewed", f"{done.reviewed:,}")
    table.add_row("  label changed", f"{done.changed:,}")
    table.add_row("  label confirmed", f"{done.confirmed:,}")
    table.add_row("  no label: not a product, or more than one", f"{done.remarked:,}")
    table.add_row("reviewers disagree: unchanged", f"{done.in_conflict:,}")
    print_table(table, console)
    if done.audit:
        console.say(f"Audit: {done.audit.words}")
    for question, (file, counts) in zip(result.job.questions, done.products.items(), strict=False):
        console.say(f"Products: {counts.words}: {file}")
        if counts.labeled:
            accepted = f"{question.spec.options.prefix}accepted_label"
            console.say(f"Publish: {accepted} ({number_of(counts.labeled, 'product')}): {file}")
    for file, rows in done.to_review.items():
        if rows:
            console.say(f"Still to review: {number_of(rows, 'row')}: {file}")
    console.say(f"Corrected copy: {done.output}")
    if done.reviewed:
        console.say("Next: hangtag retrain CONFIG.toml", "dim")


def list_corrections(store: CorrectionStore, *, as_json: bool) -> None:
    """Show the agreed corrections, latest first, and the photos on which reviewers disagree."""
    votes = store.votes()
    resolved = resolve(votes)
    agreed = [one for one in resolved.values() if not one.in_conflict]
    if as_json:
        conflicts = [_photo_json(one) for one in resolved.values() if one.in_conflict]
        decided = [{**_photo_json(one), "label": one.label, "remark": one.remark} for one in agreed]
        _print_json({"file": str(store.path), "votes": len(votes), "agreed": decided, "conflicts": conflicts})
        return
    console = Console()
    if not votes:
        own = " or ".join(map(str, store.question_files()))
        question = f"each question has its own file: pass {own} as --corrections"
        advice = question if own else "import some: hangtag corrections import review.csv"
        console.say(f"No corrections in {store.path}; {advice}")
        return
    if remarks := Counter(one.remark.replace("_", " ") for one in agreed if one.remark):
        counts = ", ".join(f"{remark} {count:,}" for remark, count in remarks.most_common())
        console.say(f"Photos without a label: {counts}")
    table = Table("photo", "label", "reviewers, at", title=f"Photos with a correction: {len(agreed):,}")
    table.title_justify = "left"
    for one in sorted(agreed, key=lambda one: one.votes[0], reverse=True)[:_MOST_ROWS]:
        first = one.votes[0]
        cells = (_photo(first), _decision(first), f"{', '.join(one.reviewers)}\n{_minute(first)}")
        table.add_row(*map(escape, cells))
    print_table(table, console)
    if len(agreed) > _MOST_ROWS:
        console.say(f"and {len(agreed) - _MOST_ROWS:,} earlier corrections: --json prints all")
    _print_conflicts(console, resolved)


def _print_conflicts(console: Console, resolved: Mapping[str, PhotoVotes]) -> None:
    conflicts = [votes for votes in resolved.values() if votes.in_conflict]
    if not conflicts:
        return
    title = f"{number_of(len(conflicts), 'photo')} on which reviewers disagree: no label changes until reviewers agree"
    table = Table("photo", "label", "reviewer, at", title=title, title_justify="left")
    for conflict in conflicts[:_MOST_ROWS]:
        for place, vote in enumerate(conflict.votes):
            cells = ("" if place else _photo(vote), _decision(vote), f"{vote.reviewer}\n{_minute(vote)}")
            table.add_row(*map(escape, cells))
        table.add_section()
    print_table(table, console, style="yellow")
    if len(conflicts) > _MOST_ROWS:
        more = f"and {len(conflicts) - _MOST_ROWS:,} more: hangtag corrections list --json prints all"
        console.say(more, "yellow")


def _print_json(record: object) -> None:
    print(json.dumps(record, ensure_ascii=False, indent=1))


def _photo(vote: Vote) -> str:
    return readable(vote_cells(vote)[0]) or f"{vote.sha256[:_FEW_DIGITS]}…"


def _decision(vote: Vote) -> str:
    decision = vote.label or vote.remark.replace("_", " ")
    return f"{decision}\nwas {vote.was}" if vote.was else decision


def _minute(vote: Vote) -> str:
    return f"{vote.at:%Y-%m-%d %H:%M}"


def _photo_json(votes: PhotoVotes) -> dict[str, Any]:
    cells = [dict(zip(COLUMNS, vote_cells(vote), strict=True)) for vote in votes.votes]
    return {"photo": votes.votes[0].photo, "reviewers": votes.reviewers, "votes": cells}
