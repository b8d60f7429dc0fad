"""The Try page in Chromium."""

import base64
import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Download, Page, Request, Route, expect

from models.classifier import load

from .browser import Complaints
from .conftest import OpenPage
from .server import WebServer

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP"}
DROP = """(files) => {
    const transfer = new DataTransfer();
    for (const [name, type, data] of files) {
        const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
        transfer.items.add(new File([bytes], name, {type}));
    }
    return transfer;
}"""


@pytest.fixture(scope="module")
def served(edge_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    with WebServer(tmp_path_factory.mktemp("try"), "--model", edge_bundle) as server:
        yield server


@pytest.fixture
def trying(open_page: OpenPage, served: WebServer) -> Page:
    page = open_page(served.url)
    page.goto("/try")
    expect(page.locator("#model")).to_contain_text("classes")
    return page


@pytest.fixture
def photos(drawn: Path) -> list[Path]:
    return [file for file in sorted(drawn.rglob("*.jpg")) if _readable(file)][::20]


def _readable(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            image.load()
    except OSError:
        return False
    return True


def dropped(page: Page, files: dict[str, bytes]) -> None:
    sent = [[name, "", base64.b64encode(data).decode()] for name, data in files.items()]
    page.dispatch_event("#drop", "drop", {"dataTransfer": page.evaluate_handle(DROP, sent)})


def dropped_folder(page: Page, folder: Path) -> None:
    """Drop a folder on the page, like a file manager."""
    box = page.locator("#drop").bounding_box()
    assert box
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": box["x"] + 20, "y": box["y"] + 20, "data": data})


def watched(page: Page) -> list[Request]:
    requests: list[Request] = []

    def note(request: Request) -> None:
        requests.append(request)

    page.on("request", note)
    return requests


def answered(page: Page, number: int) -> None:
    expect(page.locator("#results > li[data-status]")).to_have_count(number, timeout=60_000)


def labels(page: Page) -> list[str]:
    return page.locator("#results .label").all_text_contents()


def saved(photo: Path, kind: str) -> bytes:
    file = io.BytesIO()
    with Image.open(photo) as image:
        image.convert("RGB").save(file, kind)
    return file.getvalue()


@pytest.mark.first
def test_five_formats_and_a_broken_file_are_six_results(
    trying: Page, photos: list[Path], edge_bundle: Path, tmp_path: Path
) -> None:
    names = [f"photo.{suffix}" for suffix in FORMATS]
    names[:2] = ["<img src=x onerror=alert(1)>.jpg", '=HYPERLINK("http://x").png']  # never markup, nor a formula
    files = dict(zip(names, (saved(photos[0], kind) for kind in FORMATS.values()), strict=True))
    classifier = load(edge_bundle)

    dropped(trying, {**files, "broken.jpg": b"\xff\xd8 no photo"})
    answered(trying, 6)

    assert labels(trying) == [*(classifier.classify(data).label for data in files.values()), "No label"]
    assert trying.locator("#results .file").all_text_contents() == [*files, "broken.jpg"]
    broken = trying.locator("#results > li").last
    expect(broken.locator(".pill")).to_have_text("✗ failed")
    expect(broken.locator(".why")).to_contain_text("fetch it again")
    expect(trying.locator("#said")).to_contain_text("6 of 6 photos done")
    expect(trying.locator("#said")).to_contain_text("1 failed")
    rows = list(csv.DictReader(io.StringIO(downloaded(trying, "Download CSV", tmp_path))))
    assert [row["photo"] for row in rows[:2]] == [names[0], f"'{names[1]}"]


def test_many_photos_come_in_order_though_the_server_is_busy(
    trying: Page, photos: list[Path], tmp_path: Path, complaints: Complaints
) -> None:
    complaints.expect("429")
    refused: list[str] = []

    def busy_at_first(route: Route, request: Request) -> None:
        if len(refused) < 3:
            refused.append(request.url)
            route.fulfill(status=429, headers={"Retry-After": "1"}, json={"detail": "Too many photos wait."})
        else:
            route.continue_()

    trying.route("**/v1/classify*", busy_at_first)
    files = {f"{n:03}.jpg": photos[n % len(photos)].read_bytes() for n in range(60)}

    dropped(trying, files)
    answered(trying, 60)

    table = downloaded(trying, "Download CSV", tmp_path)
    rows = list(csv.DictReader(io.StringIO(table)))
    document = json.loads(downloaded(trying, "Download JSON", tmp_path))
    assert [row["photo"] for row in rows] == [photo["photo"] for photo in document["photos"]] == list(files)
    assert [row["label"] for row in rows] == labels(trying)
    assert {row["status"] for row in rows} <= {"labeled", "review"}
    assert len(refused) == 3
    trying.get_by_role("button", name="Clear all").click()
    expect(trying.locator("#results > li")).to_have_count(0)


def downloaded(page: Page, button: str, folder: Path) -> str:
    with page.expect_download() as coming:
        page.get_by_role("button", name=button).click()
    download: Download = coming.value
    download.save_as(folder / "download")
    return (folder / "download").read_text()


def test_a_photo_is_tried_with_its_heat_map_by_keyboard_alone(trying: Page, photos: list[Path]) -> None:
    trying.evaluate("""() => document.querySelector("#files").addEventListener("click", (event) => {
        event.preventDefault();
        document.title = "choosing";
    })""")
    trying.keyboard.press("c")
    expect(trying).to_have_title("choosing")
    trying.set_input_files("#files", photos[:3])
    answered(trying, 3)

    trying.keyboard.press("j")
    trying.keyboard.press("j")
    trying.keyboard.press("h")
    second = trying.locator("#results > li").nth(1)
    expect(second.locator(".heat-said")).to_contain_text("64 patches")
    expect(second.locator("canvas")).to_be_visible()
    trying.keyboard.press("h")
    expect(second.locator("canvas")).to_be_hidden()
    trying.keyboard.press("x")
    expect(trying.locator("#results > li")).to_have_count(2)
    expect(trying.locator("#results > li article").nth(1)).to_be_focused()


def test_in_the_browser_no_photo_is_sent_and_labels_are_the_servers(
    trying: Page, photos: list[Path], edge_bundle: Path
) -> None:
    requests = watched(trying)
    classifier = load(edge_bundle)

    trying.keyboard.press("b")
    expect(trying.locator("#where")).to_have_text("Photos stay on this device.", timeout=60_000)
    files = {f"{n}.png": saved(photo, "PNG") for n, photo in enumerate(photos)}  # all decoders agree on PNG
    dropped(trying, files)
    answered(trying, len(files))
    trying.keyboard.press("j")
    trying.keyboard.press("h")
    expect(trying.locator(".heat-said").first).to_contain_text("64 patches", timeout=60_000)

    assert [request.url for request in requests if request.method != "GET" or request.post_data_buffer] == []
    said = [classifier.classify(data) for data in files.values()]
    assert labels(trying) == [prediction.label for prediction in said]
    statuses = [card.get_attribute("data-status") for card in trying.locator("#results > li").all()]
    assert statuses == ["review" if prediction.review else "labeled" for prediction in said]


def test_a_photo_that_is_dropped_while_the_model_loads_is_not_sent(trying: Page, photos: list[Path]) -> None:
    requests = watched(trying)
    held: list[Callable[[], None]] = []
    trying.context.route("**/try/edge.onnx", lambda route: held.append(route.continue_))

    trying.keyboard.press("b")
    dropped(trying, {"photo.jpg": photos[0].read_bytes()})
    expect(trying.locator("#results .label")).to_have_text("Waiting …")
    until_held(trying, held)
    held[0]()
    answered(trying, 1)

    assert [request.url for request in requests if request.method != "GET"] == []


def until_held(page: Page, held: list[Callable[[], None]]) -> None:
    for _ in range(600):
        if held:
            return
        page.wait_for_timeout(50)
    pytest.fail("the browser did not ask for the model")


def test_a_picture_of_the_clipboard_is_pasted(trying: Page, photos: list[Path], edge_bundle: Path) -> None:
    picture = saved(photos[0], "PNG")
    transfer = trying.evaluate_handle(DROP, [["image.png", "image/png", base64.b64encode(picture).decode()]])
    trying.evaluate(
        "(clipboardData) => document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true}))",
        transfer,
    )
    answered(trying, 1)

    assert labels(trying) == [load(edge_bundle).classify(picture).label]
    assert trying.locator("#results .file").all_text_contents() == ["image.png"]


def test_of_a_folder_the_photos_inside_are_tried(trying: Page, photos: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "spring"
    (folder / "deeper").mkdir(parents=True)
    for name in ("b.jpg", "a.jpg", "deeper/c.jpg"):
        shutil.copy(photos[0], folder / name)
    (folder / "notes.txt").write_text("no photo")

    dropped_folder(trying, folder)
    answered(trying, 3)
    assert trying.locator("#results .file").all_text_contents() == ["a.jpg", "b.jpg", "c.jpg"]

    trying.set_input_files("#folder", folder)
    answered(trying, 6)
    chosen = trying.locator("#results .file").all_text_contents()[:3]
    assert sorted(chosen) == ["spring/a.jpg", "spring/b.jpg", "spring/deeper/c.jpg"]


def test_one_photo_of_the_camera_is_one_answer(trying: Page) -> None:
    trying.context.grant_permissions(["camera"])
    trying.keyboard.press("p")
    expect(trying.get_by_role("dialog", name="Take a photo")).to_be_visible()
    expect(trying.get_by_role("button", name="Take the photo")).to_be_enabled()
    trying.get_by_role("button", name="Take the photo").press("Enter")
    answered(trying, 1)
    trying.keyboard.press("Escape")

    expect(trying.locator("#results .file")).to_contain_text("camera ")
    expect(trying.locator("#results > li")).not_to_have_attribute("data-status", "failed")
    assert not trying.evaluate("document.querySelector('video').srcObject.active"), "the camera is off"


def test_a_camera_that_may_not_be_used_is_said(trying: Page) -> None:
    trying.keyboard.press("p")

    expect(trying.locator("#toast")).to_contain_text("No camera was found or allowed")
    expect(trying.get_by_role("dialog", name="Take a photo")).to_be_hidden()
