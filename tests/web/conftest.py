"""What tests of the whole page share: a labelled catalogue, a server that shows its job, and a Chromium."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.example_runs.chromium import chromium_binary
from tests.conftest import Golden
from tests.missing import skip_outside_ci
from worker.label import label
from worker.request import JobOptions, LabelRequest

from .browser import FLAGS, WAIT_MS, Complaints, Visitors
from .server import WebServer, copy_job

StartServer = Callable[..., WebServer]
OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def shop_csv(golden: Golden, drawn: Path) -> Path:
    """A catalogue with a title and a price beside each of the drawn photos; not to be changed."""
    return golden.get("shop", lambda folder: write_catalogue(folder, drawn)) / "shop.csv"


def write_catalogue(folder: Path, photos: Path) -> None:
    """Write ``shop.csv`` into a new folder: a row a photo."""
    folder.mkdir()
    with (folder / "shop.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sku", "image", "title", "price"])
        for n, photo in enumerate(sorted(photos.rglob("*.*"))):
            writer.writerow([f"S{n:04d}", photo.relative_to(photos), f"Product {n}", f"{n}.90"])


@pytest.fixture(scope="session")
def finished(golden: Golden, shop_csv: Path, drawn: Path, sure_bundle: Path) -> Path:
    """The result of ``hangtag label`` beside its job; about a third of 247 rows is for review. Not to be changed."""
    return golden.get("labelled", lambda folder: label_shop(folder, shop_csv, drawn, sure_bundle)) / "labels.parquet"


def label_shop(folder: Path, catalogue: Path, photos: Path, bundle: Path) -> None:
    """Label a catalogue as ``hangtag label`` does."""
    folder.mkdir()
    output = folder / "labels.parquet"
    request = LabelRequest(catalogue, bundle, JobOptions(image_root=str(photos)), output=output, workers=2)
    label(request, lambda *_: None)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers with further words on the command line; they end with the test."""
    servers: list[WebServer] = []

    def start(*arguments: object, **environment: str) -> WebServer:
        server = WebServer(tmp_path / f"server-{len(servers)}", *arguments, **environment)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def own_server(start_server: StartServer, finished: Path, tmp_path: Path) -> WebServer:
    """A server of this test's own with a finished job of its own: answers may be given."""
    return start_server(copy_job(finished, tmp_path / "result"))


@pytest.fixture(scope="session")
def server(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server with a finished job, for tests that only look, or that review a job of their own."""
    folder = tmp_path_factory.mktemp("web")
    with WebServer(folder, copy_job(finished, folder / "result")) as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium. It ends with the module: Playwright's event loop is in the way of other tests' own."""
    binary = chromium_binary()
    skip_outside_ci(None if binary else "chromium is not installed; install it.")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture
def visitors(chromium: Browser) -> Iterator[Visitors]:
    """Browser profiles; the test fails when a page of one complains."""
    visitors = Visitors(chromium)
    yield visitors
    visitors.close()
    assert visitors.complaints.unexpected() == []


@pytest.fixture
def complaints(visitors: Visitors) -> Complaints:
    """What pages of this test complained of; ``expect`` allows what a test provokes."""
    return visitors.complaints


@pytest.fixture
def open_page(visitors: Visitors) -> OpenPage:
    """Opens a page of a server as somebody new: ``open_page(server.url, color_scheme="dark")``."""
    return visitors.open


@pytest.fixture
def page(visitors: Visitors, server: WebServer) -> Page:
    """A page of the server that tests only look at: ``page.goto("/jobs")``."""
    return visitors.open(server.url)
