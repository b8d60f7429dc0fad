"""Review in real browsers: by keyboard, by several people at once, with a crashing server."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.review_jobs import Row, doubtful, labelled_job
from tests.until import until
from trainer.corrections.store import CorrectionStore
from worker.job.parts import Status

from .browser import Complaints
from .conftest import OpenPage
from .review_page import DrawnJob, ReviewPage, numbers, shown
from .server import WebServer

ROWS = 30
DOUBTFUL = 40


@pytest.fixture
def job(server: WebServer, tmp_path: Path) -> DrawnJob:
    first = next(numbers)
    sure = [Row(first + DOUBTFUL + n, name, 0.99, Status.LABELED) for n, name in enumerate(("boots", "hats", "shoes"))]
    result = labelled_job(tmp_path / "shop", [*doubtful(DOUBTFUL, first), *sure])
    return shown(server, result, first, DOUBTFUL)


@pytest.fixture
def open_review(open_page: OpenPage, job: DrawnJob) -> Callable[..., ReviewPage]:
    return lambda **options: ReviewPage(open_page(job.server.url, **options)).open(job.id)


@pytest.fixture
def reviewer(open_review: Callable[..., ReviewPage]) -> ReviewPage:
    return open_review()


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    with WebServer(tmp_path_factory.mktemp("mortal")) as server:
        yield server


@pytest.fixture
def mortal_job(mortal: WebServer, tmp_path: Path) -> DrawnJob:
    first = next(numbers)
    return shown(mortal, labelled_job(tmp_path / "mortal", doubtful(18, first)), first, 18)


@pytest.fixture
def mortal_reviewer(mortal_job: DrawnJob, open_page: OpenPage, complaints: Complaints) -> ReviewPage:
    complaints.expect("net::ERR_")
    return ReviewPage(open_page(mortal_job.server.url)).open(mortal_job.id)


def labels_in_corrected(page: Page) -> dict[str, str]:
    page.locator("summary", has_text="More").press("Enter")
    page.locator(".menu").get_by_role("link", name="Back to the job").press("Enter")
    page.wait_for_load_state()  # keys work once the page's script has run
    page.get_by_role("button", name="Apply corrections").press("a")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Corrected result").press("Enter")
    rows = pq.read_table(coming.value.path()).to_pylist()
    return {row["sha256"][:16]: row["label"] for row in rows if row["reviewed_by"]}


@pytest.mark.first
def test_rows_by_keyboard_and_one_undone_are_in_the_corrections_and_in_the_result(
    reviewer: ReviewPage, job: DrawnJob
) -> None:
    expected: dict[str, str] = {}
    for n in range(ROWS):
        place = 1 if n % 5 == 3 else 0
        label = reviewer.guesses()[place]
        expected[reviewer.answer("2" if place else "Enter")] = label
    undone = list(expected)[-1]
    reviewer.is_saved()
    reviewer.page.reload()
    expect(reviewer.page.locator("#last")).to_contain_text("Your last answer")
    reviewer.page.keyboard.press("u")
    expect(reviewer.page.locator(f"#photo img[src*='sha256={undone}']")).to_be_visible()
    expected[undone] = reviewer.guesses()[2]
    assert reviewer.answer("3") == undone
    reviewer.is_saved()
    assert len(expected) == ROWS
    assert {photo[:16]: label for photo, label in job.labels().items()} == expected
    assert labels_in_corrected(reviewer.page) == expected


def test_each_key_does_what_the_manual_says(reviewer: ReviewPage, job: DrawnJob) -> None:
    page = reviewer.page
    last = page.locator("#last")
    reviewer.answer("s")
    expect(last).to_contain_text("skipped; the photo comes again")
    page.keyboard.press("2")
    expect(last).to_have_text("Your last answer: boots")
    reviewer.answer("n")
    expect(last).to_have_text("Your last answer: not a product")
    for words in ("Your last answer: boots", re.compile("skipped"), ""):
        page.keyboard.press("u")
        expect(last).to_have_text(words)
    expect(page.locator("#counts")).to_have_text("0 of 40 photos")
    page.get_by_role("button", name="Skip").press("Enter")
    expect(page.locator(f"#photo img[src*='sha256={job.photos[1][:16]}']")).to_be_visible()
    reviewer.answer("/", *"shoes", "Enter")
    reviewer.answer("m")
    page.keyboard.press("/")
    page.keyboard.type("boats")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Search a class")
    expect(dialog).to_contain_text(re.compile("Press Enter again .*new class “boats”.* Do you mean “boots”"))
    page.keyboard.press("Enter")
    page.locator("summary", has_text="More").click()
    expect(page.get_by_label("Ask a second person")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#stage")).to_be_focused()
    page.keyboard.press("n")
    while not reviewer.is_over():
        about = reviewer.answer("Enter")
    assert about == job.photos[0][:16], "what was skipped comes again at the end"
    reviewer.is_saved()
    expect(page.locator("#end-title")).to_have_text("You have answered all questions", timeout=2000)
    expect(page.locator("#end-text")).to_have_text(re.compile(r"^(\d+) of \1 photos are done, \1 by you"))
    assert [job.labels().get(photo) for photo in job.photos[1:5]] == ["shoes", None, "boats", None]
    remarks = {vote.sha256: vote.remark for vote in CorrectionStore(job.server.corrections).votes()}
    assert [remarks[photo].value for photo in job.photos[2:5:2]] == ["more_than_one", "not_a_product"]


def test_one_request_follows_the_other_so_that_no_older_count_is_shown(reviewer: ReviewPage) -> None:
    page = reviewer.page
    under_way: list[str] = []
    most: list[int] = []

    def begin(request: Request) -> None:
        if "/answers?" in request.url or "/questions?" in request.url:
            under_way.append(request.url)
            most.append(len(under_way))

    page.on("request", begin)
    page.on("requestfinished", lambda request: request.url in under_way and under_way.remove(request.url))
    for n in range(12):
        page.keyboard.press("Enter")
        expect(page.locator("#counts")).to_have_text(f"{n + 1} of 40 photos")
    reviewer.is_saved()
    assert set(most) == {1}


def test_two_people_and_a_second_tab_get_no_row_twice(
    open_review: Callable[..., ReviewPage], reviewer: ReviewPage, job: DrawnJob
) -> None:
    reviewer.rename("Ada")
    other = open_review()
    other.rename("Bo")
    tab = ReviewPage(reviewer.page.context.new_page()).open(job.id)
    answered = Counter(each.answer("Enter") for _ in range(12) for each in (reviewer, other, tab))
    assert set(answered.values()) == {1}
    for each in (reviewer, other, tab):
        each.is_saved()
    assert Counter(vote.reviewer for vote in job.votes()) == {"Ada": 24, "Bo": 12}


def test_a_grid_confirms_unmarked_photos_and_one_undo_reverts_it(reviewer: ReviewPage, job: DrawnJob) -> None:
    page = reviewer.page
    page.get_by_label("Class", exact=True).select_option("hats")
    page.keyboard.press("g")
    expect(page.get_by_role("heading", name="Are all these 20 “hats”? Mark the others.")).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(page.get_by_role("button", name="Confirm 19 as hats, look at 1")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#last")).to_have_text("Your last answer: 19 times hats")
    reviewer.is_saved()
    assert list(job.labels().values()) == ["hats"] * 19
    assert reviewer.shown() == job.photos[3][:16], "the marked photo comes next"
    page.keyboard.press("u")
    expect(page.get_by_role("heading", name="Are all these 19 “hats”? Mark the others.")).to_be_visible()
    until(lambda: job.labels() == {}, "all are taken back")
    page.keyboard.press("Enter")
    until(lambda: list(job.labels().values()) == ["hats"] * 19, "they are confirmed again")


def test_a_grid_shows_the_class_of_the_open_photo_although_another_class_was_answered(reviewer: ReviewPage) -> None:
    page = reviewer.page
    page.keyboard.press("g")
    expect(page.get_by_role("heading", name="Are all these 20 “boots”? Mark the others.")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#last")).to_have_text("Your last answer: 20 times boots")
    expect(reviewer.question).to_have_text("Is it “hats”?")
    page.keyboard.press("g")
    expect(page.get_by_role("heading", name="Are all these 20 “hats”? Mark the others.")).to_be_visible()


def test_photos_of_a_grid_that_was_left_come_one_by_one(reviewer: ReviewPage, job: DrawnJob) -> None:
    page = reviewer.page
    page.keyboard.press("g")
    expect(page.locator("#tiles img")).to_have_count(20)
    page.keyboard.press("g")
    expect(reviewer.photo).to_be_visible()
    seen = {reviewer.answer("Enter") for _ in range(DOUBTFUL)}
    assert seen == {photo[:16] for photo in job.photos}
    reviewer.is_saved()
    expect(page.locator("#end-title")).to_have_text("You have answered all questions")


def test_a_killed_server_loses_no_answer(mortal_reviewer: ReviewPage, mortal_job: DrawnJob) -> None:
    reviewer, server = mortal_reviewer, mortal_job.server

    def stored() -> Counter[str]:
        return Counter(vote.sha256[:16] for vote in mortal_job.votes())

    answered = list(reviewer.answers(4))
    reviewer.is_saved()
    server.kill()
    assert stored() == Counter(answered), "what the page calls saved is in the file"
    answered += list(reviewer.answers(4))
    expect(reviewer.page.locator("#saved")).to_have_text(re.compile(r"\d+ not saved yet"))
    expect(reviewer.page.locator("#trouble")).to_have_text(
        re.compile("The server does not answer.*browser keeps your answers")
    )
    server.start()
    answered += list(reviewer.answers(2))
    reviewer.is_saved()
    assert stored() == Counter(answered)


def test_answers_outlive_a_browser_that_is_closed_while_the_server_is_away(
    mortal_reviewer: ReviewPage, mortal_job: DrawnJob
) -> None:
    mortal_job.server.kill()
    answered = list(mortal_reviewer.answers(3))
    mortal_reviewer.page.close(run_before_unload=False)
    mortal_job.server.start()
    again = ReviewPage(mortal_reviewer.page.context.new_page()).open(mortal_job.id)
    again.is_saved()
    assert {photo[:16] for photo in mortal_job.labels()} == set(answered)


def test_after_an_outage_a_reviewer_gets_all_other_questions(mortal_reviewer: ReviewPage, mortal_job: DrawnJob) -> None:
    reviewer = mortal_reviewer
    reviewer.answer("Enter")
    reviewer.is_saved()
    mortal_job.server.kill()
    list(reviewer.answers(4))
    mortal_job.server.start()
    over = reviewer.page.locator("#end:not(.hidden) #end-title", has_text="You have answered all questions")
    while not over.is_visible():
        expect(reviewer.photo.or_(over)).to_be_visible()
        if reviewer.photo.is_visible():
            reviewer.answer("Enter")
    expect(reviewer.page.locator("#end-text")).to_contain_text("18 of 18 photos are done, 18 by you.")


def test_a_photo_that_was_lost_on_its_way_to_the_page_comes_again(
    server: WebServer, open_page: OpenPage, tmp_path: Path, complaints: Complaints
) -> None:
    complaints.expect("net::ERR_")
    first = next(numbers)
    job = shown(server, labelled_job(tmp_path / "shop", doubtful(14, first)), first, 14)
    reviewer = ReviewPage(open_page(server.url)).open(job.id)
    lost: list[object] = []

    def lose(route: Route) -> None:
        if lost:
            return route.continue_()
        lost.append(route.fetch())  # the server reserves the photo for this page, but the answer is lost
        return route.abort()

    reviewer.page.route("**/questions?*", lose)
    assert {reviewer.answer("Enter") for _ in job.photos} == {photo[:16] for photo in job.photos}
    assert lost
    expect(reviewer.page.locator("#end-title")).to_have_text("You have answered all questions")


def test_answers_that_the_server_cannot_store_are_kept_with_the_reason(
    reviewer: ReviewPage, job: DrawnJob, complaints: Complaints
) -> None:
    complaints.expect("status of 507")
    page, file = reviewer.page, job.server.corrections
    lock = file.with_name(f".{file.name}.lock")
    kept = lock.rename(lock.with_name("kept"))
    lock.mkdir()  # root may write into a file of any mode
    try:
        list(reviewer.answers(2))
        expect(page.locator("#trouble")).to_have_text(
            re.compile("corrections.csv cannot be written: .* browser keeps your answers")
        )
        expect(page.locator("#saved")).to_have_text("2 not saved yet")
    finally:
        lock.rmdir()
        kept.rename(lock)
    reviewer.is_saved()
    expect(page.locator("#trouble")).to_be_hidden()
    assert len(job.labels()) == 2


UNDER = """() => {
    hangtag.toast('The corrected result was written: 3 rows changed; 19 rows still to review.');
    const toast = document.getElementById('toast').getBoundingClientRect();
    const under = ({ left, right, top, bottom }) =>
        left < toast.right && right > toast.left && top < toast.bottom && bottom > toast.top;
    return [...document.querySelectorAll('button')].filter((it) => it.checkVisibility({ visibilityProperty: true }))
        .filter((it) => under(it.getBoundingClientRect())).map((it) => it.textContent);
}"""


def test_a_phone_on_its_side_shows_photo_question_and_guesses_at_once(open_review: Callable[..., ReviewPage]) -> None:
    review = open_review(viewport={"width": 800, "height": 400})
    for part in (review.photo, review.question, review.page.locator(".guess").nth(1)):
        box, bar = part.bounding_box(), review.page.locator(".single .thumb-bar").bounding_box()
        assert box is not None
        assert bar is not None
        assert 0 <= box["y"] <= box["y"] + box["height"] <= bar["y"]


def test_a_message_covers_no_button_on_a_phone(open_review: Callable[..., ReviewPage]) -> None:
    assert open_review(viewport={"width": 400, "height": 780}).page.evaluate(UNDER) == []
