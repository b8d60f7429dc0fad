"""The section of a receipt's page that is about products with several photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from models.text import number_of
from worker.page.contact_sheet import SheetPhoto
from worker.page.sections import section
from worker.page.text import isolated, share
from worker.page.tiles import photo_tiles
from worker.products.vote import Product, Verdict
from worker.receipt import GroupCounts

__all__ = ["PRODUCTS_STYLE", "ProductPhotos", "products_section"]

PRODUCTS_STYLE: Final = ".product .tiles { grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .5rem }"
_LONGEST_NAME: Final = 80


@dataclass(frozen=True)
class ProductPhotos:
    """A product whose photos disagree, and some of those that do."""

    product: Product
    verdict: Verdict
    photos: tuple[SheetPhoto, ...]


def products_section(counts: GroupCounts, shown: Sequence[ProductPhotos]) -> str:
    """How many products there are, and some that a person should look at, their photos side by side.

    Args:
        counts: of a receipt.
        shown: some of the products whose photos disagree.
    """
    title = f'Products <span class="faint">· {counts.products:,}</span>'
    statuses = ", ".join(
        f"{count:,} {name} ({share(count, counts.products)})"
        for name, count in (("labeled", counts.labeled), ("to review", counts.review), ("failed", counts.failed))
    )
    return section(title, f"<p>{statuses}.</p>{_disagreeing(counts.disagreeing, shown)}", "long")


def _disagreeing(count: int, shown: Sequence[ProductPhotos]) -> str:
    if not count:
        return '<p class="faint">Of no product do sure photos disagree.</p>'
    which = f" The first {len(shown):,}:" if 0 < len(shown) < count else ""
    note = (
        f"Of {number_of(count, 'product', 'products')}, photos that are sure by themselves have different labels; none "
        f"of their rows is labeled.{which}"
    )
    return f'<p class="faint">{note}</p><div class="pair">{"".join(map(_product, shown))}</div>'


def _product(shown: ProductPhotos) -> str:
    told = shown.verdict
    vote = f"together {isolated(told.label or '', _LONGEST_NAME)}, {told.confidence or 0:.1%}"
    facts = f"{number_of(shown.product.photos, 'photo', 'photos')}, {vote}"
    name = isolated(shown.product.name, _LONGEST_NAME)
    return f'<div class="product"><h3>{name} <span class="faint">· {facts}</span></h3>{photo_tiles(shown.photos)}</div>'
