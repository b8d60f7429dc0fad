"""The review page, used by its keys as a person does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect


@dataclass
class ReviewPage:
    """A reviewer's page.

    Attributes:
        page: it.
        seen: the photos that were shown, by the first digits of their SHA-256, in order; one that came again twice.
    """

    page: Page
    seen: list[str] = field(default_factory=list)

    def open(self, job: str, query: str = "") -> "ReviewPage":
        """Open a job's questions, and wait for the first photo."""
        self.page.goto(f"/review/{job}{query}")
        expect(self.photo).to_be_visible()
        self.seen.append(self.shown())
        return self

    @property
    def photo(self) -> Locator:
        """The picture of the question."""
        return self.page.locator("#photo img")

    @property
    def question(self) -> Locator:
        """What is asked."""
        return self.page.locator("#question")

    def shown(self) -> str:
        """Which photo is asked about."""
        source = self.photo.get_attribute("src")
        assert source
        return parse_qs(urlsplit(source).query)["sha256"][0]

    def guesses(self) -> list[str]:
        """The likeliest classes."""
        return self.page.locator("#guesses .name").all_inner_texts()

    def answer(self, *keys: str) -> str:
        """Press keys that answer the question; gives the photo that it was about, once another one is shown."""
        about = self.shown()
        for key in keys:
            self.page.keyboard.press(key)
        expect(self.page.locator(f"#photo img[src*='sha256={about}']")).to_have_count(0)
        expect(self.page.locator("#photo img, #end:not(.hidden)")).to_be_visible()
        if not self.is_over():
            self.seen.append(self.shown())
        return about

    def answers(self, count: int, key: str = "Enter") -> Iterator[str]:
        """Give the same answer so many times."""
        for _ in range(count):
            yield self.answer(key)

    def is_over(self) -> bool:
        """Whether nothing is left to ask."""
        return self.page.locator("#end").is_visible()

    def is_saved(self) -> None:
        """Wait until the server has every answer."""
        expect(self.page.locator("#saved")).to_have_text("All saved", timeout=30_000)

    def rename(self, name: str) -> None:
        """Say who reviews, by keyboard."""
        self.page.locator("summary", has_text="More").focus()
        self.page.keyboard.press("Enter")
        self.page.get_by_label("Reviewer").fill(name)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_label("Reviewer")).to_be_hidden()
