"""Jobs in a real browser, with and without a queue: upload a catalogue, watch the job, download the result."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from tests.integration.cluster import Cluster
from worker.queue.private_redis import PrivateRedis

from .browser import Complaints
from .conftest import OpenPage, StartServer

ROWS = 500
PATIENCE_MS = 60_000


@pytest.fixture
def cluster(redis_installed: None, tmp_path: Path) -> Iterator[Cluster]:
    with PrivateRedis(tmp_path / "redis") as redis:
        cluster = Cluster(tmp_path, redis)
        yield cluster
        cluster.close()


@pytest.fixture(scope="session")
def photos(drawn: Path) -> list[str]:
    return [str(photo.relative_to(drawn)) for photo in sorted(drawn.rglob("*.*"))]


def write_catalogue(place: Path, photos: list[str]) -> Path:
    with place.open("w", newline="") as file:
        csv.writer(file).writerows([["sku", "image"], *([f"S{n:04d}", photo] for n, photo in enumerate(photos))])
    return place


def hand_in(page: Page, catalogue: Path, photos: Path, name: str) -> None:
    page.goto("/jobs")
    form = page.locator("#new-job")
    if not form.is_visible():
        page.keyboard.press("n")
    form.get_by_label("Name").fill(name)
    form.get_by_label("Image root").fill(str(photos))
    page.keyboard.press("Tab")
    form.get_by_label("Catalogue file").set_input_files(catalogue)
    expect(form.get_by_role("img", name="Photo of row 1", exact=True)).to_be_visible()
    start = form.get_by_role("button", name="Start job")
    expect(start).to_be_enabled()
    start.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def downloaded(page: Page, words: str) -> Path:
    with page.expect_download() as coming:
        page.get_by_role("link", name=words, exact=True).click()
    return coming.value.path()


def test_five_hundred_rows_go_to_workers_and_are_watched_to_their_end(
    cluster: Cluster,
    photos: list[str],
    drawn: Path,
    bundle: Path,
    start_server: StartServer,
    open_page: OpenPage,
    tmp_path: Path,
) -> None:
    server = start_server("--redis", cluster.server.url, "--jobs", cluster.jobs, "--model", bundle)
    page = open_page(server.url)
    hand_in(page, write_catalogue(tmp_path / "spring.csv", (photos * 3)[:ROWS]), drawn, "spring")
    expect(page.locator(".how")).to_contain_text(f"0 of {ROWS} rows")
    cluster.worker()
    expect(page.locator(".how")).to_contain_text("finished", timeout=PATIENCE_MS)
    expect(page.locator(".how")).to_contain_text(f"{ROWS} of {ROWS} rows")
    result = pq.read_table(downloaded(page, "Result"))
    assert result.num_rows == ROWS
    assert set(result["status"].to_pylist()) >= {"labeled", "review"}
    expect(page.locator("[data-live]")).to_have_count(0)  # the page has reloaded itself at the job's end
    page.wait_for_load_state()
    page.keyboard.press("g")
    expect(page.locator("#photo img")).to_be_visible()


def test_the_form_asks_for_unguessable_settings_and_reports_a_dead_server(
    start_server: StartServer, drawn: Path, bundle: Path, open_page: OpenPage, tmp_path: Path, complaints: Complaints
) -> None:
    for provoked in ("400", "ERR_CONNECTION_REFUSED"):
        complaints.expect(provoked)
    server = start_server("--model", bundle)
    page = open_page(server.url)
    page.goto("/jobs")
    form = page.locator("#new-job")
    page.keyboard.press("n")
    expect(form).to_be_visible()
    photo = next(drawn.rglob("*.jpg"))
    form.get_by_label("Image root").fill(str(photo.parent))
    form.get_by_label("Catalogue file").set_input_files(photo)
    expect(form.get_by_role("alert")).to_contain_text(f"file, got {photo.name}; save a spreadsheet as CSV.")
    catalogue = tmp_path / "bild.csv"
    catalogue.write_text(f"sku;bildpfad\n1;{photo.name}\n")
    form.get_by_label("Catalogue file").set_input_files(catalogue)
    start = form.get_by_role("button", name="Start job")
    expect(form.get_by_role("alert").filter(visible=True)).to_have_text("Choose the column that contains the photos.")
    expect(start).to_be_disabled()
    form.get_by_label("Photo column").focus()
    form.get_by_label("Photo column").select_option("bildpfad")
    expect(form.get_by_role("img", name="Photo of row 1", exact=True)).to_be_visible()
    expect(form.get_by_label("Photo column")).to_be_focused()
    form.get_by_label("Image root").fill("/no/such/folder")
    page.keyboard.press("Tab")
    expect(form.get_by_role("alert")).to_contain_text("/no/such/folder")
    expect(start).to_be_disabled()
    expect(form.get_by_label("Photo column")).to_have_value("bildpfad")
    form.get_by_label("Image root").fill(str(photo.parent))
    page.keyboard.press("Tab")
    expect(start).to_be_enabled()
    server.stop()
    expect(page.locator("#toast")).to_have_text(
        "The server does not answer. This page updates when the server answers again."
    )
    start.click()
    expect(form.get_by_role("alert")).to_have_text("The server does not answer.")
