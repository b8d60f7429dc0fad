"""Reports a check in sentences, in an HTML page, and in ``check.json`` and ``check.csv``."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from models.photo import NONE
from models.text import brief, number_of
from pages.render import render
from pages.text import isolated, rounded, sentence
from pages.tiles import photo_uri
from trainer.check.checkup import LIMITS, UNUSABLE, Checkup, Issue
from trainer.check.relations import Leak, LeakKind, label_count
from trainer.data.csv_files import path_in, write_rows
from trainer.data.dataset import LabeledPhoto, Split

SHORTCUT_ADVICE: Final = (
    "To avoid a shortcut, save all photos with the same size, format and background, or add photos of each class from "
    "the same sources. Train, and evaluate on photos from another source."
)
_ESCAPED_BYTE: Final = re.compile("[\udc80-\udcff]")
_MOST_NAMES: Final = 10
_BOOL: Final = ("false", "true")
_SHOWN: Final = ("format", "width", "height", "bytes")
_COLUMNS: Final = (
    *("image", "label", "split", "product", "sha256", *_SHOWN, "picture", "twin", "message"),
    *(column for issue in Issue for column in (f"is_{issue}", f"{issue}_score")),
)
_MOST_TILES: Final = 24
_MOST_LABELS: Final = 3
_LONGEST_LABEL: Final = 60
_SIDE: Final = 140
_MOST_BYTES: Final = 4_400
"""Largest size of a photo on the page, in bytes. The photos of a page (24 for each of 18 issues) take 2.5 MB."""
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
"""Columns of :class:`trainer.data.photo_files.ImageStatistics` that are shown next to the score."""

_Couple = tuple[int, int, str]
"""The positions of two photos in ``scanned.photos``, and their relation."""
_Tile = tuple[int, str, list[Any]]
"""A photo on the page: the position in ``scanned.photos``, the title (if empty, the class), and lines of text."""


def leak_sentences(checkup: Checkup) -> list[str]:
    """Describe the leaks into test and validation photos."""
    photos, sentences = checkup.scanned.photos, []
    for split in (Split.TEST, Split.VAL):
        leaks = [leak for leak in checkup.relations.leaks if photos[leak.photo].split is split]
        pictures = [leak for leak in leaks if leak.kind is not LeakKind.PRODUCT]
        products = [leak for leak in leaks if leak.kind is LeakKind.PRODUCT]
        if pictures:
            counts = Counter(leak.kind for leak in pictures)
            kinds = " and ".join(f"{counts[kind]:,} {kind}" for kind in LeakKind if counts[kind])
            part = rounded(len(pictures) / sum(photo.split is split for photo in photos))
            seen = f"{part} of your {split.word} images were seen in {_sources(checkup, pictures)}"
            sentences.append(f"{kinds} {'leak' if len(pictures) == 1 else 'leaks'}: {seen}")
        if products:
            images = number_of(len(products), f"{split.word} image shows", f"{split.word} images show")
            sentences.append(f"{images} a product that is also in {_sources(checkup, products)}")
    return sentences


def _sources(checkup: Checkup, leaks: Sequence[Leak]) -> str:
    sources = {checkup.scanned.photos[leak.twin].split for leak in leaks}
    return " or ".join(source.word for source in Split if source in sources)


def doubt_sentences(checkup: Checkup) -> list[str]:
    """Faults that make training fail, or limit its results."""
    photos = checkup.scanned.photos
    sizes = Counter(photo.label for photo in photos)
    empty = [label for label in checkup.dataset.classes if not sizes[label]]
    single = [label for label in checkup.dataset.classes if sizes[label] == 1]
    without = sum(photo.split is None for photo in photos)
    doubts = []
    if empty:
        doubts.append(f"no usable photo of {listed(empty)}: the model cannot learn it")
    if single:
        doubts.append(f"only one photo of {listed(single)}: enough for training, not for a test")
    if 0 < without < len(photos):
        have = "photos has" if without == 1 else "photos have"
        doubts.append(
            f"{without:,} of {len(photos):,} {have} no split: hangtag train needs a split for all photos or for none"
        )
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for photo in photos:
        if photo.product is not None and photo.label != NONE:  # a size chart may have a product
            labels[photo.product].add(photo.label)
    disputed = [product for product, names in labels.items() if len(names) > 1]
    if disputed:
        stand = number_of(len(disputed), "product (column group) has", "products (column group) have")
        doubts.append(f"{stand} several labels, such as {brief(disputed[0])}")
    return doubts


def listed(names: Sequence[str]) -> str:
    """List up to ten names, and count the others."""
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(brief, names[:_MOST_NAMES])) + more


def property_sentences(checkup: Checkup) -> list[str]:
    """Issues that most photos of a class have, such as ``shirt: light (97%), grey (61%)``."""
    return [
        f"{brief(label)}: {', '.join(f'{issue} ({part:.0%})' for issue, part in issues.items())}"
        for label, issues in checkup.photo_issues.properties.items()
    ]


def shortcut_sentences(checkup: Checkup) -> list[str]:
    """Describe the accidental features that predict classes, best feature first."""
    return [guess.sentence() for guess in checkup.guesses if guess.is_shortcut]


def check_summary(checkup: Checkup, data: Path, seconds: float) -> dict[str, Any]:
    """The contents of ``check.json``."""
    scanned, relations, table = checkup.scanned, checkup.relations, checkup.dataset.table
    members = [{"image": str(one.path), "label": one.label, "split": one.split} for one in scanned.photos]

    def grouped(groups: Sequence[Sequence[int]]) -> list[list[dict[str, Any]]]:
        return [[members[place] for place in group] for group in groups]

    def bad(path: Path, kind: str, message: str) -> dict[str, str]:
        return {"image": str(path), "kind": kind, "message": message}

    sizes = Counter(one.label for one in scanned.photos if one.label != NONE)
    return {
        "schema_version": 1,
        "data": str(data),
        **({"table": asdict(table)} if table else {}),
        "images": len(scanned.photos) + len(scanned.faulty),
        "usable": len(scanned.photos),
        "classes": dict.fromkeys(checkup.dataset.classes, 0) | dict(sorted(sizes.items())),
        "splits": Counter(one.split for one in scanned.photos if one.split),
        "issues": {issue: checkup.count(issue) for issue in Issue},
        "properties": checkup.photo_issues.properties,
        "bad_files": [bad(one.photo.path, one.fault.kind, one.fault.message) for one in scanned.faulty],
        "ignored": [bad(one.path, one.reason, one.message) for one in checkup.ignored],
        "exact_duplicates": grouped(relations.exact),
        "near_duplicates": [
            {"first": members[pair.first], "second": members[pair.second], "likeness": pair.likeness}
            for pair in relations.near
        ],
        "label_conflicts": grouped(relations.conflicts),
        "placeholders": grouped(relations.placeholders),
        "leaks": [
            {"photo": members[leak.photo], "twin": members[leak.twin], "kind": leak.kind} for leak in relations.leaks
        ],
        "leak_sentences": leak_sentences(checkup),
        "shortcuts": [asdict(guess) for guess in checkup.guesses],
        "seconds": round(seconds, 2),
    }


def json_of(summary: Mapping[str, Any]) -> str:
    r"""Format JSON. File names that are not UTF-8 are escaped, as in ``b\xe9ret.png``."""
    text = json.dumps(summary, ensure_ascii=False, indent=1)
    return _ESCAPED_BYTE.sub(lambda byte: rf"\\x{ord(byte[0]) - 0xDC00:02x}", text)


def strict_faults(checkup: Checkup) -> dict[Issue, int]:
    """Count the issues that make ``--strict`` fail."""
    photos = checkup.scanned.photos
    faults = {issue: checkup.count(issue) for issue in (*UNUSABLE, Issue.LABEL_CONFLICT, Issue.LEAK)}
    faults[Issue.PLACEHOLDER] = sum(len(g) for g in checkup.relations.placeholders if label_count(photos, g) > 1)
    return {issue: count for issue, count in faults.items() if count}


def write_check_csv(path: Path, checkup: Checkup) -> None:
    """Write a row for each usable photo, in the order of the data, then a row for each unusable file.

    Paths are relative to the data's folder.
    """
    write_rows(path, _COLUMNS, chain(_usable_rows(checkup), _faulty_rows(checkup)))


def _photo_cells(checkup: Checkup, photo: LabeledPhoto, sha256: str) -> list[object]:
    image = path_in(checkup.dataset.source, photo.path)
    return [image, photo.label, photo.split or "", photo.product or "", sha256]


def _usable_rows(checkup: Checkup) -> Iterator[list[object]]:
    data, scanned, pictures = checkup.dataset.source, checkup.scanned, checkup.relations.pictures.tolist()
    shown = [checkup.statistics[name].to_pylist() for name in _SHOWN]
    columns = [(checkup.flags.get(issue), checkup.scores.get(issue)) for issue in Issue]
    for place, (photo, sha256) in enumerate(zip(scanned.photos, scanned.sha256s, strict=True)):
        twin = checkup.twins.get(place)
        row = [*_photo_cells(checkup, photo, sha256), *(column[place] for column in shown), pictures[place]]
        row += ["" if twin is None else path_in(data, scanned.photos[twin].path), ""]
        for flags, scores in columns:
            row += [_BOOL[flags is not None and bool(flags[place])], "" if scores is None else f"{scores[place]:.4f}"]
        yield row


def _faulty_rows(checkup: Checkup) -> Iterator[list[object]]:
    for one in checkup.scanned.faulty:
        row = [*_photo_cells(checkup, one.photo, ""), *[""] * (len(_SHOWN) + 2), one.fault.message]
        for issue in Issue:
            row += [_BOOL[issue is one.issue], "0.0000" if issue is one.issue else ""]
        yield row


def check_page(checkup: Checkup, links: Mapping[str, str] = MappingProxyType({})) -> str:
    """Render a page of all issues with example photos, at most about three megabytes.

    ``links`` maps the text of each link to its address, relative to the page. Faulty photos are not opened, because
    decoding them may crash.
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
