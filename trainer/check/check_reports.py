"""What a check found: in plain words, as ``check.json`` for scripts, and as ``check.csv`` with a row a photo."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, Final

from models.photo import NONE
from models.text import brief, number_of
from pages.text import rounded
from trainer.check.checkup import UNUSABLE, Checkup, Issue
from trainer.check.relations import Leak, LeakKind, label_count
from trainer.data.csv_files import path_in, write_rows
from trainer.data.dataset import LabeledPhoto, Split

SHORTCUT_ADVICE: Final = (
    "Against a shortcut: bring photos of each class from the same sources, or save all photos alike (size, format, "
    "background); then train, and evaluate on photos of another source."
)
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
            sentences.append(f"{images} a product whose other photos are in {_sources(checkup, products)}")
    return sentences


def _sources(checkup: Checkup, leaks: Sequence[Leak]) -> str:
    sources = {checkup.scanned.photos[leak.twin].split for leak in leaks}
    return " or ".join(source.word for source in Split if source in sources)


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
        if photo.product is not None and photo.label != NONE:  # a product may have a size chart
            labels[photo.product].add(photo.label)
    disputed = [product for product, names in labels.items() if len(names) > 1]
    if disputed:
        stand = number_of(len(disputed), "product (column group) stands", "products (column group) stand")
        doubts.append(f"{stand} under several labels, such as {brief(disputed[0])}")
    return doubts


def listed(names: Sequence[str]) -> str:
    """Names for a sentence: the first ten, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(brief, names[:_MOST_NAMES])) + more


def property_sentences(checkup: Checkup) -> list[str]:
    """What holds for most of a class: ``shirt: light (97%), grey (61%)``."""
    return [
        f"{brief(label)}: {', '.join(f'{issue} ({part:.0%})' for issue, part in issues.items())}"
        for label, issues in checkup.photo_issues.properties.items()
    ]


def shortcut_sentences(checkup: Checkup) -> list[str]:
    """The accidents that give classes away, the best first."""
    return [guess.sentence() for guess in checkup.guesses if guess.is_shortcut]


def check_summary(checkup: Checkup, data: Path, seconds: float) -> dict[str, Any]:
    """What a check of ``data`` found, as ``check.json`` has it."""
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
    r"""As JSON; names that are no UTF-8 are readable: ``b\xe9ret.png``. ``check.csv`` has their very bytes."""
    text = json.dumps(summary, ensure_ascii=False, indent=1)
    return _ESCAPED_BYTE.sub(lambda byte: rf"\\x{ord(byte[0]) - 0xDC00:02x}", text)


def strict_faults(checkup: Checkup) -> dict[Issue, int]:
    """What ``--strict`` does not let pass, and how often it was found."""
    photos = checkup.scanned.photos
    faults = {issue: checkup.count(issue) for issue in (*UNUSABLE, Issue.LABEL_CONFLICT, Issue.LEAK)}
    faults[Issue.PLACEHOLDER] = sum(len(g) for g in checkup.relations.placeholders if label_count(photos, g) > 1)
    return {issue: count for issue, count in faults.items() if count}


def write_check_csv(path: Path, checkup: Checkup) -> None:
    """Write a row for each usable photo, in order, then one for each file that is not; paths start at the data."""
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
