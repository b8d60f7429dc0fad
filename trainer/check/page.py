"""What a check found, as one page to look at."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from markupsafe import Markup

from models.text import number_of
from pages.render import render
from pages.text import isolated
from pages.tiles import photo_uri
from trainer.check.check_reports import MEANINGS, leak_sentences, shortcut_sentences
from trainer.check.checkup import GRAVE, Checkup, Findings
from trainer.check.issues import LIMITS, Issue
from trainer.check.relations import LeakKind
from trainer.data.dataset import Split

__all__ = ["check_page"]

_MOST_TILES: Final = 24
_MOST_COUPLES: Final = 12
_MOST_FILES: Final = 12
_MOST_CLASSES: Final = 100
_MOST_LABELS: Final = 3
_LONGEST_LABEL: Final = 60
_SIDE: Final = 140
_MOST_BYTES: Final = 4_400
"""Of a JPEG. A page has at most 24 tiles for each of 18 issues: 2.5 MB, once they are text."""
_SHARED: Final = {LeakKind.EXACT: "the same pixels", LeakKind.NEAR: "the same picture", LeakKind.PRODUCT: "one product"}
_PIXELS: Final = "{width:,}×{height:,} px"
_FACTS: Final = {
    Issue.TOO_SMALL: _PIXELS,
    Issue.ODD_SIZE: _PIXELS,
    Issue.ODD_ASPECT_RATIO: _PIXELS,
    Issue.WRONG_EXTENSION: "it is a {format}",
    Issue.EXIF_ROTATED: "orientation {orientation}",
    Issue.CMYK: "{mode}",
}
"""What a tile shows in addition to the score: columns of :class:`trainer.data.image_statistics.ImageStatistics`."""

_Couple = tuple[int, int, str]
"""The places of two photos, and what they have to do with each other."""


@dataclass(frozen=True)
class _Tile:
    """A photo over a title (its class, where there is none) and some lines."""

    photo: object
    title: str = ""
    lines: Sequence[str] = ()


@dataclass
class _Group:
    """Some of the photos and files with an issue, and how many are left out."""

    issue: Issue
    tiles: Sequence[_Tile] = ()
    couples: Sequence[tuple[object, object, str]] = ()
    left: int = 0
    noun: str = "image"
    files: Sequence[tuple[str, str]] = ()
    files_left: int = 0


def check_page(checkup: Checkup, findings: Findings) -> str:
    """A page with all that was found, and photos of it; about three megabytes at most.

    Args:
        checkup: what was looked at. Some of its usable photos are opened; one that is gone is a tile without a picture.
            Its faulty files are not opened: they may bring down whoever decodes them.
        findings: of that checkup.
    """
    photos, source = checkup.looked.photos, checkup.dataset.source
    root = source.parent if source.suffix.lower() == ".csv" else source

    def inside(path: Path) -> str:
        return str(path.relative_to(root) if path.is_relative_to(root) else path)

    @cache
    def photo(place: int) -> object:
        one = photos[place]
        uri = photo_uri(one.path, _SIDE, _MOST_BYTES)
        return {"uri": uri, "label": one.label, "split": one.split, "path": inside(one.path), "name": one.path.name}

    counts = {issue: findings.count(issue) for issue in MEANINGS}
    copies = findings.flags[Issue.EXACT_DUPLICATE] | findings.flags[Issue.NEAR_DUPLICATE]
    ignored = [(inside(one.path), one.message) for one in checkup.ignored]
    return render(
        "check.html",
        checkup=checkup,
        folder=source.name,
        images=len(photos) + len(checkup.looked.faulty),
        sizes=[(split, size) for split in Split if (size := sum(photo.split is split for photo in photos))],
        counts=counts,
        meanings=MEANINGS,
        limits=LIMITS,
        duplicates=int(copies.sum()),
        shortcuts=[f"{text[:1].upper()}{text[1:]}." for text in shortcut_sentences(checkup)],
        leaks=[f"{text}." for text in leak_sentences(checkup)],
        calm=_calm(checkup, counts),
        absent=", ".join(issue.replace("_", " ") for issue, count in counts.items() if not count),
        columns=[(name or "images", "n") for name in (*_splits(checkup), "issues", "unusable")],
        classes=_class_rows(checkup, findings)[:_MOST_CLASSES],
        groups=[_group(issue, checkup, findings, photo, inside) for issue, count in counts.items() if count],
        ignored=ignored[:_MOST_FILES],
    )


def _calm(checkup: Checkup, counts: dict[Issue, int]) -> str:
    """What is well, as far as it was looked for; empty where something grave was found."""
    if any(guess.is_shortcut for guess in checkup.guesses) or any(map(counts.get, GRAVE)):
        return ""
    said = ["Every file can be used", "no picture stands under two labels"]
    if any(photo.split for photo in checkup.looked.photos):
        said.append("none is both learned from and tested on")
    if checkup.guesses:
        said.append("no accident gives a class away")
    rest = " What is listed below may be worth a look." if any(counts.values()) else ""
    return f"{', '.join(said[:-1])}, and {said[-1]}.{rest}"


def _splits(checkup: Checkup) -> list[Split | None]:
    """The splits that photos have; None stands for photos without one."""
    return [split for split in (*Split, None) if any(photo.split is split for photo in checkup.looked.photos)]


def _class_rows(checkup: Checkup, findings: Findings) -> list[tuple[str, list[int], int, int, str]]:
    """Each class, its images in each split, how many have an issue, how many are unusable, what most of them are."""
    photos = checkup.looked.photos
    sizes = Counter((photo.label, photo.split) for photo in photos)
    flags = np.any(list(findings.flags.values()), axis=0)
    flagged = Counter(photo.label for photo, flag in zip(photos, flags.tolist(), strict=True) if flag)
    faulty = Counter(one.photo.label for one in checkup.looked.faulty)
    splits, rows = _splits(checkup), []
    for name in checkup.dataset.classes:
        properties = checkup.judgement.properties.get(name, {})
        most = ", ".join(f"{issue.replace('_', ' ')} ({part:.0%})" for issue, part in properties.items())
        rows.append((name, [sizes[name, split] for split in splits], flagged[name], faulty[name], most))
    return rows


def _group(
    issue: Issue, checkup: Checkup, findings: Findings, photo: Callable[[int], object], inside: Callable[[Path], str]
) -> _Group:
    if issue is Issue.PLACEHOLDER:
        groups = sorted(checkup.relations.placeholders, key=len, reverse=True)
        tiles = [
            _Tile(photo(group[0]), number_of(len(group), "image"), _labels(group, checkup))
            for group in groups[:_MOST_TILES]
        ]
        return _Group(issue, tiles, left=len(groups) - _MOST_TILES, noun="picture")
    couples = _couples(issue, checkup)
    if couples is not None:
        shown = [(photo(first), photo(second), note) for first, second, note in couples[:_MOST_COUPLES]]
        return _Group(issue, couples=shown, left=len(couples) - _MOST_COUPLES, noun="pair")
    copies: dict[str, list[int]] = {}
    pixels, places = checkup.statistics["pixels"], findings.places(issue)
    for place in places:
        copies.setdefault(pixels[place].as_py(), []).append(place)
    alike = list(copies.values())[:_MOST_TILES]
    tiles = [_Tile(photo(same[0]), lines=_notes(issue, same, checkup, findings)) for same in alike]
    faulty = findings.faulty.get(issue, ())
    return _Group(
        issue,
        tiles,
        left=len(places) - sum(map(len, alike)),
        files=[(inside(one.photo.path), one.fault.message) for one in faulty[:_MOST_FILES]],
        files_left=len(faulty) - _MOST_FILES,
    )


def _notes(issue: Issue, same: list[int], checkup: Checkup, findings: Findings) -> list[str]:
    """What is said of photos with the same pixels."""
    seen = checkup.statistics.slice(same[0], 1).to_pylist()[0]
    score = f"score {findings.scores[issue][same[0]]:.2f}" if issue in LIMITS else ""
    alike = f"{len(same):,} images like this" if len(same) > 1 else ""
    return [line for line in (alike, score, _FACTS.get(issue, "").format(**seen)) if line]


def _couples(issue: Issue, checkup: Checkup) -> list[_Couple] | None:
    """Pairs of photos that show the same, the gravest first; None for issues of single photos."""
    photos, relations = checkup.looked.photos, checkup.relations
    match issue:
        case Issue.LEAK:
            kinds = list(LeakKind)
            found = []
            for one in relations.leaks:
                split, source = photos[one.photo].split, photos[one.twin].split
                note = f"{_SHARED[one.kind]} in {split} and in {source}"
                found.append((split is not Split.TEST, kinds.index(one.kind), (one.photo, one.twin, note)))
            return [couple for *_, couple in sorted(found, key=lambda leak: leak[:2])]
        case Issue.LABEL_CONFLICT:
            couples: list[_Couple] = []
            for group in relations.conflicts:
                firsts = {photos[place].label: place for place in reversed(group)}
                first, second, *_ = sorted(firsts.values())
                couples.append((first, second, Markup(", ").join(_labels(group, checkup))))
            return couples
        case Issue.EXACT_DUPLICATE:
            groups = sorted(relations.exact, key=len, reverse=True)
            return [(group[0], group[1], f"{len(group):,} images with the same pixels") for group in groups]
        case Issue.NEAR_DUPLICATE:
            pairs = sorted(relations.near, key=lambda pair: -pair.likeness)
            return [(pair.first, pair.second, f"likeness {pair.likeness:.3f}") for pair in pairs]
    return None


def _labels(group: Sequence[int], checkup: Checkup) -> list[Markup]:
    """``shirt 12``, ``dress 3``, ``and 4 more classes``."""
    counts = Counter(checkup.looked.photos[place].label for place in group).most_common()
    listed = [isolated(label, _LONGEST_LABEL) + f" {count:,}" for label, count in counts[:_MOST_LABELS]]
    others = len(counts) - _MOST_LABELS
    return [*listed, Markup("and ") + number_of(others, "more class", "more classes")] if others > 0 else listed
