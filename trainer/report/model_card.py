"""A model card (Mitchell et al. 2019, https://arxiv.org/abs/1810.03993) as Markdown: what is known, and what is not."""

import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from exporter.markdown import code_block, listed, plain, table
from models.statistics.confidence import PrecisionTarget
from models.text import number_of
from pages.text import between, percent, rounded, target_name
from trainer.data.dataset import Split
from trainer.judging.figures import ClassFigures, Figures
from trainer.report.material import ReportMaterial, weakest
from trainer.run import RunState

__all__ = ["model_card"]

_FEW_PHOTOS: Final = 30
_MOST_NAMED: Final = 10
_MOST_CLASSES: Final = 100
_HEADER: Final = """---
library_name: keras
pipeline_tag: image-classification
tags: [image-classification, keras, onnx, hangtag]
---"""


def model_card(material: ReportMaterial) -> str:
    """The contents of a run's ``README.md``; the training has one whole epoch or more."""
    sections = (
        _HEADER,
        f"# {plain(material.args.name)}",
        _what_it_is(material),
        _intended_use(material),
        _how_to_use(material),
        _figures(material),
        _thresholds(material),
        "## What it does not know\n\n" + "\n".join(f"- {line}" for line in _limits(material)),
        _data(material),
        _training(material),
    )
    return "\n\n".join(part for part in sections if part) + "\n"


def _what_it_is(material: ReportMaterial) -> str:
    args = material.args
    count, size = number_of(len(args.classes), "class", "classes"), args.preprocess.size
    stopped = " The training was interrupted." if args.state is RunState.INTERRUPTED else ""
    named = listed([plain(name) for name in args.classes], _MOST_CLASSES)
    return (
        f"A classifier of product photos into {count}, trained with Hangtag: architecture `{args.arch}`, input "
        f"{size}×{size} pixels, epoch {args.best_epoch} of {args.epochs_done}.{stopped}\n\nClasses: {named}."
    )


def _intended_use(material: ReportMaterial) -> str:
    count = number_of(len(material.args.classes), "class", "classes")
    return (
        "## Intended use\n\n"
        f"To label photos of products that belong to one of its {count}, as those that it learned from do. What it is "
        "not sure of is meant to go to a person. It was not made for photos of anything else, people least of all."
        f"\n\n**{material.promise}** {material.outcome}".rstrip()
    )


def _how_to_use(material: ReportMaterial) -> str:
    bundle = f"bundles/{material.args.name}"
    target = material.ruling
    asked = f" --precision {target.precision:.2f}" if target else ""
    commands = (
        "hangtag evaluate RUN photos/                 # RUN is the folder that this file lies in",
        f"hangtag export RUN --out {shlex.quote(bundle)}",
        f"hangtag label catalogue.csv --model {shlex.quote(bundle)} --output labels.parquet{asked}",
    )
    python = (
        "import hangtag",
        "",
        f"classifier = hangtag.load({bundle!a})",
        'photos = ["shoe.jpg", "hat.png"]  # or bytes, Pillow images, uint8 arrays',
        "for photo, prediction in zip(photos, classifier.classify(photos), strict=True):",
        "    print(photo, prediction.label, prediction.confidence)",
    )
    return f"## How to use it\n\n{code_block(commands, 'console')}\n\n{code_block(python, 'python')}"


def _figures(material: ReportMaterial) -> str:
    split, figures = material.split, material.figures
    before = material.evaluation.ece_before.of(split)
    without = f" ({before:.3f} without it, on {split.word})" if before is not None else ""
    note = (
        "Precision, recall and F1 are means over the classes; in brackets, where the figure lies with 95% confidence. "
        "ECE is how far a confidence is from the share that is right, on average, after calibration with temperature "
        f"{material.evaluation.temperature:.2f}{without}."
    )
    head = ("split", "photos", "accuracy", "precision", "recall", "F1", "top 5", "ECE")
    rows = [
        (
            of.word,
            f"{one.n:,}",
            f"{percent(one.accuracy)} ({between(one.accuracy_95)})",
            *_three(one),
            percent(one.top5) if one.top5 is not None else "–",
            f"{one.ece:.3f}",
        )
        for of, one in ((Split.TEST, material.evaluation.test), (Split.VAL, material.evaluation.val))
        if one
    ]
    warning = material.caveat and f"**{material.caveat}**"
    parts = ("## Figures", table(head, rows), note, warning, figures and _classes(figures, split))
    return "\n\n".join(part for part in parts if part)


def _three(figures: Figures | ClassFigures) -> tuple[str, str, str]:
    return (
        f"{percent(figures.precision)} ({between(figures.precision_95)})",
        f"{percent(figures.recall)} ({between(figures.recall_95)})",
        f"{percent(figures.f1)} ({between(figures.f1_95)})",
    )


def _classes(figures: Figures, split: Split) -> str:
    """The classes, those with the lowest F1 first."""
    found = [(name, one) for name, one in figures.classes.items() if one.support]
    order = sorted(found, key=lambda item: (item[1].f1, item[0]))
    rows = ((plain(name), f"{one.support:,}", *_three(one)) for name, one in order[:_MOST_CLASSES])
    shown = table(("class", f"{split.word} photos", "precision", "recall", "F1"), rows)
    rest = len(order) - _MOST_CLASSES
    return f"{shown}\n\nand {rest:,} more: see `evaluation.json`." if rest > 0 else shown


def _thresholds(material: ReportMaterial) -> str:
    targets = material.confidence.targets
    if not any(target.coverage for target in targets):
        return ""
    head = ["precision asked for", "labelled by itself", "sent to a person"]
    if Split.TEST in material.judged:
        head.append("right on test photos")
    rows = [_target_row(material, target)[: len(head)] for target in targets]
    rules = " The one in bold rules where none is asked for." if material.ruling else ""
    return (
        f"## Precision and coverage\n\n{table(head, rows)}\n\nThe thresholds of each class are in `confidence.json`; "
        f"they were found on {material.found_on}.{rules}"
    )


def _target_row(material: ReportMaterial, target: PrecisionTarget) -> tuple[str, ...]:
    found = material.realised(target, Split.TEST)
    right = "–"
    if found and found.automatic and found.precision is not None:
        right = f"{percent(found.precision)} ({between(found.precision_95)}) of {found.automatic:,}"
    name = target_name(target.precision)
    asked = f"**{name}**" if target is material.ruling else name
    return asked, rounded(target.coverage), rounded(1 - target.coverage), right


def _limits(material: ReportMaterial) -> Iterator[str]:
    """A line of Markdown for each."""
    learned = material.prepared_counts.get(Split.TRAIN, {})
    few = sorted((learned.get(name, 0), name) for name in material.args.classes if learned.get(name, 0) < _FEW_PHOTOS)
    if few:
        named = listed([f"{plain(name)} ({count})" for count, name in few], _MOST_NAMED)
        yield f"Classes with fewer than {_FEW_PHOTOS} photos to learn from: {named}."
    figures = material.figures
    if figures:
        yield from _seldom_found(figures, material.split)
    yield _unknown(material)
    if material.issues:
        photos = number_of(len(material.issues), "photo", "photos")
        yield f"{photos} of the data may be labelled wrongly: see `label_issues.csv`."
    yield (
        "It was measured on photos of the same data as those that it learned from. Photos of another source are likely "
        "to be recognised less often, and what is promised above may not hold for them."
    )


def _seldom_found(figures: Figures, split: Split) -> Iterator[str]:
    weak = [f"{plain(name)} ({percent(figures.classes[name].recall)})" for name in weakest(figures)]
    if weak:
        yield f"Classes that are found least often, with the share of their {split.word} photos: {', '.join(weak)}."
    unmeasured = [plain(name) for name, one in figures.classes.items() if not one.support]
    if unmeasured:
        yield f"Classes without {split.word} photos, of which nothing is known: {listed(unmeasured, _MOST_NAMED)}."


def _unknown(material: ReportMaterial) -> str:
    limit, found = material.confidence.unknown, material.evaluation.unknown
    if limit is None:
        return "Whether a photo shows something else than its classes: no unknown score could be learned."
    split = material.split
    sent = found.review.of(split) if found else None
    reviewed = f"; of the {split.word} photos, all known, it sends {percent(sent)}" if sent is not None else ""
    return (
        f"Whether a photo shows something else than its classes, it guesses from its {limit.score} score: what is "
        f"above {limit.limit:.4g} goes to a person{reviewed}. Not everything that is strange is above it."
    )


def _data(material: ReportMaterial) -> str:
    counts = material.prepared_counts
    splits = [split for split in Split if split in counts]
    total = sum(sum(counts[split].values()) for split in splits)
    parts = ", ".join(f"{sum(counts[split].values()):,} for {split.word}" for split in splits)
    rows = (
        (plain(one), *(f"{counts[split].get(one, 0):,}" for split in splits))
        for one in material.args.classes[:_MOST_CLASSES]
    )
    rest = len(material.args.classes) - _MOST_CLASSES
    sections = (
        f"## Data\n\n{total:,} photos from {plain(PurePath(material.args.data).name)}: {parts}. {_set_aside(material)}",
        table(("class", *(split.word for split in splits)), rows),
        f"and {rest:,} more classes: see `splits.csv`." if rest > 0 else "",
        "\n".join(f"- {plain(note)}" for note in material.notes),
    )
    return "\n\n".join(part for part in sections if part)


def _set_aside(material: ReportMaterial) -> str:
    if not material.excluded:
        return "No file was set aside."
    kinds = Counter(one.reason for one in material.excluded).most_common()
    said = ", ".join(f"{count:,} {plain(reason.replace('_', ' '))}" for reason, count in kinds)
    return f"Set aside: {number_of(len(material.excluded), 'file', 'files')} ({said})."


def _training(material: ReportMaterial) -> str:
    rows = [(f"`{name}`", plain(_without_folder(value))) for name, value in material.settings.items()]
    size = [(plain(name), plain(value)) for name, value in material.speed.rows.items()]
    made = f"Made with {plain(material.made_with)}."
    return f"## Training\n\n{table(('setting', 'value'), rows)}\n\n{table(('size and speed', ''), size)}\n\n{made}"


def _without_folder(value: str) -> str:
    """A path without its folder: a card may be published, and must not tell where files lay."""
    path = PurePath(value)
    return path.name if path.is_absolute() else value
