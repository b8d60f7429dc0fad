from pathlib import Path

import pytest

from models.decision import ReviewReason
from worker.page.contact_sheet import SheetPhoto
from worker.page.products import ProductPhotos, products_section
from worker.products.vote import Product, Verdict
from worker.receipt import GroupCounts
from worker.results import Status

from .html_page import Page

NASTY = """</h3><script>alert("1")</script><img src=x onerror='alert(2)'>"""


def product(name: str, photo: Path | None, label: str = "shoe") -> ProductPhotos:
    verdict = Verdict(label, 0.612, Status.REVIEW, ReviewReason.DISAGREEMENT, 0.5)
    photos = tuple(SheetPhoto(photo, Status.REVIEW, title, "review 98.0%") for title in (label, "hat"))
    return ProductPhotos(Product(name, 5, 4, {}), verdict, photos)


def counts(**changes: int) -> GroupCounts:
    facts = {"products": 1000, "labeled": 900, "review": 99, "failed": 1, "disagreeing": 2}
    return GroupCounts.model_validate(facts | changes)


def test_products_are_counted_and_those_that_disagree_shown(photo: Path) -> None:
    html = products_section(counts(), [product("A-1", photo), product("A-2", photo)])
    text = Page(html).text
    for said in (
        "Products · 1,000",
        "900 labeled (90.0%), 99 to review (9.9%), 1 failed (0.1%).",
        "Of 2 products, photos that are sure by themselves have different labels",
        "A-1 · 5 photos, together shoe , 61.2% shoe review 98.0% hat review 98.0%",
    ):
        assert said in text, said
    assert "The first" not in text
    assert html.count("data:image/jpeg;base64,") == 4


def test_it_says_where_not_all_are_shown(photo: Path) -> None:
    assert "The first 1:" in Page(products_section(counts(disagreeing=7), [product("A-1", photo)])).text


@pytest.mark.parametrize(("disagreeing", "said"), [(0, "Of no product do sure photos disagree."), (3, "Of 3 products")])
def test_a_page_without_photos_has_the_counts(disagreeing: int, said: str) -> None:
    text = Page(products_section(counts(disagreeing=disagreeing), [])).text
    assert said in text
    assert "The first" not in text


def test_no_products_are_no_trouble() -> None:
    nothing = GroupCounts(products=0, labeled=0, review=0, failed=0, disagreeing=0)
    assert "Products · 0" in Page(products_section(nothing, [])).text


def test_no_name_becomes_markup(photo: Path) -> None:
    html = products_section(counts(), [product(NASTY, photo, NASTY)])
    page = Page(html)
    assert not [tag for tag, _ in page.elements if tag == "script"]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_a_very_long_name_makes_no_long_page() -> None:
    assert len(products_section(counts(), [product("x" * 1_000_000, None)])) < 10_000
