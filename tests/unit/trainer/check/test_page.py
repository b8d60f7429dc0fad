import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.html_page import Page, check_harmless
from trainer.check.check_reports import check_page
from trainer.check.checkup import Checkup, Issue, check_up
from trainer.check.shortcuts import Guess
from trainer.data.dataset import read_dataset
from trainer.data.photo_cache import StatisticsStore

NASTY = """hat"><script><img src=x onerror='alert(1)'>&amp;${rows}"""
NASTY_FILE = b"\xff\xe2\x80\xae<script>gnp.png"
GUESS = Guess(
    *("width", 0.93, 0.58), is_shortcut=True, pair=("dress", NASTY), pair_accuracy=0.97, pair_majority=0.6, classes=3,
    pair_stands_out=True,
)  # fmt: skip


def check(root: Path, cache: Path) -> Checkup:
    return check_up(read_dataset(root), StatisticsStore(cache), lambda what, done, total: None)


def flagged(checkup: Checkup, *issues: Issue, where: np.ndarray | None = None) -> Checkup:
    """The checkup with these issues for all photos, or for the photos at ``where``."""
    flags = np.ones(len(checkup.scanned.photos), bool) if where is None else where
    judged = checkup.photo_issues
    return replace(checkup, photo_issues=replace(judged, flags={**judged.flags, **dict.fromkeys(issues, flags)}))


def draw(path: Path, seed: int, brightest: int = 256) -> Path:
    """Draw sixty-four coloured tiles that resemble no other photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tiles = np.random.default_rng(seed).integers(0, brightest, (8, 8, 3), np.uint8)
    Image.fromarray(tiles).resize((96, 96), Image.Resampling.NEAREST).save(path)
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("looks")


@pytest.fixture(scope="module")
def shop(tmp_path_factory, cache) -> Checkup:
    """Two classes in train and test, with every kind of fault; read-only."""
    root = tmp_path_factory.mktemp("data") / "shop <2026>"
    for number in range(40):
        for seed, label in ((number, NASTY), (1000 + number, "dress")):
            draw(root / ("test" if number < 5 else "train") / label / f"{number}.png", seed)
    train, test = root / "train", root / "test"
    shutil.copy(train / "dress" / "10.png", test / "dress" / "seen.png")
    shutil.copy(train / "dress" / "11.png", train / NASTY / "also.png")
    with Image.open(train / "dress" / "12.png") as image:
        image.resize((80, 80)).save(train / "dress" / "smaller.jpg", quality=85)
    for number in range(12):
        draw(train / ("dress" if number < 8 else NASTY) / f"none-{number}.png", 5000)
    for number in range(26):
        draw(train / "dress" / f"dark-{number}.png", 2000 + number, 30)
    draw(train / NASTY / "png-inside.png", 3000).rename(train / NASTY / "png-inside.jpg")
    draw(train / NASTY / "odd.png", 3001).rename(train / NASTY / os.fsdecode(NASTY_FILE))
    whole = (train / "dress" / "smaller.jpg").read_bytes()
    (train / "dress" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    for number in range(14):
        (train / "dress" / f"nothing-{number}.jpg").write_bytes(b"no photo" * 40)
    (train / "dress" / "sketch.psd").write_bytes(b"8BPS")
    (train / "dress" / "notes.txt").write_text("measure them")
    return check(root, cache)


@pytest.fixture(scope="module")
def html(shop) -> str:
    return check_page(shop)


@pytest.fixture
def few(tmp_path, cache) -> Checkup:
    """Twelve photos without a fault and without splits."""
    for number in range(12):
        draw(tmp_path / "few" / ("hat" if number % 2 else "dress") / f"{number}.png", 7000 + number)
    return check(tmp_path / "few", cache)


def part(html: str, anchor: str) -> str:
    return re.findall(rf'<section[^>]* id="{anchor}">.*?</section>', html, re.DOTALL)[0]


def pictures(html: str) -> int:
    return html.count('src="data:image/jpeg;base64,')


def test_the_page_counts_what_was_found_and_links_to_each_issue(shop, html) -> None:
    page = Page(html)
    for words in (
        *("139 images in shop <2026>", "2 classes; train 112, test 11.", "139 images 2 classes"),
        *("16 cannot be used 11.5%", "6 duplicates 4 exact, 2 near", "2 label conflicts 1 picture under two labels"),
        "1 leak also in a training split",
        "1 exact leak: 9% of your test images were seen in training.",
        *("unreadable 14 10.1%", "Left out · 1 file These files were not checked.", "train/dress/notes.txt"),
    ):
        assert words in page.text
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section" and "id" in attributes]
    assert sections == [issue for issue in Issue if shop.count(issue)]
    assert [link for link in links if link.startswith("#")] == [f"#{issue}" for issue in sections]
    assert '10.1%</td><td class="line"><span style="width: 10.1%">' in html.replace("\n", ""), (
        "a bar is a share of all images"
    )
    absent = re.findall(r"No cases of: ([^.]+)\.", page.text)[0]
    assert len(absent.split(", ")) == len(Issue) - len(sections)


def test_files_that_cannot_be_used_are_told_and_never_opened(tmp_path, shop, html) -> None:
    text = Page(html).text
    assert "train/dress/cut.jpg The file ends too early; fetch it again." in text
    assert "train/dress/sketch.psd It is a Photoshop document" in text
    assert "and 2 more files: see check.csv" in text
    good = draw(tmp_path / "good.png", 1)
    faulty = tuple(replace(one, photo=replace(one.photo, path=good)) for one in shop.scanned.faulty)
    opened = check_page(replace(shop, scanned=replace(shop.scanned, faulty=faulty)))
    assert all(pictures(part(opened, issue)) == 0 for issue in ("unreadable", "truncated", "unsupported"))


def test_names_do_nothing_but_name(shop) -> None:
    odd_last = np.array([float("<" not in photo.path.name) for photo in shop.scanned.photos])  # so it is shown first
    photo_issues = replace(
        shop.photo_issues,
        properties={NASTY: {Issue.LIGHT: 0.97, Issue.GREY: 0.61}},
        scores={**shop.photo_issues.scores, Issue.BLURRY: odd_last},
    )
    html = check_page(flagged(replace(shop, guesses=(GUESS,), photo_issues=photo_issues), Issue.BLURRY))
    assert check_harmless(html).text.count("<script><img") >= 8
    assert "�\u202e&lt;script&gt;gnp.png</bdi>" in html
    outside = re.sub(r"<bdi[^>]*>[^<]*</bdi>", "", re.sub(r'title="[^"]*"', "", html))
    assert "\u202e" not in outside, "no mark in a name reaches the words around it"


def test_where_nothing_is_wrong_the_page_says_so(few) -> None:
    page = Page(check_page(few))
    assert "No issue found. Issues No cases of" in page.text
    assert "– leaks no splits given" in page.text
    assert "– shortcuts too few images" in page.text
    assert "class images issues unusable dress 6 0 0 hat 6 0 0" in page.text
    assert not [tag for tag, _ in page.elements if tag in {"img", "a"}]
    shutil.rmtree(few.dataset.source / "hat")
    html = check_page(flagged(few, Issue.BLURRY))
    assert "No issue found." not in Page(html).text
    assert pictures(html) == html.count(">no picture<") == 6, "photos that are gone meanwhile"


def test_no_data_set_makes_a_large_page(tmp_path, cache) -> None:
    for number in range(30):
        folder = tmp_path / "noise" / ("hat" if number % 2 else "dress")
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (150, 150, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{'&' * 100}{number}.png")
    checkup = check(tmp_path / "noise", cache)
    html = check_page(flagged(checkup, *checkup.photo_issues.flags))
    assert pictures(html) > 12 * 24
    assert len(html) < 3_000_000
