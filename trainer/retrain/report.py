"""The report of a cycle as one page, from the files of its steps."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Final

from catalogue.urls import readable
from models.decision import precision_text
from models.errors import DataError
from models.photo import NONE
from models.statistics.intervals import Interval, proportion_interval
from models.text import number_of
from models.whole_file import replace_file
from pages.render import render
from pages.text import percent
from pages.tiles import photo_uri
from trainer.data.csv_files import path_cell
from trainer.data.dataset import Split
from trainer.retrain.cycle_folder import (
    CatalogueDiff,
    Collected,
    Comparison,
    Correction,
    CycleFolder,
    CycleStart,
    GateVerdict,
    Outcome,
    PairedAccuracy,
    TestChange,
)
from trainer.retrain.gate import points_between
from trainer.splits.assigned import AssignedPhoto, read_splits

_MOST_CLASSES: Final = 40
_MOST_CORRECTIONS: Final = 20
_MOST_CHANGES: Final = 18
_SIDE: Final = 160
_MOST_BYTES: Final = 5_500
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_OUTCOMES: Final = {
    "conflict": "reviewers disagree; left out",
    "not_found": "the photo was not found",
    "dropped": "its class is dropped",
    "applied": "label changed",
    "added": "a new photo",
    "agrees": "already had that label",
}
"""Outcomes that a person should check come first."""
_LINKS: Final = {
    "run/report.html": "The challenger's training",
    "bundle/README.md": "The challenger's card: proof and use",
    "comparison.json": "All figures of the comparison",
    "verdict.json": "The gate's verdict",
    "catalogue.json": "Changed labels in the catalogue",
    "collected.json": "The data, and all corrections",
    "cycle.json": "The settings",
}


def write_report(folder: Path, outcome: Outcome) -> Path:
    """Write or replace ``report.html`` in a cycle's folder, atomically."""
    cycle = CycleFolder(folder)
    replace_file(cycle.report, cycle_page(cycle, outcome).encode())
    return cycle.report


def cycle_page(cycle: CycleFolder, outcome: Outcome) -> str:
    """The HTML report of a finished cycle. Steps that did not run have no section."""
    comparison = cycle.find(cycle.comparison, Comparison)
    if comparison and outcome.challenger:  # during the comparison, the challenger has no version number
        comparison = comparison.model_copy(update={"challenger": outcome.challenger})
    collected, verdict = cycle.find(cycle.collected, Collected), cycle.find(cycle.verdict, GateVerdict)
    photos, start = _photos(cycle.splits), cycle.find(cycle.start, CycleStart)
    checks = sorted(verdict.checks, key=lambda check: (check.passed, not check.doubtful)) if verdict else ()
    return render(
        "cycle.html",
        outcome=outcome,
        difference=_difference(comparison) if comparison else "",
        began=_moment(outcome.started),
        ended=_moment(outcome.finished),
        start=start,
        undo=outcome.undo(start.config["registry"]) if start and "registry" in start.config else "",
        comparison=comparison,
        accuracy_95=_accuracy_95(comparison) if comparison else None,
        newer_95=_newer_95(comparison.newer) if comparison and comparison.newer else (),
        points=_points,
        points_between=points_between,
        precision_text=precision_text,
        catalogue=cycle.find(cycle.catalogue, CatalogueDiff),
        collected=collected,
        new=len(photos) - len(_photos(cycle.earlier)) if photos else collected.new if collected else 0,
        checks=checks,
        classes=_classes(comparison) if comparison else [],
        changes=_changes(comparison) if comparison else [],
        learned=_learned(collected, photos) if collected else {},
        corrections=_corrections(collected, photos) if collected else {"count": 0},
        links={place: what for place, what in _LINKS.items() if (cycle.path / place).is_file()},
    )


def _photos(splits: Path) -> list[AssignedPhoto]:
    try:
        return read_splits(splits)
    except DataError:
        return []


def _points(value: float) -> str:
    shown = f"{abs(value):.1f}"
    return shown if shown == "0.0" else f"{'+' if value > 0 else '−'}{shown}"


def _difference(comparison: Comparison) -> str:
    if comparison.points is None:
        low, high = _accuracy_95(comparison)
        right = f"{percent(comparison.challenger_all)} right on {number_of(comparison.all_photos, 'test photo')}"
        return f"{right} (95% {100 * low:.1f} to {100 * high:.1f}%)"
    shown = f"{abs(comparison.points):.1f}"
    better = "better" if comparison.points > 0 else "worse"
    gain = "as good" if shown == "0.0" else f"{shown} {'point' if shown == '1.0' else 'points'} {better}"
    band = f" ({points_between(comparison.points_95)})" if comparison.points_95 else ""
    return f"{gain} on {number_of(comparison.photos, 'test photo')}{band}"


def _accuracy_95(comparison: Comparison) -> Interval:
    return proportion_interval(round(comparison.challenger_all * comparison.all_photos), comparison.all_photos)


def _newer_95(newer: PairedAccuracy) -> tuple[Interval, ...]:
    shares = (newer.champion or 0.0, newer.challenger)
    return tuple(proportion_interval(round(share * newer.photos), newer.photos) for share in shares)


def _moment(text: str) -> str:
    return text[:16].replace("T", " ") + (" UTC" if text[19:].endswith(("+00:00", "Z")) else "")


def _classes(comparison: Comparison) -> list[tuple[str, PairedAccuracy, float, float]]:
    def rank(item: tuple[str, PairedAccuracy]) -> tuple[bool, bool, float, str]:
        name, one = item
        return not one.photos, one.points is None, one.points or one.challenger, name

    order = sorted(comparison.classes.items(), key=rank)[:_MOST_CLASSES]
    return [(name, one, *_recall_95(one)) for name, one in order]


def _recall_95(one: PairedAccuracy) -> Interval:
    if one.champion is not None and one.points_95 is not None:
        low, high = one.points_95
        return max(0.0, one.champion + low / 100), min(1.0, one.champion + high / 100)
    return proportion_interval(round(one.challenger * one.photos), one.photos)


def _changes(comparison: Comparison) -> list[dict[str, object]]:
    if comparison.champion is None:
        return []
    won = [change for change in comparison.changes if change.challenger == change.truth]
    lost = [change for change in comparison.changes if change.challenger != change.truth]
    names = (comparison.champion, comparison.challenger)
    both = (("Lost", "failed", lost, names), ("Won", "labeled", won, names[::-1]))
    return [_album(title, kind, changes, *names) for title, kind, changes, names in both if changes]


def _album(title: str, kind: str, changes: Sequence[TestChange], right: str, wrong: str) -> dict[str, object]:
    shown = changes[:_MOST_CHANGES]
    uris = [photo_uri(Path(change.image), _SIDE, _MOST_BYTES) for change in shown]
    return {
        "title": title,
        "kind": kind,
        "count": len(changes),
        "right": right,
        "wrong": wrong,
        "tiles": [(change, PurePath(change.image).name, uri) for change, uri in zip(shown, uris, strict=True)],
        "gone": [change.image for change in shown if not Path(change.image).is_file()],
    }


def _learned(collected: Collected, photos: Sequence[AssignedPhoto]) -> dict[str, object]:
    counts = Counter((photo.label, photo.split) for photo in photos if photo.present)
    splits = [split for split in Split if any(split is known for _, known in counts)]
    names = sorted(collected.photos)[:_MOST_CLASSES]
    rows = [
        (name, [(str(split), counts[name, split]) for split in splits] or [("val", collected.photos[name])])
        for name in names
    ]
    return {
        "splits": splits,
        "total": sum(n for (label, _), n in counts.items() if label != NONE) or sum(collected.photos.values()),
        "rows": rows,
        "most": max((sum(size for _, size in row) for _, row in rows), default=0) or 1,
    }


def _corrections(collected: Collected, photos: Sequence[AssignedPhoto]) -> dict[str, object]:
    test = [photo for photo in photos if photo.split is Split.TEST]
    names = {photo.sha256 for photo in test} | {path_cell(photo.path) for photo in test}
    known, counts = list(_OUTCOMES), Counter(correction.outcome for correction in collected.corrections)

    def rank(one: Correction) -> tuple[int, bool, str]:
        return known.index(one.outcome) if one.outcome in known else -1, one.image not in names, one.image

    tested = [correction for correction in collected.corrections if correction.image in names]
    return {
        "count": len(collected.corrections),
        "said": ", ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in known if counts[name]),
        "tested": len(tested),
        "changed": sum(correction.outcome == "applied" for correction in tested),
        "rows": [
            (
                one.model_copy(update={"image": readable(one.image)}),
                _short_name(one.image),
                one.image in names,
                _OUTCOMES.get(one.outcome, one.outcome),
            )
            for one in sorted(collected.corrections, key=rank)[:_MOST_CORRECTIONS]
        ],
    }


def _short_name(image: str) -> str:
    return f"{image[:12]}…" if _SHA256.fullmatch(image) else PurePath(readable(image)).name or image
