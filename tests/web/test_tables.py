"""Tables in a browser: sorted and filtered, also by keyboard, on pages from the disk and from the server."""

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.until import until
from worker.job.receipt import finished_receipt
from worker.label import earlier_job
from worker.results.receipt_page import receipt_page

from .conftest import OpenPage

LABELS = 45
"""A receipt shows 40 of them, and a row for the others."""
REST = ["and 5 more", "no label"]
"""Rows that stay at the end, however the table is sorted."""


@pytest.fixture
def receipt(finished: Path, tmp_path: Path) -> Path:
    found = finished_receipt(earlier_job(finished))
    assert found
    many = {f"label {number}": 2 * LABELS - number for number in range(LABELS)}
    place = tmp_path / "receipt.html"
    place.write_text(receipt_page(found.model_copy(update={"by_label": many, "rows": 10_000})))
    return place


def column(table: Locator, at: int = 0) -> list[str]:
    cells = table.locator(f"tbody tr:visible td:nth-child({at + 1})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_a_page_from_the_disk_sorts_its_tables_by_keyboard(open_page: OpenPage, receipt: Path) -> None:
    page = open_page(receipt.as_uri())
    page.goto(receipt.as_uri())
    table = page.get_by_role("table").filter(has_text="label 0").first
    before = column(table)
    assert before[-2:] == REST
    head = table.get_by_role("columnheader", name="label")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert column(table) == [*(f"label {number}" for number in range(40)), *REST]
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert column(table)[:2] == ["label 39", "label 38"], "numbers in names count as numbers"
    assert column(table)[-2:] == REST
    rows = table.get_by_role("columnheader", name="rows")
    rows.get_by_role("button").click()
    expect(rows).to_have_attribute("aria-sort", "ascending")
    assert not head.get_attribute("aria-sort")
    assert column(table, 1)[:2] == ["51", "52"]
    rows.get_by_role("button").click()
    rows.get_by_role("button").click()
    assert column(table) == before, "the third time, the order is the page's own again"
    assert rows.get_attribute("aria-sort") is None


def test_without_a_script_a_table_reads_as_it_is(open_page: OpenPage, receipt: Path) -> None:
    page = open_page(receipt.as_uri(), java_script_enabled=False)
    page.goto(receipt.as_uri())
    table = page.get_by_role("table").filter(has_text="label 0").first
    assert column(table)[0] == "label 0"
    assert page.get_by_role("button").count() == page.get_by_role("searchbox").count() == 0


SEND = """(sizes) => {
    const rows = document.getElementById("rows");
    rows.replaceChildren(...sizes.map((size) => {
        const row = rows.rows[0].cloneNode(true);
        row.cells[2].textContent = size;
        return row;
    }));
}"""
"""What jobs.js does with the rows that the server sends."""


def test_jobs_stay_sorted_and_filtered_whatever_the_server_sends(page: Page) -> None:
    page.add_init_script("window.setInterval = () => 0")  # stop updates of the server's rows
    page.goto("/jobs")
    table = page.locator(".jobs-table")
    page.evaluate(SEND, ["30", "4", "1,200"])
    table.get_by_role("button", name="rows", exact=True).press("Enter")
    assert column(table, 2) == ["4", "30", "1,200"]
    page.evaluate(SEND, ["9", "31", "4", "1,200"])
    assert column(table, 2) == ["4", "9", "31", "1,200"]
    page.get_by_label("Filter jobs").fill("1,2")
    until(lambda: column(table, 2) == ["1,200"], "only the job with such a number is shown")
    page.evaluate(SEND, ["1,300", "1,200", "1,201"])
    assert column(table, 2) == ["1,200", "1,201"]
