"""What a cycle came to, as one page to look at, made of what its steps left in its folder."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, TypeVar

from markupsafe import Markup
from pydantic import BaseModel, ValidationError

from models.decision import precision_text
from models.errors import DataError, InputError
from models.statistics.intervals import Interval, proportion_interval
from models.text import number_of
from models.whole_file import replace_file
from pages.render import render
from pages.text import isolated, percent
from pages.tiles import photo_uri
from trainer.data.csv_files import path_cell
from trainer.data.dataset import Split
from trainer.retrain.cycle_folder import CycleStart, CycleStatus, Outcome
from trainer.retrain.records import (
    Automatic,
    CatalogueDiff,
    Check,
    ClassComparison,
    Collected,
    Comparison,
    Correction,
    TestChange,
    Verdict,
)
from trainer.splits.assigned import AssignedPhoto, read_splits

__all__ = ["CycleMaterial", "cycle_page", "write_report"]

_REPORT_FILE: Final = "report.html"
_SPLITS: Final = ("splits.csv", "run/splits.csv")
_MOST_CLASSES: Final = 40
_MOST_CORRECTIONS: Final = 60
_MOST_CHANGES: Final = 18
_SIDE: Final = 160
_MOST_BYTES: Final = 5_500
_MB: Final = 1_000_000
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_KINDS: Final = {CycleStatus.PROMOTED: "labeled", CycleStatus.REFUSED: "failed"}
_WHY: Final = {"data": "there was something new to learn from", "drift": "a job had drifted"}
_OUTCOMES: Final = {
    "conflict": "reviewers disagree; left out",
    "not_found": "nobody has that photo",
    "dropped": "its class is labelled no more",
    "applied": "label changed",
    "added": "a new photo",
    "agrees": "had that label already",
}
"""What became of a correction, those that ask for a person first."""
_LINKS: Final = {
    "run/report.html": "The challenger's training",
    "bundle/README.md": "The challenger's card: how it was proved, how to use it",
    "comparison.json": "Every figure of the comparison",
    "verdict.json": "What the gate says",
    "catalogue.json": "What of the catalogue would change",
    "collected.json": "What was learned from, and every correction",
    "cycle.json": "The settings",
}

R = TypeVar("R", bound=BaseModel)
_Values = dict[str, object]


@dataclass(frozen=True)
class CycleMaterial:
    """A cycle. What its steps have not come to, or what is gone of an old one, is None or empty.

    Attributes:
        folder: the cycle's; only files that are there are linked to.
        outcome: of the cycle.
        start: what it began with.
        collected: what it learned from.
        comparison: champion and challenger.
        catalogue: what of a catalogue would change.
        verdict: of the gate.
        photos: with their splits.
    """

    folder: Path
    outcome: Outcome
    start: CycleStart | None = None
    collected: Collected | None = None
    comparison: Comparison | None = None
    catalogue: CatalogueDiff | None = None
    verdict: Verdict | None = None
    photos: Sequence[AssignedPhoto] = ()


def write_report(folder: Path, outcome: Outcome) -> Path:
    """Write ``report.html`` into a cycle's folder, whole; one that is there is replaced.

    Args:
        folder: of the cycle; photos that are named in it are opened where they are still there.
        outcome: of the cycle.

    Raises:
        InputError: a file that a step left is damaged.
    """
    page = folder / _REPORT_FILE
    replace_file(page, cycle_page(_material(folder, outcome)).encode())
    return page


def _material(folder: Path, outcome: Outcome) -> CycleMaterial:
    comparison = _read(folder / "comparison.json", Comparison)
    if comparison and outcome.challenger:  # it was compared before it had a number
        comparison = comparison.model_copy(update={"challenger": outcome.challenger})
    return CycleMaterial(
        folder,
        outcome,
        _read(folder / "cycle.json", CycleStart),
        _read(folder / "collected.json", Collected),
        comparison,
        _read(folder / "catalogue.json", CatalogueDiff),
        _read(folder / "verdict.json", Verdict),
        _photos(folder),
    )


def _read(file: Path, kind: type[R]) -> R | None:
    if not file.is_file():
        return None
    try:
        return kind.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        msg = f"Expected what a cycle left in {file}, it is damaged or of another version of Hangtag: {error}."
        raise InputError(msg) from error


def _photos(folder: Path) -> list[AssignedPhoto]:
    """The splits; a cycle's own folder may keep them when its run is gone."""
    file = next((folder / name for name in _SPLITS if (folder / name).is_file()), None)
    try:
        return read_splits(file) if file else []
    except DataError:  # a page about a cycle may lack where its photos stand
        return []


def cycle_page(material: CycleMaterial) -> str:
    """A page with all that a cycle came to, and photos of it; less than a megabyte.

    Args:
        material: of a cycle that is over; what it lacks has no section.
    """
    outcome, comparison = material.outcome, material.comparison
    seconds = outcome.seconds
    return render(
        "cycle.html",
        outcome=outcome,
        kind="review" if outcome.forced else _KINDS.get(outcome.status, "review"),
        difference=_difference(comparison) if comparison else "",
        first_reason=outcome.reasons[0].rstrip(".") if outcome.reasons else "",
        began=_moment(outcome.started),
        ended=_moment(outcome.finished),
        why=_WHY.get(material.start.why, material.start.why) if material.start else "",
        reasons=_reasons(material),
        seconds=seconds,
        all_seconds=sum(seconds.values()),
        comparison=comparison,
        accuracy_95=_accuracy_95(comparison) if comparison else None,
        points=_points,
        points_between=_points_between,
        catalogue=material.catalogue,
        collected=material.collected,
        checks=_checks(material.verdict),
        classes=_classes(comparison),
        changes=_changes(comparison),
        learned=_learned(material),
        corrections=_corrections(material),
        costs=_costs(comparison) if comparison else [],
        links={place: what for place, what in _LINKS.items() if (material.folder / place).is_file()},
    )


def _points(value: float) -> str:
    """``+2.4``, ``−0.3`` or ``0.0``."""
    shown = f"{abs(value):.1f}"
    return shown if shown == "0.0" else f"{'+' if value > 0 else '−'}{shown}"


def _points_between(interval: Interval) -> str:
    """``95% −0.1 to 4.7``."""
    low, high = (f"{'−' if end <= -0.05 else ''}{abs(end):.1f}" for end in interval)  # noqa: PLR2004 - is not 0.0
    return f"95% {low} to {high}"


def _difference(comparison: Comparison) -> str:
    """``2.4 points better on 372 test photos (95% 0.1 to 4.7)``; of a first model, how often it is right."""
    if comparison.points is None:
        low, high = _accuracy_95(comparison)
        right = f"{percent(comparison.challenger_all)} right on {number_of(comparison.all_photos, 'test photo')}"
        return f"{right} (95% {100 * low:.1f} to {100 * high:.1f}%)"
    shown = f"{abs(comparison.points):.1f}"
    better = "better" if comparison.points > 0 else "worse"
    said = "as good" if shown == "0.0" else f"{shown} {'point' if shown == '1.0' else 'points'} {better}"
    band = f" ({_points_between(comparison.points_95)})" if comparison.points_95 else ""
    return f"{said} on {number_of(comparison.photos, 'test photo')}{band}"


def _accuracy_95(comparison: Comparison) -> Interval:
    """The 95% interval of the challenger's accuracy on all test photos."""
    return proportion_interval(round(comparison.challenger_all * comparison.all_photos), comparison.all_photos)


def _moment(text: str) -> str:
    """A time in UTC, to the minute."""
    return text[:16].replace("T", " ") + (" UTC" if text[19:].endswith(("+00:00", "Z")) else "")


def _reasons(material: CycleMaterial) -> list[str]:
    """The reasons against the challenger, without the one in the page's first line; or that it passed."""
    outcome = material.outcome
    told = outcome.status in {CycleStatus.REFUSED, CycleStatus.FAILED}
    lines: list[str] = [isolated(reason) for reason in outcome.reasons[told:]]
    if outcome.status is CycleStatus.REFUSED and material.comparison:
        lines.insert(0, f"It is {_difference(material.comparison)}.")
    if outcome.status is CycleStatus.REFUSED and outcome.champion:
        lines.append(Markup("{} goes on labelling.").format(isolated(outcome.champion)))
    if outcome.status is CycleStatus.PROMOTED and not outcome.forced:
        lines.append(
            "It keeps to every limit of the gate; new jobs take it, running ones keep the model that they began with."
        )
    return lines


def _checks(verdict: Verdict | None) -> Sequence[Check]:
    """The gate's checks: first those that failed, then those that a person should look at."""
    return sorted(verdict.checks, key=lambda check: (check.passed, not check.doubtful)) if verdict else ()


def _classes(comparison: Comparison | None) -> list[tuple[str, ClassComparison, float, float]]:
    """The classes, those that lose most first, each with its interval; new ones and those without test photos last."""

    def rank(item: tuple[str, ClassComparison]) -> tuple[bool, bool, float, str]:
        name, one = item
        return not one.photos, one.points is None, one.points or one.challenger, name

    order = sorted(comparison.classes.items(), key=rank)[:_MOST_CLASSES] if comparison else []
    return [(name, one, *_recall_95(one)) for name, one in order]


def _recall_95(one: ClassComparison) -> Interval:
    """Where the challenger's recall may lie, seen from the champion's if there is one."""
    if one.champion is not None and one.points_95 is not None:
        low, high = one.points_95
        return max(0.0, one.champion + low / 100), min(1.0, one.champion + high / 100)
    return proportion_interval(round(one.challenger * one.photos), one.photos)


def _changes(comparison: Comparison | None) -> list[_Values]:
    """Test photos that one of both labels right and the other wrong: lost ones first, what a promotion costs."""
    if comparison is None or comparison.champion is None:
        return []
    won = [change for change in comparison.changes if change.challenger == change.truth]
    lost = [change for change in comparison.changes if change.challenger != change.truth]
    names = (comparison.champion, comparison.challenger)
    both = (("Lost", "failed", lost, names), ("Won", "labeled", won, names[::-1]))
    return [_album(title, kind, changes, *names) for title, kind, changes, names in both if changes]


def _album(title: str, kind: str, changes: Sequence[TestChange], right: str, wrong: str) -> _Values:
    tiles = [(change, photo_uri(Path(change.image), _SIDE, _MOST_BYTES)) for change in changes[:_MOST_CHANGES]]
    return {
        "title": title,
        "kind": kind,
        "count": len(changes),
        "right": right,
        "wrong": wrong,
        "tiles": [(change, PurePath(change.image).name, uri) for change, uri in tiles],
        "gone": [change.image for change, _ in tiles if not Path(change.image).is_file()],
    }


def _learned(material: CycleMaterial) -> _Values:
    """Photos by class and split; by class alone where nobody knows the splits."""
    if material.collected is None:
        return {}
    counts: defaultdict[Split, Counter[str]] = defaultdict(Counter)
    for photo in material.photos:
        if photo.present:
            counts[photo.split][photo.label] += 1
    photos = material.collected.photos
    splits = [split for split in Split if split in counts]
    sizes = {name: sum(counts[split][name] for split in splits) if splits else count for name, count in photos.items()}
    names = sorted(sizes)[:_MOST_CLASSES]
    parts = {name: [(str(split), counts[split][name]) for split in splits] for name in names}
    rows = [(name, parts[name] or [("val", sizes[name])]) for name in names]
    return {"splits": splits, "rows": rows, "most": max((sizes[name] for name in names), default=0) or 1}


def _corrections(material: CycleMaterial) -> _Values:
    """What became of each correction; first those that need a person, and those of test photos."""
    corrections = material.collected.corrections if material.collected else ()
    splits: Mapping[str, Split] = {photo.sha256: photo.split for photo in material.photos} | {
        path_cell(photo.path): photo.split for photo in material.photos
    }
    known, counts = list(_OUTCOMES), Counter(correction.outcome for correction in corrections)

    def is_tested(one: Correction) -> bool:
        return splits.get(one.image) is Split.TEST

    def rank(one: Correction) -> tuple[int, bool, str]:
        return known.index(one.outcome) if one.outcome in known else -1, not is_tested(one), one.image

    tested = [correction for correction in corrections if is_tested(correction)]
    return {
        "count": len(corrections),
        "said": ", ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in known if counts[name]),
        "tested": len(tested),
        "changed": sum(correction.outcome == "applied" for correction in tested),
        "rows": [
            (one, _short_name(one.image), is_tested(one), _OUTCOMES.get(one.outcome, one.outcome))
            for one in sorted(corrections, key=rank)[:_MOST_CORRECTIONS]
        ],
    }


def _short_name(image: str) -> str:
    """A file's name; the beginning of the hash of a photo that nobody knows a path of."""
    return f"{image[:12]}…" if _SHA256.fullmatch(image) else PurePath(image).name or image


def _costs(comparison: Comparison) -> list[tuple[str, str | None, str, str]]:
    """Calibration, what is labelled without a person, size and speed: name, champion's, challenger's, a remark."""
    rows: list[tuple[str, str | None, str, str]] = []
    error, found = comparison.calibration, comparison.automation
    if error:
        low, high = error.difference_95
        detail = f"difference {error.challenger - error.champion:+.3f}, 95% {low:+.3f} to {high:+.3f}"
        rows.append(("calibration error", f"{error.champion:.3f}", f"{error.challenger:.3f}", detail.replace("-", "−")))
    if found:
        now = _automatic(found.champion, found.champion_precision, comparison) if found.champion else (None,) * 3
        then = _automatic(found.challenger, found.challenger_precision, comparison)
        detail = ""
        if found.points is not None and found.points_95 is not None:
            low, high = found.points_95
            detail = f"difference {found.points:+.1f} points, 95% {low:+.1f} to {high:+.1f}".replace("-", "−")
        names = ("precision promised", "labelled without a person", "of these wrong")
        rows += zip(names, now, then, ("", detail, ""), strict=True)
    before, after = comparison.champion_footprint, comparison.challenger_footprint
    size, speed = f"{after.bytes / _MB:.1f} MB", f"{after.images_per_s:,.0f} photos/s"
    if before is None:
        return [*rows, ("size", None, size, ""), ("speed", None, speed, "on one thread")]
    larger, quicker = _ratio(after.bytes, before.bytes), _ratio(after.images_per_s, before.images_per_s)
    return [
        *rows,
        ("size", f"{before.bytes / _MB:.1f} MB", size, f"{larger} as large"),
        ("speed", f"{before.images_per_s:,.0f} photos/s", speed, f"{quicker} as fast, on one thread"),
    ]


def _automatic(one: Automatic, precision: float | None, comparison: Comparison) -> tuple[str, str, str]:
    promised = "none" if precision is None else precision_text(precision)
    return promised, f"{100 * one.photos / comparison.photos:.1f}%", f"{one.wrong:,} of {one.photos:,}"


def _ratio(after: float, before: float) -> str:
    return f"{after / before:.2f} times" if before else "not measured,"
