"""What a check found, as one page to look at."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from models.text import number_of
from pages.render import render
from pages.text import isolated, sentence
from pages.tiles import photo_uri
from trainer.check.check_reports import SHORTCUT_ADVICE, leak_sentences, shortcut_sentences
from trainer.check.checkup import LIMITS, Checkup, Issue
from trainer.check.relations import LeakKind
from trainer.data.csv_files import path_in
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
"""What a tile shows in addition to the score: columns of :class:`trainer.data.photo_files.ImageStatistics`."""

_Couple = tuple[int, int, str]
"""The places of two photos, and what they have to do with each other."""
_Tile = tuple[int, str, list[Any]]
"""The place of a photo, a title (its class if there is none), and some lines."""


def check_page(checkup: Checkup, links: Mapping[str, str] = MappingProxyType({})) -> str:
    """A page with all that was found, and photos of it; about three megabytes at most.

    ``links``: words → an address beside the page. Faulty photos are not opened: decoding one may crash.
    """
    photos, data = checkup.scanned.photos, checkup.dataset.source

    @cache
    def photo(place: int) -> object:
        one = photos[place]
        uri, path = photo_uri(one.path, _SIDE, _MOST_BYTES), path_in(data, one.path)
        return {"uri": uri, "label": one.label, "split": one.split, "path": path, "name": one.path.name}

    counts = Counter(one.split for one in photos)
    sizes = {split: counts[split] for split in (*Split, None) if counts[split]}
    return render(
        "check.html",
        checkup=checkup,
        links=links,
        photo=photo,
        folder=data.name,
        images=len(photos) + len(checkup.scanned.faulty),
        sizes=sizes,
        counts={issue: checkup.count(issue) for issue in Issue},
        limits=LIMITS,
        duplicates=int((checkup.flags[Issue.EXACT_DUPLICATE] | checkup.flags[Issue.NEAR_DUPLICATE]).sum()),
        advice=SHORTCUT_ADVICE,
        shortcuts=[sentence(text) for text in shortcut_sentences(checkup)],
        leaks=[f"{text}." for text in leak_sentences(checkup)],
        classes=_class_rows(checkup),
        columns=[(split or "images", "n") for split in sizes],
        couples=lambda issue: _couples(issue, checkup),
        tiles=lambda issue: _tiles(issue, checkup),
        files={
            kind: [(path_in(data, one.photo.path), one.fault.message) for one in faulty]
            for kind, faulty in checkup.faulty.items()
        },
        ignored=[(path_in(data, one.path), one.message) for one in checkup.ignored],
    )


def _class_rows(checkup: Checkup) -> list[tuple[str, Counter[Split | None], int, int, str]]:
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
    statistics = checkup.statistics.slice(same[0], 1).to_pylist()[0]
    score = f"score {checkup.scores[issue][same[0]]:.2f}" if issue in LIMITS else ""
    alike = f"{len(same):,} images like this" if len(same) > 1 else ""
    return [line for line in (alike, score, _FACTS.get(issue, "").format(**statistics)) if line]


def _couples(issue: Issue, checkup: Checkup) -> list[_Couple]:
    """Pairs of photos that show the same picture, the most serious first; empty for issues of single photos."""
    photos, relations = checkup.scanned.photos, checkup.relations
    match issue:
        case Issue.LEAK:
            leaks = sorted(relations.leaks, key=lambda leak: (photos[leak.photo].split is not Split.TEST, leak.kind))
            words = "{} in {} and in {}".format
            return [
                (one.photo, one.twin, words(_SHARED[one.kind], photos[one.photo].split, photos[one.twin].split))
                for one in leaks
            ]
        case Issue.LABEL_CONFLICT:
            return [_conflict(group, checkup) for group in relations.conflicts]
        case Issue.EXACT_DUPLICATE:
            groups = sorted(relations.exact, key=len, reverse=True)
            return [(group[0], group[1], f"{len(group):,} images with the same pixels") for group in groups]
        case Issue.NEAR_DUPLICATE:
            pairs = sorted(relations.near, key=lambda pair: -pair.likeness)
            return [(pair.first, pair.second, f"likeness {pair.likeness:.3f}") for pair in pairs]
    return []


def _conflict(group: Sequence[int], checkup: Checkup) -> _Couple:
    firsts = {checkup.scanned.photos[place].label: place for place in reversed(group)}
    first, second, *_ = sorted(firsts.values())
    return first, second, Markup(", ").join(_labels(group, checkup))


def _labels(group: Sequence[int], checkup: Checkup) -> list[Markup]:
    counts = Counter(checkup.scanned.photos[place].label for place in group).most_common()
    named = [isolated(label, _LONGEST_LABEL) + f" {count:,}" for label, count in counts[:_MOST_LABELS]]
    others = len(counts) - _MOST_LABELS
    return [*named, Markup("and ") + number_of(others, "more class", "more classes")] if others > 0 else named
