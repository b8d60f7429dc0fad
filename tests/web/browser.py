"""A headless Chromium whose pages must show no errors."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request

FLAGS = (
    "--no-sandbox",  # root in a container cannot have one
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",  # a camera for contexts with the permission
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
WAIT_MS = 30_000


@dataclass
class Complaints:
    """Events that must not happen on a page.

    Attributes:
        found: errors in the console (including violations of the content security policy), uncaught exceptions,
            dialogs, requests to other hosts.
        expected: parts of the complaints that this test provokes.
    """

    found: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, part: str) -> None:
        self.expected.append(part)

    def unexpected(self) -> list[str]:
        return [said for said in self.found if not any(part in said for part in self.expected)]


class Visitors:
    """Opens browser profiles and collects complaints of all their pages."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints = Complaints()

    def open(self, url: str, **options: Any) -> Page:
        """Open a page in a new profile without cookies; relative paths start at ``url``."""
        context = self._browser.new_context(base_url=url, **options)
        self._contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        host = urlsplit(url).netloc
        context.on("console", lambda message: self._note(message.text, message.location, message.type))
        context.on("weberror", lambda error: self.complaints.found.append(f"exception: {error.error}"))
        context.on("dialog", self._answer)
        context.on("request", lambda request: self._check_host(request, host))
        return context.new_page()

    def close(self) -> None:
        """Leave every page, so that review pages release their questions, and close all pages."""
        for context in self._contexts:
            for page in context.pages:
                page.goto("about:blank")
            context.close()

    def _note(self, text: str, place: object, kind: str) -> None:
        if kind == "error":
            self.complaints.found.append(f"console: {text} {place}")

    def _answer(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":
            dialog.accept()
            return
        self.complaints.found.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _check_host(self, request: Request, host: str) -> None:
        asked = urlsplit(request.url)
        if asked.scheme not in {"blob", "data"} and asked.netloc != host:
            self.complaints.found.append(f"request elsewhere: {request.url}")
