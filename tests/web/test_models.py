"""The pages of models in a browser: promote with a reason, roll back."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.paper_bundle import write_paper_bundle

from .conftest import OpenPage
from .server import WebServer, publish


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[Path, Path, Path]:
    first, second, third = (write_paper_bundle(tmp_path / str(seed), seed) for seed in (1, 2, 3))
    return first, second, third


def ask_to_promote(page: Page, why: str) -> None:
    page.wait_for_load_state()  # keys work once the page's script has run
    page.get_by_role("button", name="Promote…").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("The reason, for the history")).to_be_focused()
    page.keyboard.type(why)
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_label("Promote this refused version")).to_be_focused()
    page.keyboard.press("Space")
    page.get_by_label("Your name").focus()
    page.keyboard.type("Anna")


def test_promote_with_a_reason_and_roll_back(
    server: WebServer, open_page: OpenPage, bundles: tuple[Path, Path, Path]
) -> None:
    publish(server, "shop", *bundles[:2])
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
