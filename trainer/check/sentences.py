"""What a check found, in plain words."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from trainer.check.checkup import Checkup
from trainer.check.issues import Issue
from trainer.check.relations import Leak, LeakKind
from trainer.data.dataset import LabeledPhoto, Split

__all__ = ["MEANINGS", "doubt_sentences", "leak_sentences", "listed", "property_sentences", "shortcut_sentences"]

MEANINGS: Final = {
    Issue.MISSING: "nothing is there under this name",
    Issue.UNREADABLE: "it is no image, or a damaged one, or cannot be read",
    Issue.TRUNCATED: "the file ends too early",
    Issue.UNSUPPORTED: "a file, but none of the formats that Hangtag reads",
    Issue.WRONG_EXTENSION: "its name says another format than its content",
    Issue.LEAK: "the same picture or product is in a split that is learned from",
    Issue.LABEL_CONFLICT: "the same picture stands under two labels",
    Issue.PLACEHOLDER: "one picture under many rows: an 'image not available'",
    Issue.EXACT_DUPLICATE: "the same pixels as another photo",
    Issue.NEAR_DUPLICATE: "another photo saved again, resized or cropped a little",
    Issue.TOO_SMALL: "less than 64 pixels at its longer side",
    Issue.ODD_SIZE: "far larger or smaller than most",
    Issue.ODD_ASPECT_RATIO: "very long or very high",
    Issue.DARK: "hardly any bright pixel",
    Issue.LIGHT: "hardly any dark pixel",
    Issue.BLURRY: "hardly any sharp edge",
    Issue.LOW_INFORMATION: "nearly one colour",
    Issue.ANIMATED: "several pictures in one file; the first is used",
    Issue.TRANSPARENT: "something shines through; white is laid under it",
    Issue.EXIF_ROTATED: "stored turned or mirrored; it is set upright",
    Issue.CMYK: "printing colours; they are converted",
    Issue.GREY: "no colour",
}
"""What each issue means, those first that matter most."""


_MOST_NAMES: Final = 10


def leak_sentences(checkup: Checkup) -> list[str]:
    """For each split, how much of it was seen in the splits that more is learned from."""
    photos = checkup.looked.photos
    sizes = Counter(photo.split for photo in photos)
    sentences = []
    for split in (Split.TEST, Split.VAL):
        leaks = [leak for leak in checkup.relations.leaks if photos[leak.photo].split is split]
        if leaks:
            sentences.append(_leak_sentence(checkup, split, leaks, sizes[split]))
    return sentences


def _leak_sentence(checkup: Checkup, split: Split, leaks: list[Leak], size: int) -> str:
    seen = [leak for leak in leaks if leak.kind is not LeakKind.PRODUCT]
    clauses = []
    if seen:
        kinds = Counter(leak.kind for leak in seen)
        counted = " and ".join(f"{kinds[kind]:,} {kind}" for kind in LeakKind if kinds[kind])
        noun = "leak" if len(seen) == 1 else "leaks"
        share = f"{_percent(len(seen), size)} of your {split.word} images"
        clauses.append(f"{counted} {noun}: {share} were seen in {_sources(checkup, seen)}")
    if len(seen) < len(leaks):
        others = [leak for leak in leaks if leak.kind is LeakKind.PRODUCT]
        share = f"{len(others):,} {split.word} {'image shows' if len(others) == 1 else 'images show'}"
        clauses.append(f"{share} a product of which other photos are in {_sources(checkup, others)}")
    return "; ".join(clauses)


def _sources(checkup: Checkup, leaks: list[Leak]) -> str:
    sources = {checkup.looked.photos[leak.twin].split for leak in leaks}
    return " or ".join(source.word for source in Split if source in sources)


def doubt_sentences(checkup: Checkup) -> list[str]:
    """What a training would refuse, or could not do."""
    photos = checkup.looked.photos
    sizes = Counter(photo.label for photo in photos)
    empty = [label for label in checkup.dataset.classes if not sizes[label]]
    single = [label for label in checkup.dataset.classes if sizes[label] == 1]
    without = sum(photo.split is None for photo in photos)
    doubts = []
    if empty:
        doubts.append(f"no usable photo of {listed(empty)}: a model will not know it")
    if single:
        doubts.append(f"one photo only of {listed(single)}: it can be trained on, and not tested")
    if 0 < without < len(photos):
        have = "photos has" if without == 1 else "photos have"
        doubts.append(f"{without:,} of {len(photos):,} {have} no split: hangtag train wants one for all or for none")
    disputed = _products_of_several_labels(photos)
    if disputed:
        stand = "product (column group) stands" if len(disputed) == 1 else "products (column group) stand"
        doubts.append(f"{len(disputed):,} {stand} under several labels, such as {disputed[0]}")
    return doubts


def _products_of_several_labels(photos: Sequence[LabeledPhoto]) -> list[str]:
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for photo in photos:
        if photo.product is not None:
            labels[photo.product].add(photo.label)
    return [product for product, names in labels.items() if len(names) > 1]


def listed(names: Sequence[str]) -> str:
    """Names for a sentence: the first ten, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def property_sentences(checkup: Checkup) -> list[str]:
    """What holds for most of a class: ``shirt: light (97%), grey (61%)``."""
    return [
        f"{label}: {', '.join(f'{issue} ({share:.0%})' for issue, share in issues.items())}"
        for label, issues in checkup.judgement.properties.items()
    ]


def shortcut_sentences(checkup: Checkup) -> list[str]:
    """The accidents that give classes away, the best first."""
    return [guess.sentence() for guess in checkup.guesses if guess.is_shortcut]


def _percent(part: int, whole: int) -> str:
    """A share in words that are true: never 0% of something, nor 100% of less than all."""
    share = 100 * part / whole
    if share < 0.1:  # noqa: PLR2004 - what one digit can say
        return "less than 0.1%"
    if part < whole and share >= 99.5:  # noqa: PLR2004 - would be rounded up to all
        return "more than 99%"
    return f"{share:.0f}%" if share >= 1 else f"{share:.1f}%"
