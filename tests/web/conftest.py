"""Fixtures for tests in a browser: a finished job, servers, and a Chromium."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.example_runs.chromium import chromium_binary
from tests.conftest import Golden
from tests.missing import skip_outside_ci
from tests.review_jobs import Row, doubtful, labelled_job
from worker.job.parts import Status

from .browser import FLAGS, WAIT_MS, Complaints, Visitors
from .review_page import finish
from .server import WebServer, copy_job

StartServer = Callable[..., WebServer]
OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def finished(golden: Golden) -> Path:
    """The result of a drawn job, beside the job: 60 rows for review, a labeled and a failed row. Read-only."""
    rows = [*doubtful(60, 800), Row(900, "boots", 0.99, Status.LABELED), Row(901, status=Status.FAILED)]
    return golden.get("finished", lambda folder: finish(labelled_job(folder, rows))) / "labels.parquet"


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    servers: list[WebServer] = []

    def start(*arguments: object, **environment: str) -> WebServer:
        server = WebServer(tmp_path / f"server-{len(servers)}", *arguments, **environment)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server with a finished job, for tests that only read it or review their own job."""
    folder = tmp_path_factory.mktemp("web")
    with WebServer(folder, copy_job(finished, folder / "result")) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium. It ends with the module, because Playwright's event loop disturbs other tests' loops."""
    binary = chromium_binary()
    skip_outside_ci(None if binary else "chromium is not installed; install it.")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture
def visitors(chromium: Browser) -> Iterator[Visitors]:
    visitors = Visitors(chromium)
    yield visitors
    visitors.close()
    assert visitors.complaints.unexpected() == []


@pytest.fixture
def complaints(visitors: Visitors) -> Complaints:
    """Complaints of this test's pages; ``expect`` allows a complaint."""
    return visitors.complaints


@pytest.fixture
def open_page(visitors: Visitors) -> OpenPage:
    return visitors.open


@pytest.fixture
def page(visitors: Visitors, server: WebServer) -> Page:
    return visitors.open(server.url)
