"""What holds for every page: its headers, its errors, and that these tests notice what goes wrong."""

from playwright.sync_api import Page, expect

from tests.until import until

from .browser import Complaints
from .conftest import OpenPage
from .server import WebServer


def test_a_path_that_is_not_there_is_a_page_that_says_so(page: Page, complaints: Complaints) -> None:
    complaints.expect("404")
    page.goto("/no-such-page")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not Found")
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


def test_complaints_are_noticed(page: Page, complaints: Complaints) -> None:
    complaints.expect("404")
    page.goto("/no-such-page")
    page.evaluate("""() => {
        setTimeout(() => { throw new Error('thrown by the test') });
        const script = document.createElement('script');
        script.src = 'http://elsewhere.invalid/x.js';
        document.head.append(script);
        fetch('http://127.0.0.1:9/').catch(() => undefined);
        document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>');
    }""")
    parts = ("thrown by the test", "http://elsewhere.invalid/x.js", "http://127.0.0.1:9/", "inline event handler")
    until(lambda: page.evaluate("true") and all(any(p in said for said in complaints.found) for p in parts), str(parts))
    complaints.expect("")


def test_a_killed_server_starts_again_at_its_address(own_server: WebServer, open_page: OpenPage) -> None:
    own_server.kill()
    own_server.start()
    page = open_page(own_server.url)
    page.goto("/login")
    expect(page.get_by_label("The token")).to_be_visible()
