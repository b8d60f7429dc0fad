"""Build the example page, serve it on this machine, and use it in a browser as a person would."""

import functools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .chromium import Tab, open_chromium
from .programs import Said, run_program

CARDS = """JSON.stringify([...document.querySelectorAll(".card")].map((card) => ({
    file: card.querySelector(".file").textContent, text: card.innerText, state: card.dataset.state,
    label: card.dataset.label, confidence: Number(card.dataset.confidence), doubt: card.dataset.doubt,
})))"""


@dataclass(frozen=True)
class Card:
    """A photo's result on the page.

    Attributes:
        file: the photo's name.
        text: the card's visible text.
        state: ``labeled``, ``review`` or ``failed``.
        label: the likeliest class; None if the photo cannot be read.
        confidence: its probability.
        doubt: the reason for review: ``threshold``, ``unknown``, or None.
    """

    file: str
    text: str
    state: str
    label: str | None = None
    confidence: float | None = None
    doubt: str | None = None


class Page:
    """The page in a tab."""

    def __init__(self, tab: Tab, url: str) -> None:
        self.tab = tab
        self.url = url
        tab.open(url)
        tab.wait("document.querySelector('#status').textContent.includes('ready')")

    def choose(self, photos: list[Path]) -> list[Card]:
        """Choose photos in the dialog; return all cards, from top to bottom."""
        return self._after(photos, self.tab.choose, "input[type=file]")

    def drop(self, photos: list[Path]) -> list[Card]:
        """Drop photos on the page; return all cards, from top to bottom."""
        return self._after(photos, self.tab.drop, "#drop")

    def says(self, photos: list[Path]) -> list[Said]:
        """The labels of photos."""
        cards = self.choose(photos)[: len(photos)]
        return [Said(card.label or "", card.confidence or 0.0, card.state == "review") for card in cards]

    def _after(self, photos: list[Path], give: Callable[[str, list[Path]], None], place: str) -> list[Card]:
        ready = "document.querySelectorAll('.card:not([data-state=waiting])').length"
        before = int(self.tab.run(ready))
        give(place, photos)
        self.tab.wait(f"{ready} === {before + len(photos)}")
        return [Card(**card) for card in json.loads(self.tab.run(CARDS))]


def build(place: Path, bundle: Path) -> Path:
    """Build the page for a bundle."""
    run_program("npm", "run", "build", "--", str(bundle.resolve()), folder=place)
    return place


@contextmanager
def open_page(place: Path, profile: Path) -> Iterator[Page]:
    """Serve the built page to this machine only, and open it in Chromium."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_QuietHandler, directory=str(place)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with open_chromium(profile) as browser:
            yield Page(browser.open_tab(), f"http://127.0.0.1:{server.server_port}/")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...
