"""How corrections look on a terminal, and as JSON."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from models.errors import InputError, NothingNewError
from models.terminal import Console, print_table
from models.text import number_of
from trainer.corrections.apply import apply_to_job, find_labels
from trainer.corrections.importing import Imported, ImportOptions, import_corrections
from trainer.corrections.remarks import REMARK_COLUMNS, remark_cells
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import COLUMNS, PhotoVotes, Resolved, Vote, ahead_sentence, resolve, vote_cells
from worker.job.columns import CORRECT_LABEL

_DEFAULT: Final = Path("corrections.csv")
_MOST_ROWS: Final = 30
_FEW_DIGITS: Final = 12


def chosen_store(
    path: Path | None, config: Path | None, corrections_of: Callable[[Path], Path | None]
) -> CorrectionStore:
    """The store that a person names, or that a retraining reads (``corrections_of`` its config).

    Raises:
        InputError: both are named, or the retraining reads none.
    """
    if config is None:
        return CorrectionStore(path or _DEFAULT)
    if path is not None:
        msg = f"Expected {path} or --config {config}, got both; the config names a file of its own."
        raise InputError(msg)
    corrections = corrections_of(config)
    if corrections is None:
        msg = f'{config} names no corrections; add corrections = "corrections.csv" to it.'
        raise InputError(msg)
    return CorrectionStore(corrections)


def import_and_show(file: Path, store: CorrectionStore, options: ImportOptions, *, as_json: bool) -> None:
    """Import a file, and say what came of it; warnings go to stderr, so that ``--json`` stays JSON.

    Raises:
        NothingNewError: nobody has answered in any of its rows.
    """
    done = import_corrections(file, store, options)
    _show_import(file, store, done, as_json=as_json)
    if done.file.silent == done.file.rows:
        msg = (
            f"Expected an answer in {file}, found none in {number_of(done.file.rows, 'row')}; write the right label "
            f"into the column {CORRECT_LABEL}, also where the model was right, and import the file again."
        )
        raise NothingNewError(msg)


def _show_import(file: Path, store: CorrectionStore, done: Imported, *, as_json: bool) -> None:
    if done.lost:
        lead = "1 path leads" if len(done.lost) == 1 else f"{len(done.lost):,} paths lead"
        _warn(
            f"{lead} to no file, the first is {done.lost[0]}. Photos that only reviewers have labelled cannot "
            "be learned from without their files: say where the photos are with --image-root, and import again."
        )
    _warn_of_ahead(store)
    if as_json:
        _print_json(_import_json(file, store, done))
        return
    console, added, resolved = Console(), done.added, done.resolved
    silent = f", {done.file.silent:,} without a correction" if done.file.silent else ""
    labels = ", ".join(f"{label} {count:,}" for label, count in done.by_label.items())
    if done.root:
        _say(console, f"Relative paths start at {done.root}, as the job or the run beside {file.name} says")
    _say(
        console, f"{number_of(done.file.rows, 'row')}: {len(added.votes):,} new, {added.known:,} known already{silent}"
    )
    if added.repaired:
        _say(console, f"{added.repaired:,} repaired: their paths lead to their photos now")
    if labels:
        _say(console, f"Labels of the new ones: {labels}")
    if done.pathbound:
        _say(console, f"{done.pathbound:,} name a photo that is not there; only its path identifies it", "yellow")
    _print_conflicts(console, resolved)
    photos = number_of(len(resolved.agreed) + len(resolved.conflicts), "photo")
    _say(console, f"Kept in {store.path}: {number_of(len(added.all), 'vote')} on {photos}")


def _warn(text: str) -> None:
    _say(Console(stderr=True), f"Warning: {text}", "yellow")


def _warn_of_ahead(store: CorrectionStore) -> None:
    if ahead := store.ahead():
        _warn(ahead_sentence(ahead, store.path))


def apply_and_show(labels: str, jobs: str, store: CorrectionStore, output: Path | None, *, as_json: bool) -> None:
    """Write the corrected copy of a result, and say what became of its rows.

    Raises:
        InputError: there is no file of corrections or remarks.
    """
    found = find_labels(labels, jobs)
    stores = [store.of_question(one.name) for one in found.job.questions] if found.job else [store]
    if not any(one.path.exists() or one.remarks.path.exists() for one in stores):
        places = " or ".join(str(one.path) for one in stores)
        msg = f"Expected corrections in {places}, found none; name their file with --file, or import some first."
        if len(stores) > 1:
            msg += f" Each question has a file of its own beside that of --file, {store.path}."
        raise InputError(msg)
    done = apply_to_job(found, store, output)
    _warn_of_ahead(store)
    if as_json:
        audit = done.audit and done.audit.model_dump()
        _print_json({**vars(done), "reviewed": done.reviewed, "audit": audit})
        return
    console = Console()
    table = Table(title=number_of(done.rows, "row"), title_justify="left")
    table.add_column("")
    table.add_column("labels" if len(stores) > 1 else "rows", justify="right")
    counts = {
        "reviewed": done.reviewed,
        "  label changed": done.changed,
        "  label confirmed": done.confirmed,
        "  no label: not a product, or more than one": done.remarked,
        "reviewers disagree: left as they were": done.in_conflict,
        f"{'rows ' if len(stores) > 1 else ''}to review, without an answer yet": done.left,
    }
    for what, count in counts.items():
        table.add_row(what, f"{count:,}")
    print_table(table, console)
    if done.audit:
        _say(console, f"Audit: {done.audit.words}")
    _say(console, f"Corrected copy: {done.output}")


def list_corrections(store: CorrectionStore, *, as_json: bool) -> None:
    """Show what reviewers agree on, the latest first, and on which photos they do not."""
    votes = store.votes()
    resolved = resolve(votes)
    _warn_of_ahead(store)
    if as_json:
        remarks = [dict(zip(REMARK_COLUMNS, remark_cells(remark), strict=True)) for remark in store.remarks.remarks()]
        _print_json({"file": str(store.path), "votes": len(votes), **_resolved_json(resolved), "remarks": remarks})
        return
    console = Console()
    _print_remarks(console, store)
    if not votes:
        _say(console, f"No corrections in {store.path}; import some: hangtag corrections import review.csv")
        return
    latest = sorted(resolved.agreed, key=lambda agreed: agreed.votes[0], reverse=True)
    title = f"Photos with a correction: {len(latest):,}"
    table = Table("photo", "label", "reviewers, at", title=title, title_justify="left")
    for agreed in latest[:_MOST_ROWS]:
        first = agreed.votes[0]
        cells = (_photo(first), _label(first), f"{', '.join(agreed.reviewers)}\n{_minute(first)}")
        table.add_row(*map(escape, cells))
    print_table(table, console)
    if len(latest) > _MOST_ROWS:
        _say(console, f"and {len(latest) - _MOST_ROWS:,} earlier ones: --json prints all")
    _print_conflicts(console, resolved)


def _print_remarks(console: Console, store: CorrectionStore) -> None:
    kinds = Counter(remark.kind for remark in store.standing_remarks())
    if kinds:
        counts = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in kinds.most_common())
        _say(console, f"Remarks, which are no labels: {counts} (in {store.remarks.path.name})")


def show_photo(store: CorrectionStore, photo: str, *, as_json: bool) -> None:
    """Show every vote on a photo, in order.

    Raises:
        InputError: there is none.
    """
    places = {photo, str(Path(photo).absolute())}
    digits = photo.lower() if len(photo) >= _FEW_DIGITS else None
    votes = [
        vote
        for vote in (*store.votes(), *store.ahead())
        if vote.image in places or (digits and vote.sha256.startswith(digits))
    ]
    if not votes:
        msg = f"Expected a photo that {store.path} knows, by path, URL or SHA-256, got {photo}."
        raise InputError(msg)
    if as_json:
        _print_json([_vote_json(vote) for vote in votes])
        return
    table = Table("photo", "label", "reviewer, at, model", title=f"Votes: {len(votes):,}", title_justify="left")
    for vote in votes:
        said = "\n".join(filter(None, [vote.reviewer, _minute(vote), vote.model]))
        table.add_row(*map(escape, (_photo(vote), _label(vote), said)))
    print_table(table, Console())


def _print_conflicts(console: Console, resolved: Resolved) -> None:
    if not resolved.conflicts:
        return
    count = len(resolved.conflicts)
    title = f"{number_of(count, 'photo')} on which reviewers disagree: left out until they agree"
    table = Table("photo", "label", "reviewer, at", title=title, title_justify="left")
    for conflict in resolved.conflicts[:_MOST_ROWS]:
        for place, vote in enumerate(conflict.votes):
            cells = ("" if place else _photo(vote), vote.label, f"{vote.reviewer}\n{_minute(vote)}")
            table.add_row(*map(escape, cells))
        table.add_section()
    print_table(table, console, style="yellow")
    if count > _MOST_ROWS:
        _say(console, f"and {count - _MOST_ROWS:,} more: hangtag corrections list --json prints all", "yellow")


def _label(vote: Vote) -> str:
    return f"{vote.label}\nwas {vote.was}" if vote.was else vote.label


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _print_json(found: object) -> None:
    print(json.dumps(found, ensure_ascii=False, indent=1))


def _photo(vote: Vote) -> str:
    return vote_cells(vote)[0] or f"{vote.sha256[:_FEW_DIGITS]}…"


def _minute(vote: Vote) -> str:
    return f"{vote.at:%Y-%m-%d %H:%M}"


def _vote_json(vote: Vote) -> dict[str, str]:
    return dict(zip(COLUMNS, vote_cells(vote), strict=True))


def _photo_json(one: PhotoVotes) -> dict[str, Any]:
    return {"photo": one.votes[0].photo, "votes": [_vote_json(vote) for vote in one.votes]}


def _resolved_json(resolved: Resolved) -> dict[str, Any]:
    agreed = [{**_photo_json(one), "label": one.label, "reviewers": one.reviewers} for one in resolved.agreed]
    return {"agreed": agreed, "conflicts": [_photo_json(one) for one in resolved.conflicts]}


def _import_json(file: Path, store: CorrectionStore, done: Imported) -> dict[str, Any]:
    return {
        "file": str(file),
        "into": str(store.path),
        "rows": done.file.rows,
        "new": len(done.added.votes),
        "known": done.added.known,
        "repaired": done.added.repaired,
        "without_answer": done.file.silent,
        "image_root": str(done.root) if done.root else None,
        "without_file": len(done.lost),
        "first_without_file": done.lost[0] if done.lost else None,
        "without_sha256": done.pathbound,
        "labels": done.by_label,
        "votes": len(done.added.all),
        "photos": len(done.resolved.agreed) + len(done.resolved.conflicts),
        "conflicts": _resolved_json(done.resolved)["conflicts"],
    }
