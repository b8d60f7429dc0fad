"""Test photos that one of both labels right and the other wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from models.text import number_of
from pages.text import isolated, visible
from trainer.retrain.records import TestChange
from trainer.retrain.report.material import CycleMaterial
from worker.page.sections import more, section
from worker.page.tiles import picture

__all__ = ["changes_section"]

_MOST: Final = 18
_SIDE: Final = 160
_MOST_BYTES: Final = 5_500
_LONGEST: Final = 60
_LONGEST_NAME: Final = 80


def changes_section(material: CycleMaterial) -> str:
    """Lost ones first, since they are what a promotion costs."""
    comparison = material.comparison
    if comparison is None or comparison.champion is None:
        return ""
    won = [change for change in comparison.changes if change.challenger == change.truth]
    lost = [change for change in comparison.changes if change.challenger != change.truth]
    title = f'Test photos <span class="faint">· {comparison.lost:,} lost, {comparison.won:,} won</span>'
    if not won and not lost:
        return section(title, '<p class="faint">Both are right and wrong on the same photos.</p>', "", "photos")
    names = (isolated(comparison.champion), isolated(comparison.challenger))
    body = _album("Lost", lost, names, "failed") + _album("Won", won, names[::-1], "labeled")
    return section(title, body, "long", "photos")


def _album(title: str, changes: Sequence[TestChange], names: tuple[str, str], kind: str) -> str:
    """Photos that the first of ``names`` labels right, and the second wrong."""
    if not changes:
        return ""
    shown = changes[:_MOST]
    tiles = [_tile(change, kind) for change in shown]
    gone = [isolated(change.image) for change in shown if not Path(change.image).is_file()]
    missing = f'<p class="faint">Not there any more: {", ".join(gone)}</p>' if gone else ""
    counted = number_of(len(changes), "photo", "photos")
    head = f'<h3>{title} <span class="faint">· {counted}, which {names[0]} labels right and {names[1]} not</span></h3>'
    rest = more(len(changes) - len(shown), "photo", "photos", "comparison.json")
    return f'{head}<div class="tiles">{"".join(tiles)}</div>{rest}{missing}'


def _tile(change: TestChange, kind: str) -> str:
    path = Path(change.image)
    name = f'<bdi title="{visible(change.image)}">{visible(path.name, _LONGEST_NAME)}</bdi>'
    lines = (
        f"before: {isolated(change.champion, _LONGEST)} {change.champion_confidence:.2f}",
        f"after: {isolated(change.challenger, _LONGEST)} {change.challenger_confidence:.2f}",
        name,
    )
    shown = "".join(f"<span>{line}</span>" for line in lines)
    return (
        f'<figure class="tile {kind}">{picture(path, _SIDE, _MOST_BYTES)}'
        f"<figcaption><b>{isolated(change.truth, _LONGEST)}</b>{shown}</figcaption></figure>"
    )
