"""The pages of models in a browser: promote with a reason, roll back, compare on a job's rows."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from models.registry.state import CHAMPION

from .browser import Complaints
from .conftest import OpenPage
from .server import WebServer, copy_job, publish

COMPARED_MS = 90_000


@pytest.fixture(scope="module")
def server(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server with a finished job, in whose registry each test has a model of its own."""
    folder = tmp_path_factory.mktemp("models")
    with WebServer(folder, copy_job(finished, folder / "result")) as server:
        yield server


def ask_to_promote(page: Page, why: str) -> None:
    """Fill in the dialog, by keyboard alone."""
    page.wait_for_load_state()  # keys are heard once the page's script has run
    page.get_by_role("button", name="Promote…").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("The reason, for the history")).to_be_focused()
    page.keyboard.type(why)
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_label("Promote it although it was refused")).to_be_focused()
    page.keyboard.press("Space")
    page.get_by_label("Your name").focus()
    page.keyboard.type("Anna")


def test_promote_with_a_reason_and_roll_back(
    server: WebServer, open_page: OpenPage, sure_bundle: Path, unsure_bundle: Path
) -> None:
    publish(server, "shop", sure_bundle, unsure_bundle)
    page = open_page(server.url, color_scheme="dark", viewport={"width": 360, "height": 740})
    page.goto("/models")
    page.get_by_role("link", name="shop@2").click()
    ask_to_promote(page, "hats are sold no more")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("shop@2 is the champion now.")
    expect(page.get_by_role("row").filter(has_text="hats are sold no more")).to_contain_text("promoted by force")
    page.get_by_role("button", name="Roll back to shop@1…").click()
    page.get_by_label("The reason, for the history").fill("they are")
    page.get_by_role("button", name="Roll back to shop@1", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("shop@1 is the champion again")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_dialog_says_that_somebody_was_quicker(
    server: WebServer, page: Page, complaints: Complaints, sure_bundle: Path, unsure_bundle: Path
) -> None:
    complaints.expect("409")
    registry = publish(server, "raced", sure_bundle, unsure_bundle)
    page.goto("/models/raced/2")
    ask_to_promote(page, "x")
    registry.promote("raced", 2, "Ben was quicker", force=True)
    registry.publish("raced", _another(sure_bundle, server.folder), "third", alias=CHAMPION)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("raced@2 was compared with version 1, but 3 is champion by now.")
    assert registry.state("raced").aliases[CHAMPION] == 3


def _another(bundle: Path, folder: Path) -> Path:
    """The same bundle with another digest."""
    copy = Path(shutil.copytree(bundle, folder / "another"))
    (copy / "manifest.json").write_text((copy / "manifest.json").read_text() + "\n")
    return copy


def test_two_versions_on_the_rows_of_a_job(
    server: WebServer, page: Page, sure_bundle: Path, unsure_bundle: Path
) -> None:
    publish(server, "compared", sure_bundle, unsure_bundle)
    page.goto("/models/compared")
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="Compare on it").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_text("of labels would change")).to_be_visible(timeout=COMPARED_MS)
    expect(page.get_by_text("rows newly to review")).to_be_visible()
    page.reload()
    expect(page.get_by_text("of labels would change")).to_be_visible()
