"""Where labels would go, counted by rows; and rows to look at."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import ImageError
from pages.tiles import photo_uri
from worker.catalogue_diff.figures import CatalogueChange, CatalogueFigures, ChangedRow
from worker.photos.cells import photo_in
from worker.places import is_elsewhere

__all__ = ["Answer", "Pair", "counted"]

_FLOWS_SHOWN: Final = 8
_ROWS_OF_A_FLOW: Final = 6
_ROWS_SHOWN: Final = 24
_SIDE: Final = 160
_MOST_BYTES: Final = 5_500


@dataclass(frozen=True)
class Answer:
    """What a model says of a row.

    Attributes:
        review: whether a person should look.
        sha256: of the photo.
        photo: where its bytes are: a path, or the cell that holds them.
    """

    label: str
    confidence: float
    review: bool
    sha256: str
    photo: str


@dataclass(frozen=True)
class Pair:
    """A row that both models have labelled; ``cell`` is what the catalogue says of its photo."""

    row: int
    cell: str | None
    before: Answer
    after: Answer


def counted(pairs: Sequence[Pair], renamed: Mapping[str, str], root: Path) -> CatalogueFigures:
    """Count what differs.

    Args:
        pairs: by row.
        renamed: label of the model before → what the model after calls the same.
        root: where relative paths of photos start.

    Returns:
        Figures; ``source``, ``rows_in_source`` and ``failed`` are for the caller to fill in.
    """
    flows: defaultdict[tuple[str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        if renamed.get(pair.before.label, pair.before.label) != pair.after.label:
            flows[pair.before.label, pair.after.label].append(pair)
    order = sorted(flows, key=lambda flow: (-len(flows[flow]), flow))
    reviews = Counter((pair.before.review, pair.after.review) for pair in pairs)
    return CatalogueFigures(
        source="",
        rows_in_source=len(pairs),
        rows=len(pairs),
        failed=0,
        changed=sum(map(len, flows.values())),
        to_review=reviews[False, True],
        from_review=reviews[True, False],
        flows=tuple(CatalogueChange(before=one, after=other, rows=len(flows[one, other])) for one, other in order),
        examples=tuple(_example(pair, root) for pair in _shown([flows[flow] for flow in order])),
    )


def _shown(flows: Sequence[Sequence[Pair]]) -> list[Pair]:
    """Of each of the largest flows the rows that the new model is surest of, each photo once."""
    shown = []
    for flow in flows[:_FLOWS_SHOWN]:
        by_photo = {pair.after.sha256: pair for pair in reversed(flow)}
        surest = sorted(by_photo.values(), key=lambda pair: (-pair.after.confidence, pair.row))
        shown += surest[:_ROWS_OF_A_FLOW]
    return shown[:_ROWS_SHOWN]


def _example(pair: Pair, root: Path) -> ChangedRow:
    return ChangedRow(
        row=pair.row,
        image=None if not pair.cell or pair.cell.lower().startswith("data:") else pair.cell,
        before=pair.before.label,
        before_confidence=pair.before.confidence,
        after=pair.after.label,
        after_confidence=pair.after.confidence,
        thumbnail=_thumbnail(pair.after.photo, root),
    )


def _thumbnail(photo: str, root: Path) -> str | None:
    """Both models have decoded it in processes of their own, so it may be decoded here."""
    try:
        return photo_uri(photo_in(photo) if is_elsewhere(photo) else root / photo, _SIDE, _MOST_BYTES)
    except ImageError:
        return None
