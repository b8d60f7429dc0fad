"""Draws the page's pictures in docs/images: ``python docs/screenshots.py demo``, for the folder of ``hangtag demo``.

Labels the demo's new photos with its model of colours, starts a server with this result, and opens the pages in the
system's Chromium.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.example_runs.chromium import chromium_binary
from models.registry.registry import open_registry
from tests.command import HANGTAG
from tests.web.server import WebServer

IMAGES = Path(__file__).parent / "images"
MOST_BYTES = 150_000
SIZE = {"width": 1280, "height": 800}
ALL_LOADED = """[...document.images].filter((image) => image.checkVisibility())
    .every((image) => image.naturalWidth || image.getBoundingClientRect().top > innerHeight)"""
PHONE = {"width": 390, "height": 800}


def main(demo: Path) -> None:
    """Start the server and draw all pictures."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        model, result = demo / "bundles" / "colour", folder / "labels.parquet"
        subprocess.run([*HANGTAG, "label", demo / "new-photos", "--model", model, "--out", result], check=True)
        server = WebServer(folder / "server", result, "--model", "shop@champion")
        registry = open_registry(str(server.folder / "registry"))
        registry.publish("shop", model, "the demo's")
        registry.promote("shop", 1, "the first version")
        server.start()
        try:
            browser = playwright.chromium.launch(executable_path=chromium_binary(), args=["--no-sandbox"])
            draw_all(browser, server, sorted((demo / "new-photos").rglob("*.jpg")))
        finally:
            server.stop()


def draw_all(browser: Browser, server: WebServer, photos: list[Path]) -> None:
    """Draw each page in light and dark, and the review on a phone."""
    for old in IMAGES.glob("web-*.png"):
        old.unlink()
    job = server.job_id()
    for name, path, prepare in (
        ("review", f"/review/{job}", answer_some),
        ("grid", f"/review/{job}", open_grid),
        ("jobs", "/jobs", stay),
        ("job", f"/jobs/{job}", stay),
        ("try", "/try", lambda page: choose(page, photos[::40][:4])),
        ("models", "/models/shop", stay),
    ):
        for scheme in ("light", "dark"):
            draw(browser, server.url, path, prepare, IMAGES / f"web-{name}-{scheme}.png", scheme, SIZE)
    draw(browser, server.url, f"/review/{job}", answer_some, IMAGES / "web-review-phone.png", "light", PHONE)


def draw(
    browser: Browser,
    url: str,
    path: str,
    prepare: Callable[[Page], None],
    place: Path,
    scheme: str,
    size: dict[str, int],
) -> None:
    """Save a picture of a page, in 256 colours or fewer."""
    context = browser.new_context(
        base_url=url, color_scheme=scheme, viewport=size, reduced_motion="reduce", bypass_csp=True
    )
    page = context.new_page()
    page.goto(path)
    prepare(page)
    page.wait_for_function(ALL_LOADED)
    picture = Image.open(BytesIO(page.screenshot()))
    page.goto("about:blank")
    page.wait_for_timeout(500)  # until the page releases its photos
    context.close()
    for colours in (256, 128, 64, 32):
        picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(place, optimize=True)
        if place.stat().st_size <= MOST_BYTES:
            return
    sys.exit(f"Expected at most {MOST_BYTES:,} bytes, got {place.stat().st_size:,} in {place}.")


def stay(page: Page) -> None:
    """Wait until the page is loaded."""
    page.locator("main h1").wait_for()


def answer_some(page: Page) -> None:
    """Confirm two guesses."""
    page.locator("#photo img").wait_for()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.get_by_text("All saved").wait_for()


def open_grid(page: Page) -> None:
    """Mark a photo of the grid."""
    page.locator("#photo img").wait_for()
    page.keyboard.press("g")
    page.locator("#tiles img").first.wait_for()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")


def choose(page: Page, photos: list[Path]) -> None:
    """Choose some photos, and wait for their labels."""
    page.locator("input[type=file]").first.set_input_files(photos)
    page.wait_for_function("!document.querySelector('main').textContent.includes('Waiting')")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
