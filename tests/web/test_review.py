"""Review in real browsers: by keyboard, by several people at once, with a server that dies."""

import re
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from trainer.corrections.store import CorrectionStore

from .browser import Complaints
from .conftest import OpenPage
from .review_page import ReviewPage
from .server import WebServer

ROWS = 50


@pytest.fixture
def job(own_server: WebServer) -> str:
    """The id of the job that may be reviewed."""
    return own_server.job_id()


@pytest.fixture
def reviewer(own_server: WebServer, open_page: OpenPage, job: str) -> ReviewPage:
    """A page that asks the first question."""
    return ReviewPage(open_page(own_server.url)).open(job)


def labels_in(corrections: Path) -> dict[str, str]:
    """First digits of a photo's SHA-256 → the label that its latest vote gives it."""
    return {vote.sha256[:16]: vote.label for vote in CorrectionStore(corrections).votes()}


def labels_in_corrected(page: Page) -> dict[str, str]:
    """The same of the corrected result, which the job's page makes and offers."""
    page.locator("summary", has_text="More").press("Enter")
    page.locator(".menu").get_by_role("link", name="Back to the job").press("Enter")
    page.get_by_role("button", name="Apply corrections").press("a")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Corrected result").press("Enter")
    rows = pq.read_table(coming.value.path()).to_pylist()
    return {row["sha256"][:16]: row["label"] for row in rows if row["reviewed_by"]}


def test_fifty_rows_by_keyboard_and_one_undone_are_in_the_corrections_and_in_the_result(
    reviewer: ReviewPage, own_server: WebServer
) -> None:
    expected: dict[str, str] = {}
    for n in range(ROWS):
        place = 1 if n % 5 == 3 else 0
        label = reviewer.guesses()[place]
        expected[reviewer.answer("2" if place else "Enter")] = label
    undone = list(expected)[-1]
    reviewer.page.keyboard.press("u")
    expect(reviewer.page.locator(f"#photo img[src*='v={undone}']")).to_be_visible()
    expected[undone] = reviewer.guesses()[2]
    assert reviewer.answer("3") == undone
    reviewer.is_saved()
    assert len(expected) == ROWS
    assert labels_in(own_server.corrections) == expected
    assert labels_in_corrected(reviewer.page) == expected


def test_the_end_counts_the_last_answers_too(reviewer: ReviewPage) -> None:
    while not reviewer.is_over():
        reviewer.answer("Enter")
    reviewer.is_saved()
    expect(reviewer.page.locator("#end-title")).to_have_text("Nothing is left to ask you", timeout=2000)
    expect(reviewer.page.locator("#end-text")).to_have_text(re.compile(r"^(\d+) of \1 photos are done, \1 by you"))


def test_what_is_undone_and_not_answered_again_has_no_label(reviewer: ReviewPage, own_server: WebServer) -> None:
    first, second = reviewer.answers(2)
    reviewer.is_saved()
    reviewer.page.keyboard.press("u")
    expect(reviewer.page.locator(f"#photo img[src*='v={second}']")).to_be_visible()
    reviewer.is_saved()
    assert set(labels_in(own_server.corrections)) == {first}


def test_any_class_is_found_by_its_letters(reviewer: ReviewPage, own_server: WebServer) -> None:
    wanted = max(reviewer.guesses())
    about = reviewer.answer("/", *wanted, "Enter")
    reviewer.is_saved()
    assert labels_in(own_server.corrections) == {about: wanted}


def test_what_is_no_product_or_several_is_kept_as_a_remark(reviewer: ReviewPage, own_server: WebServer) -> None:
    said = {reviewer.answer("n"): "not_a_product", reviewer.answer("m"): "more_than_one"}
    reviewer.is_saved()
    assert labels_in(own_server.corrections) == {}
    remarks = CorrectionStore(own_server.corrections).standing_remarks()
    assert {remark.sha256[:16]: remark.kind.value for remark in remarks} == said


def test_what_is_skipped_comes_again(reviewer: ReviewPage) -> None:
    skipped = reviewer.answer("s")
    while not reviewer.is_over() and reviewer.shown() != skipped:
        reviewer.answer("Enter")
    assert reviewer.shown() == skipped


def test_two_people_and_a_second_tab_get_no_row_twice(
    own_server: WebServer, open_page: OpenPage, job: str, reviewer: ReviewPage
) -> None:
    reviewer.rename("Ada")
    other = ReviewPage(open_page(own_server.url)).open(job)
    other.rename("Bo")
    tab = ReviewPage(reviewer.page.context.new_page()).open(job)
    answered = Counter(each.answer("Enter") for _ in range(15) for each in (reviewer, other, tab))
    assert set(answered.values()) == {1}
    for each in (reviewer, other, tab):
        each.is_saved()
    votes = CorrectionStore(own_server.corrections).votes()
    assert Counter(vote.reviewer for vote in votes) == {"Ada": 30, "Bo": 15}


def test_a_killed_server_loses_no_answer(reviewer: ReviewPage, own_server: WebServer, complaints: Complaints) -> None:
    complaints.expect("net::ERR_")
    answered = list(reviewer.answers(4))
    reviewer.is_saved()
    own_server.kill()
    answered += list(reviewer.answers(4))
    expect(reviewer.page.locator("#saved")).to_have_text(re.compile(r"The server is away; \d+ not saved yet"))
    own_server.start()
    reviewer.is_saved()
    assert set(labels_in(own_server.corrections)) == set(answered)
    answered += list(reviewer.answers(2))
    reviewer.is_saved()
    assert Counter(vote.sha256[:16] for vote in CorrectionStore(own_server.corrections).votes()) == Counter(answered)


def test_what_the_page_calls_saved_is_in_the_file_when_the_server_dies(
    reviewer: ReviewPage, own_server: WebServer, complaints: Complaints
) -> None:
    complaints.expect("net::ERR_")  # photos that were being loaded ahead
    answered = list(reviewer.answers(3))
    reviewer.is_saved()
    own_server.kill()
    assert set(labels_in(own_server.corrections)) == set(answered)


def test_answers_outlive_a_browser_that_is_closed_while_the_server_is_away(
    reviewer: ReviewPage, own_server: WebServer, complaints: Complaints, job: str
) -> None:
    complaints.expect("net::ERR_")
    own_server.kill()
    answered = list(reviewer.answers(3))
    reviewer.page.close(run_before_unload=False)
    own_server.start()
    again = ReviewPage(reviewer.page.context.new_page()).open(job)
    again.is_saved()
    assert set(labels_in(own_server.corrections)) == set(answered)


def test_a_grid_confirms_all_but_the_marked(reviewer: ReviewPage, own_server: WebServer) -> None:
    page = reviewer.page
    page.keyboard.press("g")
    tiles = page.get_by_role("list", name="Photos").get_by_role("button")
    expect(tiles.first).to_be_visible()
    label = page.locator("#label").input_value()
    count = tiles.count()
    tiles.first.focus()
    page.keyboard.press("x")
    expect(tiles.first).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    expect(tiles).not_to_have_count(count)
    reviewer.is_saved()
    assert list(labels_in(own_server.corrections).values()) == [label] * (count - 1)
