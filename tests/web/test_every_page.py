"""What holds on every page: for people who see less or use no mouse, on a phone, whatever things are called."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.conftest import Golden

from .browser import Complaints
from .conftest import OpenPage
from .hostile import MARKUP, RESULT, hostile_bundle, hostile_result
from .places import PLACES, Place
from .server import WebServer, copy_job

LOOKS = {"light": ("light", 1280), "dark": ("dark", 1280), "phone": ("light", 360), "dark phone": ("dark", 400)}
FAULTS = {"serious", "critical"}
RULES = {"resultTypes": ["violations"]}
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
CLICKABLE = """() => [...document.querySelectorAll('[onclick], [hx-get], [hx-post], [hx-delete], [hx-put]')]
    .filter((it) => !it.matches('a[href], button, input, select, textarea, summary, form, [hx-trigger]'))
    .map((it) => it.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="session")
def hostile(golden: Golden, bundle: Path, drawn: Path) -> Path:
    """A result in which every name wants to be markup; not to be changed."""
    evil = golden.get("hostile-bundle", lambda place: hostile_bundle(bundle, place))
    return golden.get("hostile", lambda folder: hostile_result(folder, drawn, evil)) / RESULT


@pytest.fixture(params=PLACES, ids=lambda place: place.name)
def place(request: pytest.FixtureRequest, complaints: Complaints) -> Place:
    found: Place = request.param
    if found.status != 200:
        complaints.expect(f"status of {found.status}")
    return found


def test_nobody_is_kept_out_by_light_dark_or_a_small_screen(place: Place, page: Page, server: WebServer) -> None:
    place.open(page, server.job_id())
    for look, (scheme, width) in LOOKS.items():
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 800})
        assert faults_of(page) == [], look
        assert page.evaluate("document.documentElement.scrollWidth") <= width, look
        brightness = page.evaluate(BRIGHTNESS)
        assert brightness < 60 if scheme == "dark" else brightness > 200, look


def faults_of(page: Page) -> list[str]:
    """What axe-core finds serious or critical."""
    faults = Axe().run(page, options=RULES).response["violations"]
    grave = [fault for fault in faults if fault["impact"] in FAULTS]
    return [f"{fault['id']}: {fault['help']}: {node['html']}" for fault in grave for node in fault["nodes"]]


def test_everything_is_reached_by_tab_and_shows_where_it_is(place: Place, page: Page, server: WebServer) -> None:
    place.open(page, server.job_id())
    wanted = dict(page.evaluate(FOCUSABLE))
    reached: dict[str, dict] = {}
    for _ in range(2 * len(wanted) + 4):
        page.keyboard.press("Tab")
        focus = page.evaluate(ON_FOCUS)
        if focus:
            reached[focus["path"]] = focus
    assert [html for path, html in wanted.items() if path not in reached] == []
    assert [focus["html"] for focus in reached.values() if not (focus["ring"] and focus["seen"])] == []
    assert page.evaluate(CLICKABLE) == []


def test_no_rule_of_its_policy_is_lax(place: Place, page: Page, server: WebServer) -> None:
    policies = []
    page.on("response", lambda answer: policies.append((answer.url, answer.headers.get("content-security-policy", ""))))
    place.open(page, server.job_id())
    assert len(policies) > 3
    assert [url for url, policy in policies if "default-src 'none'" not in policy or "unsafe-inline" in policy] == []
    assert page.locator("[style], [onclick], script:not([src]), style").count() == 0


@pytest.fixture(scope="module")
def hostile_server(hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server that shows that result."""
    folder = tmp_path_factory.mktemp("hostile")
    server = WebServer(folder, copy_job(hostile, folder / "result"))
    server.start()
    yield server
    server.stop()


def test_names_that_want_to_be_markup_are_text(place: Place, hostile_server: WebServer, open_page: OpenPage) -> None:
    page = open_page(hostile_server.url)
    place.open(page, hostile_server.job_id())
    if place.shows_names:
        expect(page.get_by_text(MARKUP).first).to_be_attached()
    assert page.locator("img[src='x'], svg[onload], [onfocus], [onerror], title ~ img, b[title]").count() == 0
