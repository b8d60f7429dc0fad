"""Letters and numbers on the review page: their actions and photos; and the photos that a page reserves."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, expect

from tests.review_jobs import Row, labelled_job
from trainer.corrections.store import CorrectionStore
from worker.job.parts import Status

from .conftest import OpenPage
from .review_page import DrawnJob, ReviewPage, numbers, shown
from .server import WebServer

FIVE = ("boots", "hats", "shoes", "skirt", "mittens")
TEN = (*FIVE, "belts", "bags", "tops", "watches", "dresses")
PHOTOS = 20
TYPE_ONCE_IT_CHANGES = """keys => new MutationObserver((_, observer) => {
    observer.disconnect();
    for (const key of keys) {
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    }
}).observe(document.getElementById("photo"), { childList: true })"""
AT_ONCE = """keys => {
    for (const key of keys) {
        const target = document.querySelector("dialog[open] #query") ?? document.body;
        target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    }
}"""
"""Keys that no busy machine keeps apart."""
MakeJob = Callable[..., DrawnJob]


@pytest.fixture
def make_job(server: WebServer, tmp_path: Path) -> MakeJob:
    """Makes a job with doubtful photos of boots, the least sure first, and a labeled row of each class."""

    def make(classes: tuple[str, ...] = FIVE, photos: int = PHOTOS, category: str = "") -> DrawnJob:
        first = next(numbers)
        rows = [Row(first + n, "boots", 0.4 + n / 100, category=category) for n in range(photos)]
        sure = [Row(first + photos + n, name, 0.99, Status.LABELED) for n, name in enumerate(classes)]
        return shown(server, labelled_job(tmp_path / f"shop-{first}", [*rows, *sure]), first, photos)

    return make


@pytest.fixture
def job(make_job: MakeJob) -> DrawnJob:
    return make_job()


@pytest.fixture
def reviewer(open_page: OpenPage, job: DrawnJob) -> ReviewPage:
    return ReviewPage(open_page(job.server.url)).open(job.id)


def is_asked_about(page: Page, photo: str) -> None:
    expect(page.locator(f"#photo img[src*='sha256={photo[:16]}']")).to_be_visible()


def test_a_name_that_begins_with_a_shortcut_is_given_to_the_photo_on_the_screen(
    reviewer: ReviewPage, job: DrawnJob
) -> None:
    reviewer.page.evaluate(AT_ONCE, [*"sk"])
    reviewer.page.keyboard.type("irt")
    is_asked_about(reviewer.page, job.photos[0])
    expect(reviewer.page.locator("#query")).to_have_value("skirt")
    reviewer.page.keyboard.press("Enter")
    is_asked_about(reviewer.page, job.photos[1])
    reviewer.is_saved()
    assert job.labels() == {job.photos[0]: "skirt"}
    seen = {reviewer.answer("Enter") for _ in job.photos[1:]}
    assert seen == {photo[:16] for photo in job.photos[1:]}, "none was skipped"


@pytest.mark.parametrize("name", ["gloves", "umbrella", "scarf"])
def test_a_new_name_that_begins_with_a_shortcut_is_searched_for(reviewer: ReviewPage, job: DrawnJob, name: str) -> None:
    reviewer.page.evaluate(AT_ONCE, [*name[:2]])
    reviewer.page.keyboard.type(name[2:])
    is_asked_about(reviewer.page, job.photos[0])
    expect(reviewer.page.locator("#query")).to_have_value(name)
    assert job.labels() == {}
    assert not {vote.sha256 for vote in CorrectionStore(job.server.corrections).votes()} & set(job.photos)


def test_letters_that_come_after_the_wait_go_to_no_search_of_the_next_photo(
    reviewer: ReviewPage, job: DrawnJob
) -> None:
    page = reviewer.page
    page.evaluate(TYPE_ONCE_IT_CHANGES, [*"kirt", "Enter"])
    page.keyboard.press("s")
    expect(page.locator("#toast")).to_contain_text("pressed while the photo changed were ignored")
    is_asked_about(page, job.photos[1])
    expect(page.get_by_role("dialog")).to_be_hidden()
    reviewer.is_saved()
    assert job.labels() == {}


def test_up_to_nine_classes_have_a_key_each_and_of_more_the_likeliest(
    reviewer: ReviewPage, job: DrawnJob, make_job: MakeJob, open_page: OpenPage
) -> None:
    assert reviewer.guesses() == ["boots", "hats", "shoes", "mittens", "skirt"]
    reviewer.answer("5")
    reviewer.is_saved()
    assert job.labels() == {job.photos[0]: "skirt"}
    other = make_job(TEN)
    reviewer = ReviewPage(open_page(other.server.url)).open(other.id)
    assert reviewer.guesses() == ["boots", "hats", "shoes"]
    reviewer.page.keyboard.press("4")
    assert reviewer.shown() == other.photos[0][:16]


def crash(page: Page) -> None:
    """End a page like a killed browser, without a message to the server."""
    with suppress(Error):
        page.goto("chrome://crash")
    page.close()


def test_photos_of_a_page_that_crashed_come_to_the_next_page_of_the_browser(
    reviewer: ReviewPage, job: DrawnJob
) -> None:
    again = reviewer.page.context.new_page()
    crash(reviewer.page)
    ReviewPage(again).open(job.id)
    is_asked_about(again, job.photos[0])
    expect(again.locator("#speed")).not_to_contain_text("open on another page")


def test_a_tab_that_was_duplicated_shows_other_photos(reviewer: ReviewPage, job: DrawnJob) -> None:
    tab_id = reviewer.page.evaluate("sessionStorage.hangtagTab")
    tab = reviewer.page.context.new_page()
    tab.add_init_script(f"if (location.protocol === 'http:') sessionStorage.hangtagTab = '{tab_id}'")
    other = ReviewPage(tab).open(job.id)
    assert other.shown() not in {photo[:16] for photo in job.photos[:13]}
    expect(tab.locator("#speed")).to_contain_text("13 photos open on another page")


def test_a_phone_shows_four_guesses_with_all_buttons_what_was_taken_back_and_adds_a_class(
    make_job: MakeJob, open_page: OpenPage
) -> None:
    job = make_job(TEN, category="watches")
    page = open_page(job.server.url, viewport={"width": 400, "height": 780})
    review = ReviewPage(page).open(job.id)
    assert review.guesses() == ["boots", "hats", "shoes", "watches"]
    note, bar = (page.locator(it).bounding_box() for it in ("[data-do=note]", ".single .thumb-bar"))
    assert note
    assert bar
    assert note["y"] + note["height"] <= bar["y"]
    page.get_by_role("button", name="shoes").click()
    is_asked_about(page, job.photos[1])
    page.locator(".single [data-do=undo]").click()
    expect(page.locator("#caption")).to_have_text("Row 1 · Undone: shoes")
    page.locator("[data-do=search]").click()
    expect(page.locator("#search-hint")).to_be_empty()
    page.get_by_role("dialog", name="Search a class").get_by_role("button", name="Cancel").click()
    page.locator("[data-do=search]").click()
    page.locator("#query").fill("caps")
    option = page.get_by_role("option", name="New class “caps”")
    option.click()
    expect(page.locator("#search-hint")).to_have_text("Tap it again to add the new class “caps”.")
    option.click()
    is_asked_about(page, job.photos[1])
