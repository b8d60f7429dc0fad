"""The server behind a proxy, under a path of a site, with a token, as in a deployment."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.until import until

from .conftest import OpenPage
from .server import WebServer, copy_job, free_port

ROOT = "/hangtag"
TOKEN = "correct-horse-battery-staple"  # noqa: S105 - made up
DOCS = Path(__file__).parents[2] / "docs/web.md"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
HOP_BY_HOP = {"transfer-encoding", "connection", "keep-alive", "date"}


class Forwarder(BaseHTTPRequestHandler):
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
        """Log no requests."""


@contextmanager
def proxy(port: int, *, strips: bool) -> Iterator[str]:
    """Start a proxy for the server at a port; yield the proxy's URL."""
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
    folder = tmp_path_factory.mktemp("proxy")
    token = folder / "token.txt"
    token.write_text(f"{TOKEN}\n")
    words = ("--token-file", token, "--root-path", ROOT)
    with WebServer(folder, copy_job(finished, folder / "result"), *words) as server:
        yield server


@contextmanager
def nginx(port: int, folder: Path) -> Iterator[str]:
    """Start an nginx, configured as in the docs, for the server at a port; yield nginx's URL."""
    told = re.search(r"    location /hangtag/ \{.*?\n    \}\n", DOCS.read_text(), re.DOTALL)
    assert told
    folder.mkdir()
    own, temporary = free_port(), ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{what}_temp_path {folder / what};\n" for what in temporary)
    lines = told[0].replace("127.0.0.1:8800", f"127.0.0.1:{port}")
    (folder / "nginx.conf").write_text(
        f"user {getpass.getuser()};\ndaemon off;\npid {folder / 'pid'};\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}server {{\nlisten 127.0.0.1:{own};\n{lines}}}\n}}\n"
    )
    words = [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "log")]
    with subprocess.Popen(words) as process:
        try:
            until(lambda: process.poll() is not None or _is_open(own), "nginx answers")
            yield f"http://127.0.0.1:{own}"
        finally:
            process.terminate()


def _is_open(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed; apt-get install nginx-light")
def test_the_lines_for_nginx_in_the_docs_do(server: WebServer, finished: Path, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        nginx(server.port, tmp_path / "nginx") as address,
        httpx.Client(base_url=f"{address}{ROOT}", headers=headers, timeout=30) as client,
    ):
        assert client.get("/login", headers={"Host": "shop.example"}).is_success
        job = client.get("/v1/jobs").json()["jobs"][0]
        assert client.get(job["links"]["result"].removeprefix(ROOT)).content == finished.read_bytes()
        sent = {"catalogue": ("large.csv", b"image\n" + b"x" * 2 * 1024 * 1024)}
        answer = client.post("/v1/jobs", files=sent, data={"model": "none"})
        assert answer.headers["content-type"] == "application/problem+json", "nginx by itself takes 1 MiB"


@pytest.mark.parametrize(("strips", "name"), [(True, "Ada"), (False, "Grace")], ids=["takes its path off", "leaves it"])
def test_everything_works_under_a_path(server: WebServer, open_page: OpenPage, strips: bool, name: str) -> None:
    with proxy(server.port, strips=strips) as address:
        page = open_page(address)
        refused = []
        page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
        page.goto(f"{ROOT}/review")
        page.get_by_label("Token").fill(TOKEN)
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
