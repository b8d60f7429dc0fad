"""Photos that show the same picture, two of each side by side."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.text import number_of
from pages.text import isolated
from trainer.check.checkup import Checkup
from trainer.check.issues import Issue
from trainer.check.page.album import LONGEST_LABEL, Album
from trainer.check.page.tables import more
from trainer.check.relations import Leak, LeakKind
from trainer.data.dataset import Split

__all__ = ["COUPLES", "MOST_COUPLES", "Couple", "couples", "placeholders"]

MOST_COUPLES: Final = 12
_MOST_LABELS: Final = 3
_SHARED: Final = {LeakKind.EXACT: "the same pixels", LeakKind.NEAR: "the same picture", LeakKind.PRODUCT: "one product"}


@dataclass(frozen=True)
class Couple:
    """The places of two photos, and what they have to do with each other, as HTML."""

    first: int
    second: int
    note: str


def couples(found: Sequence[Couple], album: Album) -> str:
    """The first few, side by side."""
    shown = "".join(album.couple(couple.first, couple.second, couple.note) for couple in found[:MOST_COUPLES])
    return f'<div class="couples">{shown}</div>{more(len(found) - MOST_COUPLES, "pair", "pairs")}'


def placeholders(checkup: Checkup, album: Album, most: int) -> str:
    """A tile a picture, with the classes it stands under; those under many rows first."""
    groups = sorted(checkup.relations.placeholders, key=len, reverse=True)
    tiles = "".join(
        album.titled(group[0], number_of(len(group), "image", "images"), *_labels(group, checkup))
        for group in groups[:most]
    )
    return f'<div class="tiles">{tiles}</div>{more(len(groups) - most, "picture", "pictures")}'


def _leaks(checkup: Checkup) -> list[Couple]:
    """Those of test photos first, and the surest kind."""
    photos, kinds = checkup.looked.photos, list(LeakKind)

    def weight(leak: Leak) -> tuple[bool, int]:
        return photos[leak.photo].split is not Split.TEST, kinds.index(leak.kind)

    def note(leak: Leak) -> str:
        return f"{_SHARED[leak.kind]} in {photos[leak.photo].split} and in {photos[leak.twin].split}"

    return [Couple(leak.photo, leak.twin, note(leak)) for leak in sorted(checkup.relations.leaks, key=weight)]


def _conflicts(checkup: Checkup) -> list[Couple]:
    """The first photos of two classes that a picture stands under."""
    found = []
    for group in checkup.relations.conflicts:
        firsts = {checkup.looked.photos[place].label: place for place in reversed(group)}
        first, second, *_ = sorted(firsts.values())
        found.append(Couple(first, second, ", ".join(_labels(group, checkup))))
    return found


def _exact(checkup: Checkup) -> list[Couple]:
    groups = sorted(checkup.relations.exact, key=len, reverse=True)
    return [Couple(group[0], group[1], f"{len(group):,} images with the same pixels") for group in groups]


def _near(checkup: Checkup) -> list[Couple]:
    pairs = sorted(checkup.relations.near, key=lambda pair: -pair.likeness)
    return [Couple(pair.first, pair.second, f"likeness {pair.likeness:.3f}") for pair in pairs]


COUPLES: Final[Mapping[Issue, Callable[[Checkup], list[Couple]]]] = {
    Issue.LEAK: _leaks,
    Issue.LABEL_CONFLICT: _conflicts,
    Issue.EXACT_DUPLICATE: _exact,
    Issue.NEAR_DUPLICATE: _near,
}


def _labels(group: Sequence[int], checkup: Checkup) -> list[str]:
    """``shirt 12``, ``dress 3``, ``and 4 more classes``."""
    counts = Counter(checkup.looked.photos[place].label for place in group).most_common()
    listed = [f"{isolated(label, LONGEST_LABEL)} {count:,}" for label, count in counts[:_MOST_LABELS]]
    others = len(counts) - _MOST_LABELS
    return [*listed, f"and {number_of(others, 'more class', 'more classes')}"] if others > 0 else listed
