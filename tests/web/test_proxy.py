"""Behind a proxy, under a path of a site, with a token: as it is deployed."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.until import until

from .conftest import OpenPage
from .server import WebServer, copy_job

ROOT = "/hangtag"
TOKEN = "correct-horse-battery-staple"  # noqa: S105 - made up
HOP_BY_HOP = {"transfer-encoding", "connection", "keep-alive", "date"}


class Forwarder(BaseHTTPRequestHandler):
    """Passes on what is under a path, and refuses all else."""

    port: int
    strips: bool

    def forward(self) -> None:
        if not self.path.startswith(f"{ROOT}/"):
            self.send_error(404)
            return
        path = self.path.removeprefix(ROOT) if self.strips else self.path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with closing(HTTPConnection("127.0.0.1", self.port)) as there, suppress(ConnectionError):
            headers = {**self.headers, "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http"}
            there.request(self.command, path, body, headers)
            answer = there.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.end_headers()
            while piece := answer.read1():
                self.wfile.write(piece)

    do_GET = do_POST = do_PUT = forward

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def proxy(port: int, *, strips: bool) -> Iterator[str]:
    """A proxy before the server at a port; gives its address."""
    handler = type("Handler", (Forwarder,), {"port": port, "strips": strips})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server as it is started for a proxy."""
    folder = tmp_path_factory.mktemp("proxy")
    token = folder / "token.txt"
    token.write_text(f"{TOKEN}\n")
    words = ("--token-file", token, "--root-path", ROOT, "--name", "shop.example")
    with WebServer(folder, copy_job(finished, folder / "result"), *words) as server:
        yield server


@pytest.mark.parametrize(("strips", "name"), [(True, "Ada"), (False, "Grace")], ids=["takes its path off", "leaves it"])
def test_everything_works_under_a_path(server: WebServer, open_page: OpenPage, strips: bool, name: str) -> None:
    with proxy(server.port, strips=strips) as address:
        page = open_page(address)
        refused = []
        page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
        page.goto(f"{ROOT}/review")
        page.get_by_label("The token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1, name="Review")).to_be_visible()
        assert page.url == f"{address}{ROOT}/review"
        page.locator("main a").first.press("Enter")
        page.get_by_label("Your name").fill(name)
        page.keyboard.press("Enter")
        expect(page.locator("#photo img")).to_be_visible()
        page.keyboard.press("Enter")
        until(lambda: server.corrections.is_file() and name in server.corrections.read_text(), "the answer is kept")
        page.get_by_role("link", name="Jobs", exact=True).press("Enter")
        page.locator("#rows a").first.press("Enter")
        expect(page.locator(".how")).to_contain_text("finished")
        assert refused == []
        page.goto("about:blank")
