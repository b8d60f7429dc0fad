from pathlib import Path

from models.text import without_file_links
from pages.render import add_links, near, render, style_sheet
from tests.html_page import NASTY, Page, check_harmless


def made(place: Path, text: str = "") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def page_with_links(place: Path) -> Path:
    return made(
        place, render("demo.html", steps={}, review="", pictures={}, photos=[]) + "<nav><!--links--><!--/links--></nav>"
    )


def test_only_existing_files_nearby_are_linked_with_relative_addresses(tmp_path: Path) -> None:
    page = tmp_path / "shop" / "runs" / "train" / "one" / "report.html"
    beside, above, far = page.with_name("a #1.csv"), tmp_path / "shop" / "check.html", tmp_path / "far.html"
    for place in (page, beside, above, far):
        made(place)
    asked = {"beside": beside, "above": above, "far": far, "gone": page.with_name("gone.csv"), "of the disk": Path("/")}
    assert near(page, asked) == {"beside": "a%20%231.csv", "above": "../../../check.html"}


def test_files_in_another_tree_of_the_disk_are_not_linked() -> None:
    assert near(Path("/pages/receipt.html"), {"model": Path("/usr/bin/env")}) == {}


def test_links_come_into_a_page_later_and_replace_those_from_before(tmp_path: Path) -> None:
    page = page_with_links(tmp_path / "report.html")
    first, second = made(tmp_path / "1.html"), made(tmp_path / "2.html")
    add_links(page, {"first": first})
    add_links(page, {NASTY: second, "gone": tmp_path / "3.html"})
    links = [attributes["href"] for tag, attributes in check_harmless(page.read_text()).elements if tag == "a"]
    assert links == ["2.html"]
    assert "These links work only next to the page's files." in style_sheet()
    assert NASTY.split()[-2] in Page(page.read_text()).text
    add_links(tmp_path / "no-page.html", {"first": first})
    assert not (tmp_path / "no-page.html").exists()


def test_words_stay_without_a_link_if_the_file_is_missing(tmp_path: Path) -> None:
    page = page_with_links(tmp_path / "report.html")
    add_links(page, {"first": made(tmp_path / "1.html")})
    shown = Page(without_file_links(page.read_bytes()).decode())
    assert [attributes for tag, attributes in shown.elements if tag == "a"] == [{"class": "file"}]
    assert "first" in shown.text
