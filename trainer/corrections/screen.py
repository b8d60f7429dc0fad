"""How corrections look on a terminal, and as JSON."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from models.errors import InputError
from models.terminal import Console
from models.text import number_of
from trainer.corrections.importing import Imported, SheetOptions, import_corrections
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import COLUMNS, Agreed, Conflict, Settled, Word, ahead_sentence, settle, word_cells
from trainer.retrain.config import read_config

__all__ = ["chosen_store", "import_and_show", "list_corrections", "show_photo"]

_DEFAULT: Final = Path("corrections.csv")
_MOST_ROWS: Final = 30
_FEW_DIGITS: Final = 12
_MOST_WIDTH: Final = 20
_LEAST_WIDTH: Final = 24


def chosen_store(path: Path | None, config: Path | None) -> CorrectionStore:
    """The store that a person names, or that a retraining reads.

    Raises:
        InputError: both are named, or the retraining reads none.
    """
    if config is None:
        return CorrectionStore(path or _DEFAULT)
    if path is not None:
        msg = f"Expected {path} or --config {config}, got both; the config names a file of its own."
        raise InputError(msg)
    corrections = read_config(config).corrections
    if corrections is None:
        msg = f'{config} names no corrections; add corrections = "corrections.csv" to it.'
        raise InputError(msg)
    return CorrectionStore(corrections)


def import_and_show(file: Path, store: CorrectionStore, options: SheetOptions, *, as_json: bool) -> None:
    """Import a file, and say what came of it."""
    done = import_corrections(file, store, options)
    _warn_of_lost(done)
    _warn_of_ahead(store)
    if as_json:
        print(json.dumps(_import_json(file, store, done), ensure_ascii=False, indent=1))
        return
    console = Console()
    new = len(done.added.words)
    silent = f", {done.sheet.silent:,} without a correction" if done.sheet.silent else ""
    labels = ", ".join(f"{label} {count:,}" for label, count in done.by_label.items())
    if done.root:
        _say(console, f"Relative paths start at {done.root}, as the job or the run beside {file.name} says")
    _say(console, f"{number_of(done.sheet.rows, 'row')}: {new:,} new, {done.added.known:,} known already{silent}")
    if done.added.mended:
        _say(console, f"{done.added.mended:,} mended: their paths lead to their photos now")
    if labels:
        _say(console, f"Labels of the new ones: {labels}")
    if done.pathbound:
        _say(console, f"{done.pathbound:,} name a photo that is not there; they are known by its path alone", "yellow")
    _print_conflicts(console, done.settled)
    _say(
        console,
        f"Kept in {store.path}: {number_of(len(done.added.all), 'word')} "
        f"on {number_of(_photos(done.settled), 'photo')}",
    )


def _warn_of_lost(done: Imported) -> None:
    """On stderr, where it is seen beside ``--json``, too."""
    if done.lost:
        lead = "1 path leads" if len(done.lost) == 1 else f"{len(done.lost):,} paths lead"
        _say(
            Console(stderr=True),
            f"Warning: {lead} to no file, the first is {done.lost[0]}. Photos that only reviewers have labelled cannot "
            "be learned from without their files: say where the photos are with --image-root, and import again.",
            "yellow",
        )


def _warn_of_ahead(store: CorrectionStore) -> None:
    """Warn on stderr, so that ``--json`` stays JSON."""
    if ahead := store.ahead():
        _say(Console(stderr=True), f"Warning: {ahead_sentence(ahead, store.path)}", "yellow")


def list_corrections(store: CorrectionStore, *, as_json: bool) -> None:
    """Show what reviewers agree on, the latest first, and on which photos they do not."""
    words = store.words()
    settled = settle(words)
    _warn_of_ahead(store)
    if as_json:
        whole = {"file": str(store.path), "words": len(words), **_settled_json(settled)}
        print(json.dumps(whole, ensure_ascii=False, indent=1))
        return
    console = Console()
    if not words:
        _say(console, f"No corrections in {store.path}; bring some in: hangtag corrections import review.csv")
        return
    latest = sorted(settled.agreed, key=lambda agreed: agreed.words[0], reverse=True)
    table = _table(f"Photos with a correction: {len(latest):,}", ("photo", "label", "reviewers, at"))
    for agreed in latest[:_MOST_ROWS]:
        first = agreed.words[0]
        cells = (_photo(first), _label(agreed.label, first.was), f"{', '.join(agreed.reviewers)}\n{_minute(first)}")
        table.add_row(*map(escape, cells))
    console.print(table)
    if len(latest) > _MOST_ROWS:
        _say(console, f"and {len(latest) - _MOST_ROWS:,} earlier ones: --json prints all")
    _print_conflicts(console, settled)


def show_photo(store: CorrectionStore, photo: str, *, as_json: bool) -> None:
    """Show every word on a photo, in order.

    Raises:
        InputError: there is none.
    """
    absolute = str(Path(photo).absolute())
    words = [
        word
        for word in (*store.words(), *store.ahead())
        if word.image in {photo, absolute} or _begins(word.sha256, photo)
    ]
    if not words:
        msg = f"Expected a photo that {store.path} knows, by path, URL or SHA-256, got {photo}."
        raise InputError(msg)
    if as_json:
        print(json.dumps([_word_json(word) for word in words], ensure_ascii=False, indent=1))
        return
    table = _table(f"Words: {len(words):,}", ("photo", "label", "reviewer, at, model"))
    for word in words:
        said = "\n".join(filter(None, [word.reviewer, _minute(word), word.model]))
        table.add_row(*map(escape, (_photo(word), _label(word.label, word.was), said)))
    Console().print(table)


def _begins(sha256: str, text: str) -> bool:
    return len(text) >= _FEW_DIGITS and sha256.startswith(text.lower())


def _print_conflicts(console: Console, settled: Settled) -> None:
    if not settled.conflicts:
        return
    count = len(settled.conflicts)
    title = f"{count:,} photo{'s' * (count > 1)} on which reviewers disagree: left out until they agree"
    table = _table(title, ("photo", "label", "reviewer, at"))
    for conflict in settled.conflicts[:_MOST_ROWS]:
        for place, word in enumerate(conflict.words):
            photo = "" if place else _photo(word)
            table.add_row(*map(escape, (photo, word.label, f"{word.reviewer}\n{_minute(word)}")))
        table.add_section()
    console.print(table, style="yellow")
    if count > _MOST_ROWS:
        _say(console, f"and {count - _MOST_ROWS:,} more: hangtag corrections list --json prints all", "yellow")


def _table(title: str, columns: Sequence[str]) -> Table:
    """Readable on 80 columns: the first, of paths, gets what the others leave."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold", max_width=None if column == columns[0] else _MOST_WIDTH)
    table.columns[0].min_width = _LEAST_WIDTH
    return table


def _label(label: str, was: str) -> str:
    return f"{label}\nwas {was}" if was else label


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _photo(word: Word) -> str:
    return word_cells(word)[0] or f"{word.sha256[:_FEW_DIGITS]}…"


def _minute(word: Word) -> str:
    return f"{word.at:%Y-%m-%d %H:%M}"


def _photos(settled: Settled) -> int:
    return len(settled.agreed) + len(settled.conflicts)


def _word_json(word: Word) -> dict[str, str]:
    return dict(zip(COLUMNS, word_cells(word), strict=True))


def _settled_json(settled: Settled) -> dict[str, Any]:
    def each(found: Iterable[Agreed | Conflict]) -> list[dict[str, Any]]:
        return [{"photo": one.words[0].photo, "words": [_word_json(word) for word in one.words]} for one in found]

    agreed = [
        {**shown, "label": one.label, "reviewers": one.reviewers}
        for shown, one in zip(each(settled.agreed), settled.agreed, strict=True)
    ]
    return {"agreed": agreed, "conflicts": each(settled.conflicts)}


def _import_json(file: Path, store: CorrectionStore, done: Imported) -> dict[str, Any]:
    return {
        "file": str(file),
        "into": str(store.path),
        "rows": done.sheet.rows,
        "new": len(done.added.words),
        "known": done.added.known,
        "mended": done.added.mended,
        "silent": done.sheet.silent,
        "image_root": str(done.root) if done.root else None,
        "without_file": len(done.lost),
        "first_without_file": done.lost[0] if done.lost else None,
        "without_sha256": done.pathbound,
        "labels": done.by_label,
        "words": len(done.added.all),
        "photos": _photos(done.settled),
        "conflicts": _settled_json(done.settled)["conflicts"],
    }
