"""What a check found: in plain words, as ``check.json`` for scripts, and as ``check.csv`` with a row a photo."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, Final

from models.photo import NONE
from models.text import number_of
from trainer.check.checkup import UNUSABLE, Checkup
from trainer.check.issues import Issue
from trainer.check.near import NearPair
from trainer.check.relations import Leak, LeakKind, label_count
from trainer.data.csv_files import path_in, write_rows
from trainer.data.dataset import LabeledPhoto, Split

MEANINGS: Final = {
    Issue.MISSING: "no file has this name",
    Issue.UNREADABLE: "it is not an image, is damaged, or cannot be read",
    Issue.TRUNCATED: "the file ends too early",
    Issue.UNSUPPORTED: "a file in none of the formats that Hangtag reads",
    Issue.WRONG_EXTENSION: "its name says another format than its content",
    Issue.LEAK: "the same picture or product is in a split that is learned from",
    Issue.LABEL_CONFLICT: "the same picture has two labels",
    Issue.PLACEHOLDER: "one picture under many rows: an 'image not available'",
    Issue.EXACT_DUPLICATE: "the same pixels as another photo",
    Issue.NEAR_DUPLICATE: "another photo saved again, resized or cropped a little",
    Issue.TOO_SMALL: "less than 64 pixels at its longer side",
    Issue.ODD_SIZE: "far larger or smaller than most",
    Issue.ODD_ASPECT_RATIO: "very wide or very high",
    Issue.DARK: "hardly any bright pixel",
    Issue.LIGHT: "hardly any dark pixel",
    Issue.BLURRY: "hardly any sharp edge",
    Issue.LOW_INFORMATION: "nearly one colour",
    Issue.ANIMATED: "several pictures in one file; the first is used",
    Issue.TRANSPARENT: "some pixels are transparent; white is put behind them",
    Issue.EXIF_ROTATED: "stored turned or mirrored; it is turned upright",
    Issue.CMYK: "printing colours; they are converted",
    Issue.GREY: "no colour",
}
"""What each issue means, the most serious first."""
_ESCAPED_BYTE: Final = re.compile("[\udc80-\udcff]")
_MOST_NAMES: Final = 10
_BOOL: Final = ("false", "true")
_SHOWN: Final = ("format", "width", "height", "bytes")
_COLUMNS: Final = (
    *("image", "label", "split", "product", "sha256", *_SHOWN, "picture", "twin", "message"),
    *(column for issue in Issue for column in (f"is_{issue}", f"{issue}_score")),
)


def leak_sentences(checkup: Checkup) -> list[str]:
    """For each split, how many of its photos also appear in a split that is learned from more."""
    photos = checkup.scanned.photos
    sizes = Counter(photo.split for photo in photos)
    sentences = []
    for split in (Split.TEST, Split.VAL):
        leaks = [leak for leak in checkup.relations.leaks if photos[leak.photo].split is split]
        seen = [leak for leak in leaks if leak.kind is not LeakKind.PRODUCT]
        others = [leak for leak in leaks if leak.kind is LeakKind.PRODUCT]
        clauses = []
        if seen:
            kinds = Counter(leak.kind for leak in seen)
            counted = " and ".join(f"{kinds[kind]:,} {kind}" for kind in LeakKind if kinds[kind])
            noun = "leak" if len(seen) == 1 else "leaks"
            share = f"{_percent(len(seen), sizes[split])} of your {split.word} images"
            clauses.append(f"{counted} {noun}: {share} were seen in {_sources(checkup, seen)}")
        if others:
            shown = number_of(len(others), f"{split.word} image shows", f"{split.word} images show")
            clauses.append(f"{shown} a product whose other photos are in {_sources(checkup, others)}")
        if clauses:
            sentences.append("; ".join(clauses))
    return sentences


def _sources(checkup: Checkup, leaks: list[Leak]) -> str:
    sources = {checkup.scanned.photos[leak.twin].split for leak in leaks}
    return " or ".join(source.word for source in Split if source in sources)


def _percent(part: int, whole: int) -> str:
    """A share in words that are true: never 0% of something, nor 100% of less than all."""
    share = 100 * part / whole
    if share < 0.1:  # noqa: PLR2004 - what one digit can say
        return "less than 0.1%"
    if part < whole and share >= 99.5:  # noqa: PLR2004 - would be rounded up to all
        return "more than 99%"
    return f"{share:.0f}%" if share >= 1 else f"{share:.1f}%"


def doubt_sentences(checkup: Checkup) -> list[str]:
    """What a training would refuse, or could not do."""
    photos = checkup.scanned.photos
    sizes = Counter(photo.label for photo in photos)
    empty = [label for label in checkup.dataset.classes if not sizes[label]]
    single = [label for label in checkup.dataset.classes if sizes[label] == 1]
    without = sum(photo.split is None for photo in photos)
    doubts = []
    if empty:
        doubts.append(f"no usable photo of {listed(empty)}: a model will not know it")
    if single:
        doubts.append(f"only one photo of {listed(single)}: it can be trained on, but not tested")
    if 0 < without < len(photos):
        have = "photos has" if without == 1 else "photos have"
        doubts.append(f"{without:,} of {len(photos):,} {have} no split: hangtag train wants one for all or for none")
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for photo in photos:
        if photo.product is not None:
            labels[photo.product].add(photo.label)
    for names in labels.values():
        names.discard(NONE)  # a product may have a size chart
    disputed = [product for product, names in labels.items() if len(names) > 1]
    if disputed:
        stand = number_of(len(disputed), "product (column group) stands", "products (column group) stand")
        doubts.append(f"{stand} under several labels, such as {disputed[0]}")
    return doubts


def listed(names: Sequence[str]) -> str:
    """Names for a sentence: the first ten, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def property_sentences(checkup: Checkup) -> list[str]:
    """What holds for most of a class: ``shirt: light (97%), grey (61%)``."""
    return [
        f"{label}: {', '.join(f'{issue} ({share:.0%})' for issue, share in issues.items())}"
        for label, issues in checkup.photo_issues.properties.items()
    ]


SHORTCUT_ADVICE: Final = (
    "Against a shortcut: bring photos of each class from the same sources, or save all photos alike (size, format, "
    "background); then train, and evaluate on photos of another source."
)


def shortcut_sentences(checkup: Checkup) -> list[str]:
    """The accidents that give classes away, the best first."""
    return [guess.sentence() for guess in checkup.guesses if guess.is_shortcut]


def check_summary(checkup: Checkup, data: Path, seconds: float) -> dict[str, Any]:
    """What a check of ``data`` found, as ``check.json`` has it; a change of its format raises ``schema_version``."""
    scanned, relations, properties = checkup.scanned, checkup.relations, checkup.photo_issues.properties
    members = [{"image": str(one.path), "label": one.label, "split": one.split} for one in scanned.photos]

    def grouped(groups: Iterable[Sequence[int]]) -> list[list[dict[str, Any]]]:
        return [[members[place] for place in group] for group in groups]

    def paired(pair: NearPair) -> dict[str, Any]:
        return {"first": members[pair.first], "second": members[pair.second], "likeness": pair.likeness}

    def bad(path: Path, kind: str, message: str) -> dict[str, str]:
        return {"image": str(path), "kind": kind, "message": message}

    sizes, table = Counter(one.label for one in scanned.photos if one.label != NONE), checkup.dataset.table
    return {
        "schema_version": 1,
        "data": str(data),
        **({"table": asdict(table)} if table else {}),
        "images": len(scanned.photos) + len(scanned.faulty),
        "usable": len(scanned.photos),
        "classes": dict.fromkeys(checkup.dataset.classes, 0) | dict(sorted(sizes.items())),
        "splits": Counter(one.split for one in scanned.photos if one.split),
        "issues": {issue: checkup.count(issue) for issue in Issue},
        "properties": properties,
        "bad_files": [bad(one.photo.path, one.fault.kind, one.fault.message) for one in scanned.faulty],
        "ignored": [bad(one.path, one.reason, one.message) for one in checkup.ignored],
        "exact_duplicates": grouped(relations.exact),
        "near_duplicates": [paired(pair) for pair in relations.near],
        "label_conflicts": grouped(relations.conflicts),
        "placeholders": grouped(relations.placeholders),
        "leaks": [{"photo": members[o.photo], "twin": members[o.twin], "kind": o.kind} for o in relations.leaks],
        "leak_sentences": leak_sentences(checkup),
        "shortcuts": [asdict(guess) for guess in checkup.guesses],
        "seconds": round(seconds, 2),
    }


def json_of(summary: Mapping[str, Any]) -> str:
    r"""As JSON; names that are no UTF-8 are readable: ``b\xe9ret.png``. ``check.csv`` has their very bytes."""
    text = json.dumps(summary, ensure_ascii=False, indent=1)
    return _ESCAPED_BYTE.sub(lambda byte: rf"\\x{ord(byte[0]) - 0xDC00:02x}", text)


def strict_faults(checkup: Checkup) -> dict[Issue, int]:
    """What ``--strict`` does not let pass, and how often it was found."""
    photos = checkup.scanned.photos
    found = {issue: checkup.count(issue) for issue in (*UNUSABLE, Issue.LABEL_CONFLICT, Issue.LEAK)}
    found[Issue.PLACEHOLDER] = sum(len(g) for g in checkup.relations.placeholders if label_count(photos, g) > 1)
    return {issue: count for issue, count in found.items() if count}


def write_check_csv(path: Path, checkup: Checkup) -> None:
    """Write a row for each usable photo, in order, then one for each file that is not; paths start at the data."""
    write_rows(path, _COLUMNS, chain(_usable(checkup), _faulty(checkup)))


def _photo_cells(checkup: Checkup, photo: LabeledPhoto, sha256: str) -> list[object]:
    image = path_in(checkup.dataset.source, photo.path)
    return [image, photo.label, photo.split or "", photo.product or "", sha256]


def _usable(checkup: Checkup) -> Iterator[list[object]]:
    data, scanned, pictures = checkup.dataset.source, checkup.scanned, checkup.relations.pictures.tolist()
    shown = [checkup.statistics[name].to_pylist() for name in _SHOWN]
    found = [(checkup.flags.get(issue), checkup.scores.get(issue)) for issue in Issue]
    for place, (photo, sha256) in enumerate(zip(scanned.photos, scanned.sha256s, strict=True)):
        twin = checkup.twins.get(place)
        row = [*_photo_cells(checkup, photo, sha256), *(column[place] for column in shown), pictures[place]]
        row += ["" if twin is None else path_in(data, scanned.photos[twin].path), ""]
        for flags, scores in found:
            row += [_BOOL[flags is not None and bool(flags[place])], "" if scores is None else f"{scores[place]:.4f}"]
        yield row


def _faulty(checkup: Checkup) -> Iterator[list[object]]:
    for one in checkup.scanned.faulty:
        row = [*_photo_cells(checkup, one.photo, ""), *[""] * (len(_SHOWN) + 2), one.fault.message]
        for issue in Issue:
            row += [_BOOL[issue is one.issue], "0.0000" if issue is one.issue else ""]
        yield row
