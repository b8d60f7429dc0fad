import base64
import io
import re
import socket
import time
from pathlib import Path

import pytest
from PIL import Image

from models.decision import ReviewReason
from models.drift import ReferenceAnswers
from pages.tiles import LabelledPhoto, PagePhoto
from tests.html_page import NASTY, Page, check_harmless
from tests.messages.golden import check_messages
from tests.photo_jobs import photo_job
from worker.job.job import ModelPin
from worker.job.parts import PhotoWork, Status
from worker.job.receipt import (
    Drift,
    ErrorCount,
    ErrorExample,
    GroupCounts,
    ModelName,
    Receipt,
    RunFigures,
    WorkFigures,
)
from worker.results.receipt_page import receipt_page, small_photos

WITHIN_S = 0.5
SOON_S = 5.0
PIN = ModelPin(path="/b", reference="shop/7/int8@feed", variant="int8", digest="feed" * 16, precision=0.95)
GROUPS = GroupCounts(column="sku", ungrouped=0, products=1000, labeled=900, review=99, failed=1, disagreeing=2)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "blue.png"
    Image.new("RGB", (300, 300), (0, 0, 255)).save(path)
    return path


def receipt(**changes: object) -> Receipt:
    example = ErrorExample(row=17, image="photos/gone.jpg", message="Expected a photo, found nothing.")
    facts = {
        "job": "0123456789ab", "source": "/data/shop.csv", "output": "/data/labels.parquet",
        "finished_at": "2026-02-03T04:05:06+00:00", "model": PIN, "rows": 1000,
        "by_status": {Status.LABELED: 900, Status.REVIEW: 60, Status.FAILED: 40},
        "by_label": {"shoes": 700, "hats": 260}, "by_level": {}, "left_out": {".txt": 3, "": 1}, "retry": 0,
        "errors": {"missing": ErrorCount(count=40, examples=(example,))},
        "review_by_label": {}, "review_reasons": {}, "review_file": "/data/review.csv",
        "confidence_histogram": (0,) * 19 + (960,),
        "work": WorkFigures(hosts={"till-1": 600, "till-2": 400}, processes=5, deaths=2),
        "run": RunFigures(images=1000, seconds=8.0, workers=4),
        "images_per_s": 125.0, "photos": PhotoWork(carried=800, decoded=200),
        **dict.fromkeys(("groups", "groups_file", "named", "drift")),
    }  # fmt: skip
    return Receipt.model_validate(facts | changes)


def drifted(warning: str | None, label: str = "shoes") -> Drift:
    usual = ReferenceAnswers(by_label={label: 96}, confidence_histogram=(0,) * 19 + (96,))
    finding = warning or "96 photos are too few."
    psi = {"confidence_psi": 0.5, "label_psi": 0.25}
    return Drift(**psi, rows=960, warning=warning, finding=finding, reference=usual)


def text_of(*asked: object, **changes: object) -> str:
    """All words of a page but for the numbers of its charts."""
    return re.sub(r"(0\.\d\d to [01]\.\d\d: [\d,]+ rows )+", "", Page(receipt_page(receipt(**changes), *asked)).text)


def test_what_a_page_says() -> None:
    reasons = {ReviewReason.THRESHOLD: 57, ReviewReason.UNKNOWN: 3}
    unmeasured = drifted(None).reference.model_copy(update={"outliers": 0})
    nothing = {
        "by_status": {Status.LABELED: 0, Status.REVIEW: 0, Status.FAILED: 1000},
        "by_label": {}, "confidence_histogram": (0,) * 20,
    }  # fmt: skip
    no_rows = {
        "rows": 0, "by_status": dict.fromkeys(Status, 0), "errors": {}, "left_out": {}, "images_per_s": 0.0,
        "work": WorkFigures(hosts={}, processes=0, deaths=0),
        "run": RunFigures(images=0, seconds=0.1, workers=2),
        "groups": GroupCounts(column="sku", ungrouped=0, products=0, labeled=0, review=0, failed=0, disagreeing=0),
    }  # fmt: skip
    texts = {
        "a job without a promise": text_of(model=PIN.model_copy(update={"precision": None, "all_to_review": True})),
        "a precision": text_of(model=PIN.model_copy(update={"precision": 0.98}), review_reasons=reasons),
        "a precision for no class": text_of(model=PIN.model_copy(update={"precision": 0.99, "all_to_review": True})),
        "a threshold": text_of(model=PIN.model_copy(update={"precision": None, "threshold": 0.5})),
        "a retry, a name in a registry, products": text_of(
            retry=2,
            named=ModelName(asked="shop@champion", version="shop@7"),
            groups=GROUPS.model_copy(update={"disagreeing": 7, "ungrouped": 40}),
            groups_file="/data/by_group.parquet",
        ),
        "labels with rows to review": text_of(review_by_label={"shoes": 50, "hats": 10}),
        "drift": text_of(drift=drifted("They are darker.")),
        "no drift, and nothing known of strange photos": text_of(drift=drifted(None)),
        "strange photos were not measured": text_of(drift=drifted(None).model_copy(update={"reference": unmeasured})),
        "no row has a label": text_of(**nothing),
        "no rows": text_of(**nothing | no_rows),
    }
    check_messages("receipt-page", texts, {})
    assert 'class="usual"' in receipt_page(receipt(drift=drifted(None)))


@pytest.mark.parametrize("rule", [{"all_to_review": True}, {"threshold": 0.5}])
def test_a_page_says_where_nothing_is_promised(rule: dict[str, object]) -> None:
    text = text_of(model=PIN.model_copy(update={"precision": None, **rule}))
    assert len(re.findall("promises no precision|no precision is promised", text)) == 2, "as a rule, and of the labels"


def test_nothing_in_a_catalogue_becomes_markup() -> None:
    example = ErrorExample(row=1, image=NASTY, message=NASTY)
    changes = {
        **dict.fromkeys(("job", "source", "output", "finished_at"), NASTY),
        "model": ModelPin(path=NASTY, reference=NASTY, variant=NASTY, digest=NASTY),
        "by_label": {NASTY: 960},
        "errors": {NASTY: ErrorCount(count=40, examples=(example,))},
        "left_out": {NASTY: 3},
        "work": WorkFigures(hosts={NASTY: 1000}, processes=1, deaths=0),
        "groups": GROUPS,
        "drift": drifted(NASTY, NASTY),
    }
    photos = [LabelledPhoto(None, Status.FAILED, NASTY, NASTY, NASTY)]
    page = check_harmless(receipt_page(receipt(**changes), photos))
    assert page.text.count("".join(NASTY.split())[:12]) >= 20
    assert "${rows} {{ rows }}" in page.text


def test_photos_are_in_the_page_failed_ones_last(photo: Path) -> None:
    photos = [
        LabelledPhoto(None, Status.FAILED, "gone.jpg", "failed: missing"),
        LabelledPhoto(
            photo and PagePhoto.of(photo), Status.REVIEW, "кеды", "review 98.0%", "unlike the model's products"
        ),
    ]
    html = receipt_page(receipt(), photos)
    assert html.count("data:image/jpeg;base64,") == html.count("no picture") == 1
    text = "Some of the photos кеды review 98.0% unlike the model's products no picture gone.jpg failed: missing"
    assert text in Page(html).text
    assert "Some of the photos" not in text_of()


def test_photos_come_small_and_those_that_cannot_be_read_not_at_all(photo: Path) -> None:
    (photo.parent / "damaged.jpg").write_bytes(b"no photo")
    found = small_photos(photo_job(photo.parent), [photo.name, None, "", photo.name, "damaged.jpg", "gone.jpg"])
    assert list(found) == [photo.name]
    for uri, side in ((found[photo.name].uri, 200), (found[photo.name].small_uri, 112)):
        assert Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size == (side, side)


@pytest.mark.parametrize("confined", [True, False])
def test_of_a_confined_job_nothing_outside_its_root_is_shown(photo: Path, *, confined: bool) -> None:
    root = photo.parent / "root"
    root.mkdir()
    (root / "link.png").symlink_to(photo)
    photo.rename(root / "inside.png")
    outside = photo
    Image.new("RGB", (8, 8)).save(outside)
    found = small_photos(photo_job(root, confined=confined), ["inside.png", "link.png", "../blue.png", str(outside)])
    assert set(found) == ({"inside.png"} if confined else {"inside.png", "link.png", "../blue.png", str(outside)})


def test_hosts_that_stay_silent_delay_a_page_no_longer_than_said(photo: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        job = photo_job(photo.parent, allow_hosts=[place])
        start = time.monotonic()
        cells = [*(f"http://{place}/{number}.jpg" for number in range(40)), photo.name]
        found = small_photos(job, cells, within_s=WITHIN_S)
        assert time.monotonic() - start < WITHIN_S + SOON_S
    assert list(found) == [photo.name]
