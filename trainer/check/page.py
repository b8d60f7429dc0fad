"""What a check found, as one page to look at."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from models.text import number_of
from pages.render import render
from pages.text import isolated, sentence
from pages.tiles import photo_uri
from trainer.check.check_reports import MEANINGS, SHORTCUT_ADVICE, leak_sentences, shortcut_sentences
from trainer.check.checkup import GRAVE, Checkup
from trainer.check.issues import LIMITS, Issue
from trainer.check.relations import LeakKind
from trainer.data.csv_files import data_folder
from trainer.data.dataset import Split

_MOST_TILES: Final = 24
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
_Tile = tuple[int, str, list[Any]]
"""The place of a photo, a title (its class if there is none), and some lines."""


def check_page(checkup: Checkup, links: Mapping[str, str] = MappingProxyType({})) -> str:
    """A page with all that was found, and photos of it; about three megabytes at most.

    ``links``: words → an address beside the page.

    Usable photos are opened; one that is gone is a tile without a picture. Faulty ones are not: decoding one may crash.
    """
    photos, root = checkup.scanned.photos, data_folder(checkup.dataset.source)

    def inside(path: Path) -> str:
        return str(path.relative_to(root) if path.is_relative_to(root) else path)

    @cache
    def photo(place: int) -> object:
        one = photos[place]
        uri = photo_uri(one.path, _SIDE, _MOST_BYTES)
        return {"uri": uri, "label": one.label, "split": one.split, "path": inside(one.path), "name": one.path.name}

    counts = {issue: checkup.count(issue) for issue in MEANINGS}
    found = Counter(one.split for one in photos)
    sizes = {split: found[split] for split in (*Split, None) if found[split]}
    return render(
        "check.html",
        checkup=checkup,
        links=links,
        photo=photo,
        folder=checkup.dataset.source.name,
        images=len(photos) + len(checkup.scanned.faulty),
        sizes=sizes,
        counts=counts,
        meanings=MEANINGS,
        limits=LIMITS,
        duplicates=int((checkup.flags[Issue.EXACT_DUPLICATE] | checkup.flags[Issue.NEAR_DUPLICATE]).sum()),
        advice=SHORTCUT_ADVICE,
        shortcuts=[sentence(text) for text in shortcut_sentences(checkup)],
        leaks=[f"{text}." for text in leak_sentences(checkup)],
        calm=_calm(checkup, counts),
        classes=_class_rows(checkup),
        columns=[(split or "images", "n") for split in sizes],
        couples=lambda issue: _couples(issue, checkup),
        tiles=lambda issue: _tiles(issue, checkup),
        files={kind: [(inside(o.photo.path), o.fault.message) for o in some] for kind, some in checkup.faulty.items()},
        ignored=[(inside(one.path), one.message) for one in checkup.ignored],
    )


def _calm(checkup: Checkup, counts: dict[Issue, int]) -> str:
    """What was checked and found good; empty if something serious was found."""
    if any(guess.is_shortcut for guess in checkup.guesses) or any(map(counts.get, GRAVE)):
        return ""
    said = ["Every file can be used", "no picture has two labels"]
    if any(photo.split for photo in checkup.scanned.photos):
        said.append("no photo is both learned from and tested on")
    if checkup.guesses:
        said.append("no accident gives a class away")
    rest = " What is listed below may be worth a look." if any(counts.values()) else ""
    return f"{', '.join(said[:-1])}, and {said[-1]}.{rest}"


def _class_rows(checkup: Checkup) -> list[tuple[str, Counter[Split | None], int, int, str]]:
    """For each class: its images in each split, how many have an issue or are unusable, and its common properties."""
    photos = checkup.scanned.photos
    sizes: defaultdict[str, Counter[Split | None]] = defaultdict(Counter)
    for photo in photos:
        sizes[photo.label][photo.split] += 1
    flags = np.any(list(checkup.flags.values()), axis=0)
    flagged = Counter(photo.label for photo, flag in zip(photos, flags.tolist(), strict=True) if flag)
    faulty = Counter(one.photo.label for one in checkup.scanned.faulty)
    rows = []
    for name in checkup.dataset.classes:
        properties = checkup.photo_issues.properties.get(name, {})
        most = ", ".join(f"{issue.replace('_', ' ')} ({part:.0%})" for issue, part in properties.items())
        rows.append((name, sizes[name], flagged[name], faulty[name], most))
    return rows


def _tiles(issue: Issue, checkup: Checkup) -> tuple[list[_Tile], int]:
    """The photos with an issue of single photos, one for all copies, and how many more there are."""
    if issue is Issue.PLACEHOLDER:
        groups = sorted(checkup.relations.placeholders, key=len, reverse=True)
        shown = [(group[0], number_of(len(group), "image"), _labels(group, checkup)) for group in groups[:_MOST_TILES]]
        return shown, len(groups) - _MOST_TILES
    copies: defaultdict[str, list[int]] = defaultdict(list)
    pixels, places = checkup.statistics["pixels"], checkup.places(issue)
    for place in places:
        copies[pixels[place].as_py()].append(place)
    alike = list(copies.values())[:_MOST_TILES]
    return [(same[0], "", _notes(issue, same, checkup)) for same in alike], len(places) - sum(map(len, alike))


def _notes(issue: Issue, same: list[int], checkup: Checkup) -> list[str]:
    """What is said of photos with the same pixels."""
    seen = checkup.statistics.slice(same[0], 1).to_pylist()[0]
    score = f"score {checkup.scores[issue][same[0]]:.2f}" if issue in LIMITS else ""
    alike = f"{len(same):,} images like this" if len(same) > 1 else ""
    return [line for line in (alike, score, _FACTS.get(issue, "").format(**seen)) if line]


def _couples(issue: Issue, checkup: Checkup) -> list[_Couple]:
    """Pairs of photos that show the same picture, the most serious first; empty for issues of single photos."""
    photos, relations = checkup.scanned.photos, checkup.relations
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
    return []


def _labels(group: Sequence[int], checkup: Checkup) -> list[Markup]:
    """``shirt 12``, ``dress 3``, ``and 4 more classes``."""
    counts = Counter(checkup.scanned.photos[place].label for place in group).most_common()
    listed = [isolated(label, _LONGEST_LABEL) + f" {count:,}" for label, count in counts[:_MOST_LABELS]]
    others = len(counts) - _MOST_LABELS
    return [*listed, Markup("and ") + number_of(others, "more class", "more classes")] if others > 0 else listed
