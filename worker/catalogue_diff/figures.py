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
    """A row whose label would change, with a small JPEG of its photo as a data URI where there is one.

    Attributes:
        row: of the catalogue, from 1.
        image: what its cell says; None if that is empty or holds the photo itself.
    """

    row: int
    image: str | None
    before: str
    before_confidence: float
    after: str
    after_confidence: float
    thumbnail: str | None = None


class CatalogueFigures(BaseModel, frozen=True):
    """Two models on a sample of a catalogue's rows; a photo that stands in several rows counts in each.

    Attributes:
        rows_in_source: how many the catalogue has.
        rows: how many were compared: those that both could label.
        failed: rows of the sample that at least one of the two models could not label.
        changed: rows whose label would change.
        to_review, from_review: rows that would newly go to review, or would no longer go there.
        flows: where labels would go, the largest first.
        examples: some rows of the largest flows.
    """

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
    """What a model says of a row.

    Attributes:
        review: whether a person should look.
        photo: where its bytes are: a path, or the cell that holds them.
    """

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
    """Count what differs.

    ``renamed`` maps a label of the model before to its new name in the model after. Relative paths of photos start at
    ``root``.
    """
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
