"""Review of a job that is drawn in no time: new classes, the grid, narrow and low windows."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.review_jobs import Row, doubtful, labelled_job, sha256_of
from tests.until import until
from web.jobs import JobIndex
from worker.results import Status

from .server import WebServer

StartServer = Callable[..., WebServer]
OpenPage = Callable[..., Page]
SURE = [Row(100 + n, name, 0.99, Status.LABELED) for n, name in enumerate(("boots", "hats", "shoes") * 3)]


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """Of a job with forty doubtful rows, and some labeled ones."""
    return labelled_job(tmp_path / "shop", [*doubtful(40), *SURE])


@pytest.fixture
def server(start_server: StartServer, result: Path) -> WebServer:
    return start_server(result)


@pytest.fixture
def open_review(server: WebServer, open_page: OpenPage, result: Path) -> Callable[..., Page]:
    """Opens the review of the job, and waits for its first photo."""

    def opened(**options: object) -> Page:
        page = open_page(server.url, **options)
        page.goto(f"/review/{JobIndex('nowhere', (result,)).all()[0].id}")
        expect(page.locator("#photo img")).to_be_visible()
        return page

    return opened


def answers(server: WebServer) -> dict[str, str]:
    """Photo → label, of all that is stored."""
    if not server.corrections.exists():
        return {}
    with server.corrections.open(newline="") as file:
        return {row["sha256"]: row["label"] for row in csv.DictReader(file)}


def saved(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("All saved")


def test_a_new_class_takes_two_enters(open_review: Callable[..., Page], server: WebServer) -> None:
    page = open_review()
    page.keyboard.press("b")
    page.keyboard.type("oats")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Search a class")).to_contain_text("Press Enter again")
    assert answers(server) == {}
    page.keyboard.press("Enter")
    until(lambda: answers(server) == {sha256_of(0): "boats"}, "the new class is stored")


def test_a_grid_confirms_all_but_those_that_are_marked(open_review: Callable[..., Page], server: WebServer) -> None:
    page = open_review()
    page.get_by_label("Class", exact=True).select_option("hats")
    page.keyboard.press("g")
    expect(page.get_by_role("heading", name="These 20 are all “hats”: which are not?")).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(page.get_by_role("button", name="Confirm 19 as hats, look at 1")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Is it “hats”?")).to_be_visible()
    page.keyboard.press("1")
    saved(page)
    until(lambda: len(answers(server)) == 20, "all are stored")
    assert set(answers(server)) == {sha256_of(n) for n in range(1, 40, 2)}


def test_keys_answer_again_once_the_menu_is_closed(open_review: Callable[..., Page], server: WebServer) -> None:
    page = open_review()
    menu = page.locator("summary", has_text="More")
    menu.click()
    expect(page.get_by_label("Ask a second person")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#stage")).to_be_focused()
    page.keyboard.press("2")
    until(lambda: answers(server) == {sha256_of(0): "hats"}, "the key answers")


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (360, 740), (3840, 2160)])
def test_the_page_fits_its_window(open_review: Callable[..., Page], width: int, height: int) -> None:
    page = open_review(viewport={"width": width, "height": height})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    expect(page.get_by_role("button", name="Yes, boots")).to_be_in_viewport()
