"""The figures of a comparison of two models on a catalogue."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, Field

from catalogue.photo import photo_in
from catalogue.urls import is_elsewhere
from models.errors import ImageError
from pages.tiles import photo_uri

_FLOWS_SHOWN: Final = 8
_ROWS_OF_A_FLOW: Final = 6
_ROWS_SHOWN: Final = 24
_SIDE: Final = 160
_MOST_BYTES: Final = 5_500


class CatalogueChange(BaseModel, frozen=True):
    """Rows that would go from one label to another."""

    before: str
    after: str
    rows: int


class ChangedRow(BaseModel, frozen=True):
    """A row whose label would change: its number from 1, its cell unless that holds the photo, and a small JPEG."""

    row: int
    image: str | None
    before: str
    before_confidence: float
    after: str
    after_confidence: float
    thumbnail: str | None = None


class CatalogueFigures(BaseModel, frozen=True):
    """Two models on a sample of rows; ``failed`` rows are not among ``rows``, and ``flows`` has the largest first."""

    source: str
    rows_in_source: int
    rows: Annotated[int, Field(ge=0)]
    failed: int
    changed: int
    to_review: int
    from_review: int
    flows: tuple[CatalogueChange, ...] = ()
    examples: tuple[ChangedRow, ...] = ()

    @property
    def changed_share(self) -> float:
        """The share of the compared rows that would change; 0 if there are none."""
        return self.changed / self.rows if self.rows else 0.0


class RowLabel(NamedTuple):
    """A model's answer on a row; ``photo`` is a path, or the cell that holds the bytes."""

    label: str
    confidence: float
    review: bool
    sha256: str
    photo: str


class Pair(NamedTuple):
    """A row that both models have labelled; ``cell`` is what the catalogue says of its photo."""

    row: int
    cell: str | None
    before: RowLabel
    after: RowLabel


def counted(
    pairs: Sequence[Pair], renamed: Mapping[str, str], root: Path, source: str, rows_in_source: int, failed: int
) -> CatalogueFigures:
    """Count what differs; ``renamed`` maps old labels to new names, and ``root`` is where relative paths start."""
    flows: defaultdict[tuple[str, str], list[Pair]] = defaultdict(list)
    for pair in pairs:
        if renamed.get(pair.before.label, pair.before.label) != pair.after.label:
            flows[pair.before.label, pair.after.label].append(pair)
    order = sorted(flows, key=lambda flow: (-len(flows[flow]), flow))
    shown: list[Pair] = []  # of each of the largest flows the rows that the new model is surest of, each photo once
    for flow in order[:_FLOWS_SHOWN]:
        by_photo = {pair.after.sha256: pair for pair in reversed(flows[flow])}
        shown += sorted(by_photo.values(), key=lambda pair: (-pair.after.confidence, pair.row))[:_ROWS_OF_A_FLOW]
    reviews = Counter((pair.before.review, pair.after.review) for pair in pairs)
    return CatalogueFigures(
        source=source,
        rows_in_source=rows_in_source,
        rows=len(pairs),
        failed=failed,
        changed=sum(map(len, flows.values())),
        to_review=reviews[False, True],
        from_review=reviews[True, False],
        flows=tuple(CatalogueChange(before=one, after=other, rows=len(flows[one, other])) for one, other in order),
        examples=tuple(_example(pair, root) for pair in shown[:_ROWS_SHOWN]),
    )


def _example(pair: Pair, root: Path) -> ChangedRow:
    photo, thumbnail = pair.after.photo, None
    with suppress(ImageError):  # both models have decoded it in processes of their own, so it may be decoded here
        thumbnail = photo_uri(photo_in(photo) if is_elsewhere(photo) else root / photo, _SIDE, _MOST_BYTES)
    return ChangedRow(
        row=pair.row,
        image=None if not pair.cell or pair.cell.lower().startswith("data:") else pair.cell,
        before=pair.before.label,
        before_confidence=pair.before.confidence,
        after=pair.after.label,
        after_confidence=pair.after.confidence,
        thumbnail=thumbnail,
    )
