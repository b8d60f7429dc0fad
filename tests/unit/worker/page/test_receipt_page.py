import re
from pathlib import Path

import numpy as np
from PIL import Image

from models.decision import ReviewReason
from worker.finish import PAGE_FILE, finish_job
from worker.job import ModelPin
from worker.labelling.pool import run_pool
from worker.page.contact_sheet import SheetPhoto
from worker.page.receipt_page import PagePicture, receipt_page
from worker.parts import PhotoWork
from worker.receipt import ErrorCount, ErrorExample, Receipt, RunFigures, WorkFigures
from worker.results import Status

from .html_page import Page

NASTY = """</td></section><script>alert("1")</script><img src=x onerror='alert(2)'>&amp; ${rows} $title"""


def receipt(**changes: object) -> Receipt:
    example = ErrorExample(row=17, image="photos/gone.jpg", message="Expected a photo, found nothing.")
    facts = {
        "job": "0123456789ab",
        "source": "/data/shop.csv",
        "output": "/data/labels.parquet",
        "finished_at": "2026-02-03T04:05:06+00:00",
        "model": ModelPin(path="/b", reference="shop/7/int8@feed", variant="int8", digest="feed" * 16),
        "rows": 1000,
        "by_status": {Status.LABELED: 900, Status.REVIEW: 60, Status.FAILED: 40},
        "by_label": {"shoes": 700, "hats": 260},
        "errors": {"missing": ErrorCount(count=40, examples=(example,))},
        "confidence_histogram": (0,) * 19 + (960,),
        "left_out": {".txt": 3, "": 1},
        "retry": 0,
        "work": WorkFigures(hosts={"till-1": 600, "till-2": 400}, processes=5, deaths=2, busy_s=9000.0),
        "run": RunFigures(images=1000, seconds=8.0, workers=4, restarts=1),
        "images_per_s": 125.0,
        "photos": PhotoWork(carried=800, decoded=200),
    }
    return Receipt.model_validate(facts | changes)


def text_of(html: str) -> str:
    return Page(html).text


def test_the_page_says_all_that_the_receipt_says() -> None:
    text = text_of(receipt_page(receipt(), []))
    for said in (
        "1,000 rows of shop.csv",
        "900 labeled (90.0%)",
        "60 review (6.0%)",
        "40 failed (4.0%)",
        "shoes 700 70.0%",
        "hats 260 26.0%",
        "missing · 40 rows, 4.0%",
        "17 photos/gone.jpg Expected a photo, found nothing. and 39 more",
        "Source /data/shop.csv",
        "Output /data/labels.parquet",
        "Job 0123456789ab",
        "Finished 2026-02-03T04:05:06+00:00",
        "Model shop/7/int8@feed",
        "Variant int8",
        f"Digest {'feed' * 16}",
        "Speed 125.0 images/s",
        "Images 1,000 in 8.0 seconds",
        "Processes 4",
        "1 process that died",
        "Processes 5",
        "Busy 2.5 hours",
        "Deaths 2 tries that ended with their process",
        "Photos 800 rows carried over from the previous result; 200 photos decoded",
        "till-1 600 60.0%",
        "till-2 400 40.0%",
        "4 files of the folder whose names do not say image",
        ".txt : 3, without ending: 1",
        "100% of the rows with a label have a confidence of 0.95 or more",
    ):
        assert said in text, said


def test_the_precision_that_rules_is_said_and_why_rows_go_to_review() -> None:
    model = ModelPin(path="/b", reference="shop/7/int8@feed", variant="int8", digest="feed" * 16, precision=0.98)
    reasons = {ReviewReason.THRESHOLD: 57, ReviewReason.UNKNOWN: 3}
    text = text_of(receipt_page(receipt(model=model, review_reasons=reasons), []))
    assert text.count("Precision: 0.98, expected of the labeled rows.") == 2
    assert "900 labeled (90.0%) sure enough for precision 0.98" in text
    assert "not sure enough: 57" in text
    assert "unlike what the model knows: 3" in text
    none = model.model_copy(update={"precision": 0.99, "all_to_review": True})
    said = "Precision 0.99 can be promised for no class: every photo goes to review."
    assert said in text_of(receipt_page(receipt(model=none), []))


def test_a_page_says_where_nothing_is_promised() -> None:
    bare = ModelPin(path="/b", reference="shop/7/int8@feed", variant="int8", digest="feed" * 16)
    said = {
        bare.model_copy(update={"all_to_review": True}): (
            "This model promises no precision",
            "no precision is promised",
        ),
        bare.model_copy(update={"threshold": 0.5}): (
            "Threshold 0.5, asked for by --threshold: no precision is promised.",
            "at least 0.5 sure, as asked for; no precision is promised",
        ),
        bare: ("No precision was promised: an earlier Hangtag", "no precision is promised"),
    }
    for model, (rule, labeled) in said.items():
        text = text_of(receipt_page(receipt(model=model), []))
        assert text.count(rule) == 2
        assert f"900 labeled (90.0%) {labeled}" in text
        assert "confident enough" not in text


def test_a_retry_is_named_only_where_there_was_one() -> None:
    assert "etry" not in text_of(receipt_page(receipt(), []))
    text = text_of(receipt_page(receipt(retry=2), []))
    assert "After retry 2 of the failed rows." in text
    assert "Retry 2 of the failed rows" in text


def test_nothing_in_a_catalogue_becomes_markup(tmp_path) -> None:
    example = ErrorExample(row=1, image=NASTY, message=NASTY)
    changes = {
        "job": NASTY,
        "source": f"/data/{NASTY}",
        "output": NASTY,
        "finished_at": NASTY,
        "model": ModelPin(path=NASTY, reference=NASTY, variant=NASTY, digest=NASTY),
        "by_label": {NASTY: 960},
        "errors": {NASTY: ErrorCount(count=40, examples=(example,))},
        "left_out": {NASTY: 3},
        "work": WorkFigures(hosts={NASTY: 1000}, processes=1, deaths=0, busy_s=1.0),
    }
    picture = tmp_path / "sheet.png"
    Image.new("RGB", (8, 8)).save(picture)
    photos = [SheetPhoto(None, Status.FAILED, NASTY, NASTY)]
    html = receipt_page(receipt(**changes), [PagePicture(NASTY, picture)], photos)
    page = Page(html)
    assert not [tag for tag, _ in page.elements if tag == "script"]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert [attributes["src"][:22] for tag, attributes in page.elements if tag == "img"] == ["data:image/png;base64,"]
    assert page.text.count("".join(NASTY.split())[:12]) >= 13
    assert "${rows} $title" in page.text


def test_the_page_asks_for_no_other_file() -> None:
    html = receipt_page(receipt(), [])
    assert not re.findall(r"""https?:|url\(|@import|<link|<script""", html)
    assert "default-src 'none'" in html


def test_control_characters_and_stray_surrogates_can_be_seen_and_written() -> None:
    html = receipt_page(receipt(source="a\ud800.csv", by_label={"\x00\x1b[31m\x7f\x85\n": 960}), [])
    assert "␀␛[31m␡\ufffd␊" in html
    assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", html)
    assert html.encode().decode() == html


def test_very_long_texts_make_no_long_page() -> None:
    example = ErrorExample(row=1, image="x" * 1_000_000, message="y" * 1_000_000)
    html = receipt_page(receipt(errors={"missing": ErrorCount(count=1, examples=(example,))}), [])
    assert len(html) < 30_000


def test_of_thousands_of_labels_the_first_are_shown() -> None:
    labels = {f"label {n:04}": 3 if n < 40 else 2 for n in range(1000)}
    text = text_of(receipt_page(receipt(rows=3000, by_label=labels), []))
    assert "Labels · 1,000" in text
    assert "label 0039" in text
    assert "label 0040" not in text
    assert "and 960 more 1,920 64.0%" in text


def test_forty_labels_are_all_shown() -> None:
    text = text_of(receipt_page(receipt(by_label={f"label {n:04}": 25 for n in range(40)}), []))
    assert "label 0039" in text
    assert re.findall(r"and [\d,]+ more", text) == ["and 39 more"], "of the errors"


def test_a_job_where_nothing_went_well_has_a_page() -> None:
    failed = {
        "by_status": {Status.LABELED: 0, Status.REVIEW: 0, Status.FAILED: 1000},
        "by_label": {},
        "confidence_histogram": (0,) * 20,
    }
    text = text_of(receipt_page(receipt(**failed), []))
    assert "No row has a label." in text
    assert "No row has a confidence." in text
    assert "1000" not in text
    assert "1,000 failed (100%)" in text


def test_a_job_without_rows_or_errors_has_a_page() -> None:
    nothing = {
        "rows": 0,
        "by_status": dict.fromkeys(Status, 0),
        "by_label": {},
        "errors": {},
        "confidence_histogram": (0,) * 20,
        "left_out": {},
        "work": WorkFigures(hosts={}, processes=0, deaths=0, busy_s=0.0),
        "run": RunFigures(images=0, seconds=0.1, workers=2, restarts=0),
        "images_per_s": 0.0,
    }
    text = text_of(receipt_page(receipt(**nothing), []))
    assert "0 rows of" in text
    assert "No row failed." in text
    assert "Left out" not in text
    assert "machine" not in text


def test_a_finished_job_leaves_a_page_with_its_photos(make_job, bundle, tmp_path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(60):
        Image.fromarray(noise.integers(0, 256, (400, 400, 3), np.uint8)).save(folder / f"{number:02}.jpg")
    for number in range(12):
        (folder / f"<i>broken {number:02}</i>.jpg".replace("/", "_")).write_bytes(b"no photo")
    job = make_job(folder)
    run_pool(job, bundle, 1, lambda _: None)
    done = finish_job(job)
    html = job.storage.read(PAGE_FILE).decode()
    page = Page(html)
    assert done.errors["unreadable"].count == 12
    assert "72 rows of photos" in page.text
    assert "<i>broken 00<_i>.jpg Expected a JPEG" in page.text
    assert html.count("data:image/jpeg;base64,") == 48
    assert html.count('class="tile failed"') == html.count("no picture") == 8
    assert len(html) < 1_500_000, "even of pictures that are hard to compress"


def test_the_pictures_of_a_page_are_in_it(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    html = receipt_page(
        receipt(), [PagePicture("First & best", tmp_path / "a.png"), PagePicture("2", tmp_path / "b.png")]
    )
    assert html.count("data:image/png;base64,") == 2
    assert "First &amp; best" in html
    assert "Some of the photos" not in html


def test_photos_become_tiles(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    html = receipt_page(receipt(), [], [SheetPhoto(tmp_path / "a.png", Status.LABELED, "кеды", "labeled 98.0%")])
    assert "Some of the photos кеды labeled 98.0%" in text_of(html)
    assert html.count("data:image/jpeg;base64,") == 1
