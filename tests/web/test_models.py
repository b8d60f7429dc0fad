"""The pages of models in a browser: promote with a reason, roll back, compare on a job's rows."""

import shutil
from pathlib import Path

from playwright.sync_api import Page, expect

from models.registry.history import CHALLENGER, CHAMPION
from models.registry.registry import Registry, open_registry

from .browser import Complaints
from .conftest import OpenPage, StartServer
from .server import WebServer, copy_job

COMPARED_MS = 90_000


def shop(server: WebServer, champion: Path, challenger: Path) -> Registry:
    """A champion, and a challenger that a gate has refused."""
    registry = open_registry(str(server.folder / "registry"))
    registry.publish("shop", champion, "first", alias=CHAMPION)
    registry.publish("shop", challenger, "second", alias=CHALLENGER)
    registry.refuse("shop", 2, ("hats lost 7 points.",), {"points": -7.0})
    return registry


def ask_to_promote(page: Page, why: str) -> None:
    """Fill in the dialog, by keyboard alone."""
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
    start_server: StartServer, open_page: OpenPage, sure_bundle: Path, unsure_bundle: Path
) -> None:
    server = start_server()
    shop(server, sure_bundle, unsure_bundle)
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
    start_server: StartServer, open_page: OpenPage, complaints: Complaints, sure_bundle: Path, unsure_bundle: Path
) -> None:
    complaints.expect("409")
    server = start_server()
    registry = shop(server, sure_bundle, unsure_bundle)
    page = open_page(server.url)
    page.goto("/models/shop/2")
    ask_to_promote(page, "x")
    registry.promote("shop", 2, "Ben was quicker", force=True)
    registry.publish("shop", _another(sure_bundle, server.folder), "third", alias=CHAMPION)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("shop@2 was compared with version 1, but 3 is champion by now.")
    assert registry.state("shop").aliases[CHAMPION] == 3


def _another(bundle: Path, folder: Path) -> Path:
    """The same bundle with another digest."""
    copy = Path(shutil.copytree(bundle, folder / "another"))
    (copy / "manifest.json").write_text((copy / "manifest.json").read_text() + "\n")
    return copy


def test_two_versions_on_the_rows_of_a_job(
    start_server: StartServer,
    open_page: OpenPage,
    finished: Path,
    sure_bundle: Path,
    unsure_bundle: Path,
    tmp_path: Path,
) -> None:
    server = start_server(copy_job(finished, tmp_path / "result"))
    shop(server, sure_bundle, unsure_bundle)
    page = open_page(server.url)
    page.goto("/models/shop")
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="Compare on it").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_text("of labels would change")).to_be_visible(timeout=COMPARED_MS)
    expect(page.get_by_text("rows newly to review")).to_be_visible()
    page.reload()
    expect(page.get_by_text("of labels would change")).to_be_visible()
