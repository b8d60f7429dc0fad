"""Every page with its dialogs, for tests that hold everywhere."""

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page, expect


def _stay(page: Page) -> None:
    """Change nothing."""


@dataclass(frozen=True)
class Place:
    """A page in a state."""

    name: str
    path: str
    reach: Callable[[Page], None] = _stay
    status: int = 200

    @property
    def shows_names(self) -> bool:
        return "{job}" in self.path or self.path in {"/review", "/jobs"}

    def open(self, page: Page, job: str) -> None:
        answer = page.goto(self.path.format(job=job))
        assert answer
        assert answer.status == self.status
        self.reach(page)


def _question(page: Page) -> None:
    expect(page.locator("#photo img")).to_be_visible()


def _after_key(key: str, sign: str) -> Callable[[Page], None]:
    def reach(page: Page) -> None:
        _question(page)
        page.keyboard.press(key)
        expect(page.locator(sign).first).to_be_visible()

    return reach


def _menu(page: Page) -> None:
    _question(page)
    page.locator("summary", has_text="More").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reviewer")).to_be_visible()


def _new_job(page: Page) -> None:
    expect(page.locator("#rows tr").first).to_be_visible()
    page.keyboard.press("n")
    expect(page.locator("#new-job")).to_be_visible()


def _preview(page: Page) -> None:
    _new_job(page)
    urls = "http://localhost:1/<img src=x onerror=alert(1)>.jpg"
    page.locator("#new-job").get_by_label("Paste URLs").check()
    page.get_by_label("URLs of photos, one per line").fill(urls)
    page.get_by_role("button", name="Preview").press("Enter")
    expect(page.locator("#preview table, #refused:not([hidden])").first).to_be_visible()


DROP = """async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
    canvas.getContext("2d").fillRect(9, 9, 40, 40);
    const photo = await new Promise((done) => canvas.toBlob(done));
    const transfer = new DataTransfer();
    transfer.items.add(new File([photo], "<img src=x onerror=alert(1)>.png"));
    transfer.items.add(new File(["no photo"], "broken.jpg"));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer }));
}"""


def _answers(page: Page) -> None:
    expect(page.locator("#model")).to_contain_text("classes")
    page.evaluate(DROP)
    expect(page.locator("#results > li[data-status]")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("h")
    expect(page.locator(".heat-said").first).to_be_visible()


def _promote(page: Page) -> None:
    page.get_by_role("button", name="Promote…").press("Enter")
    expect(page.get_by_label("Reason, for the history")).to_be_focused()


PLACES = (
    Place("login", "/login"),
    Place("not found", "/no-such-page", status=404),
    Place("jobs", "/jobs"),
    Place("new job", "/jobs", _new_job),
    Place("preview", "/jobs", _preview),
    Place("job", "/jobs/{job}"),
    Place("try", "/try"),
    Place("answers", "/try", _answers),
    Place("models", "/models"),
    Place("model", "/models/shop"),
    Place("version", "/models/shop/2"),
    Place("promote", "/models/shop/2", _promote),
    Place("reviews", "/review"),
    Place("question", "/review/{job}", _question),
    Place("search", "/review/{job}", _after_key("/", "#search")),
    Place("note", "/review/{job}", _after_key("c", "#note-dialog")),
    Place("keys", "/review/{job}", _after_key("?", "#keys")),
    Place("menu", "/review/{job}", _menu),
    Place("grid", "/review/{job}", _after_key("g", "#tiles img")),
)
