"""Use the review page by keyboard, and draw jobs to review quickly."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect

from models.storage.storage import FolderStorage
from tests.review_jobs import sha256_of
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Vote
from worker.job.job import open_job
from worker.label import job_folder
from worker.results.finish import RESULT_FILE, finish_job

from .server import WebServer

numbers = count(step=100)
"""The first photo of each drawn job: no two jobs have the same photos."""


@dataclass
class ReviewPage:
    page: Page
    seen: list[str] = field(default_factory=list)

    def open(self, job: str, query: str = "") -> "ReviewPage":
        self.page.goto(f"/review/{job}{query}")
        expect(self.photo).to_be_visible()
        self.seen.append(self.shown())
        return self

    @property
    def photo(self) -> Locator:
        return self.page.locator("#photo img")

    @property
    def question(self) -> Locator:
        return self.page.locator("#question")

    def shown(self) -> str:
        source = self.photo.get_attribute("src")
        assert source
        return parse_qs(urlsplit(source).query)["sha256"][0]

    def guesses(self) -> list[str]:
        return self.page.locator("#guesses .name").all_inner_texts()

    def answer(self, *keys: str) -> str:
        """Answer the question by keys; return its photo after the next one is shown."""
        about = self.shown()
        for key in keys:
            self.page.keyboard.press(key)
        expect(self.page.locator(f"#photo img[src*='sha256={about}']")).to_have_count(0)
        expect(self.page.locator("#photo img, #end:not(.hidden)")).to_be_visible()
        if not self.is_over():
            self.seen.append(self.shown())
        return about

    def answers(self, count: int, key: str = "Enter") -> Iterator[str]:
        for _ in range(count):
            yield self.answer(key)

    def is_over(self) -> bool:
        return self.page.locator("#end").is_visible()

    def is_saved(self) -> None:
        expect(self.page.locator("#saved")).to_have_text("All saved", timeout=30_000)

    def rename(self, name: str) -> None:
        self.page.locator("summary", has_text="More").focus()
        self.page.keyboard.press("Enter")
        self.page.get_by_label("Reviewer").fill(name)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_label("Reviewer")).to_be_hidden()


@dataclass(frozen=True)
class DrawnJob:
    """A quickly drawn job with photos of its own."""

    server: WebServer
    id: str
    photos: tuple[str, ...]

    def votes(self) -> list[Vote]:
        votes = CorrectionStore(self.server.corrections).votes()
        return [vote for vote in votes if vote.sha256 in self.photos]

    def labels(self) -> dict[str, str]:
        """Photo → the label of its latest vote."""
        return {vote.sha256: vote.label for vote in self.votes() if vote.label}


def shown(server: WebServer, result: Path, first: int, doubtful: int) -> DrawnJob:
    server.jobs.mkdir(exist_ok=True)
    finish(result)
    folder = job_folder(result).rename(server.jobs / f"shop-{first}")
    return DrawnJob(server, folder.name, tuple(map(sha256_of, range(first, first + doubtful))))


def finish(result: Path) -> Path:
    """Write a drawn job's result and receipt; return the result's path."""
    job = open_job(FolderStorage(job_folder(result)))
    assert job
    finish_job(job)
    return Path(shutil.copy(job_folder(result) / RESULT_FILE, result))
