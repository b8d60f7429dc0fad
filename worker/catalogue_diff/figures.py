"""What a comparison of two models on a catalogue comes to."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["CatalogueChange", "CatalogueFigures", "ChangedRow"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CatalogueChange(_Record):
    """Rows that would go from one label to another."""

    before: str
    after: str
    rows: int


class ChangedRow(_Record):
    """A row whose label would change, with a small JPEG of its photo as a data URI where there is one.

    Attributes:
        row: of the catalogue, from 1.
        image: what its cell says; none where that is empty or holds the photo itself.
    """

    row: int
    image: str | None
    before: str
    before_confidence: float
    after: str
    after_confidence: float
    thumbnail: str | None = None


class CatalogueFigures(_Record):
    """Two models on a sample of a catalogue's rows; a photo that stands in several rows counts in each.

    Attributes:
        source: the catalogue.
        rows_in_source: how many it has.
        rows: how many were compared: those that both could label.
        failed: rows of the sample that one of both could not label.
        changed: rows whose label would change.
        to_review, from_review: rows that would go to review, or that would need it no more.
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
        """Of the rows that were compared; 0 where there are none."""
        return self.changed / self.rows if self.rows else 0.0
