"""Checks of every page: accessibility, keyboard, phones, and hostile names."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.conftest import Golden

from .browser import Visitors
from .hostile import MARKUP, RESULT, hostile_bundle, hostile_result
from .places import PLACES, Place
from .server import WebServer, copy_job, publish

FAULTS = {"serious", "critical"}
ALL_RULES = {"resultTypes": ["violations"]}
RULES_OF_COLOURS = {**ALL_RULES, "runOnly": ["color-contrast", "link-in-text-block"]}
LOOKS = {
    "light": ("light", 1280, ALL_RULES),
    "dark": ("dark", 1280, RULES_OF_COLOURS),
    "phone": ("light", 360, ALL_RULES),
    "dark phone": ("dark", 400, RULES_OF_COLOURS),
}
BRIGHTNESS = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => +a + +b) / 3"
ON_FOCUS = """() => {
    const it = document.activeElement;
    if (!it || it === document.body) return null;
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(it);
    const box = it.getBoundingClientRect();
    return {
        path: window.pathOf(it), html: it.outerHTML.slice(0, 120),
        ring: (outlineStyle !== 'none' && parseFloat(outlineWidth) > 0) || boxShadow !== 'none',
        seen: box.width > 0 && box.height > 0 && box.right > 0 && box.bottom > 0,
    };
}"""
FOCUSABLE = """() => {
    const place = (it) => [...it.parentElement.children].indexOf(it);
    window.pathOf = (it) => it === document.body ? '' : `${window.pathOf(it.parentElement)}/${place(it)}`;
    // Of radio buttons the arrow keys reach the others.
    const inside = document.querySelector('dialog[open]') ?? document;
    return [...inside.querySelectorAll('a[href], button, input, select, textarea, summary, [role=button], [tabindex]')]
        .filter((it) => it.checkVisibility({ visibilityProperty: true }) && !it.disabled && it.tabIndex >= 0)
        .filter((it) => it.type !== 'radio' || it.checked)
        .map((it) => [window.pathOf(it), it.outerHTML.slice(0, 120)]);
}"""
CLICKABLE = """() => [...document.querySelectorAll('[onclick], [data-act], [data-open]')]
    .filter((it) => !it.matches('a[href], button, input, select, textarea, summary, form'))
    .map((it) => it.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="session")
def evil(golden: Golden, bundle: Path) -> Path:
    """A bundle with markup in its classes' names; read-only."""
    return golden.get("hostile-bundle", lambda place: hostile_bundle(bundle, place))


@pytest.fixture(scope="session")
def hostile(golden: Golden, evil: Path, drawn: Path) -> Path:
    return golden.get("hostile", lambda folder: hostile_result(folder, drawn, evil)) / RESULT


@pytest.fixture(scope="module")
def server(
    hostile: Path, evil: Path, sure_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebServer]:
    folder = tmp_path_factory.mktemp("hostile")
    with WebServer(folder, copy_job(hostile, folder / "result"), "--model", evil) as server:
        publish(server, "shop", sure_bundle, evil)
        yield server


@dataclass
class Opened:
    """A page that is opened once for several tests, which run in order."""

    place: Place
    page: Page
    policies: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: place.name)
def opened(request: pytest.FixtureRequest, chromium: Browser, server: WebServer) -> Iterator[Opened]:
    """Each page in turn; its tests must cause no complaints."""
    visitors = Visitors(chromium)
    opened = Opened(request.param, visitors.open(server.url))
    if opened.place.status != 200:
        visitors.complaints.expect(f"status of {opened.place.status}")
    policy = "content-security-policy"
    opened.page.on("response", lambda answer: opened.policies.append((answer.url, answer.headers.get(policy, ""))))
    opened.place.open(opened.page, server.job_id())
    yield opened
    visitors.close()
    assert visitors.complaints.unexpected() == []


def test_names_that_want_to_be_markup_are_text(opened: Opened) -> None:
    if opened.place.shows_names:
        expect(opened.page.get_by_text(MARKUP).first).to_be_attached()
    bad = "img[src='x'], svg[onload], [onfocus], [onerror], title ~ img, b[title]"
    assert opened.page.locator(bad).count() == 0


def test_no_rule_of_its_policy_is_lax(opened: Opened) -> None:
    policies = opened.policies
    assert len(policies) > 3
    lax = [url for url, policy in policies if "default-src 'none'" not in policy or "unsafe-inline" in policy]
    assert [url for url in lax if not url.startswith("blob:")] == []  # photos that the page itself holds
    assert opened.page.locator("[style], [onclick], script:not([src]), style").count() == 0


def test_everything_is_reached_by_tab_and_shows_where_it_is(opened: Opened) -> None:
    page = opened.page
    wanted = dict(page.evaluate(FOCUSABLE))
    reached: dict[str, dict] = {}
    for _ in range(2 * len(wanted) + 4):
        page.keyboard.press("Tab")
        focus = page.evaluate(ON_FOCUS)
        if focus:
            reached[focus["path"]] = focus
        if reached.keys() >= wanted.keys():
            break
    assert [html for path, html in wanted.items() if path not in reached] == []
    assert [focus["html"] for focus in reached.values() if not (focus["ring"] and focus["seen"])] == []
    assert page.evaluate(CLICKABLE) == []


def test_pages_are_accessible_in_light_dark_and_on_small_screens(opened: Opened) -> None:
    page = opened.page
    for look, (scheme, width, rules) in LOOKS.items():
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 800})
        assert faults_of(page, rules) == [], look
        assert page.evaluate("document.documentElement.scrollWidth") <= width, look
        brightness = page.evaluate(BRIGHTNESS)
        assert brightness < 60 if scheme == "dark" else brightness > 200, look


def faults_of(page: Page, rules: dict[str, list[str]]) -> list[str]:
    faults = Axe().run(page, options=rules).response["violations"]
    grave = [fault for fault in faults if fault["impact"] in FAULTS]
    return [f"{fault['id']}: {fault['help']}: {node['html']}" for fault in grave for node in fault["nodes"]]
