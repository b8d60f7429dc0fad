"""The snippets of README, tutorials, how-tos and the Python reference, run in the order of their page.

They run in a folder with the files that they name. Other tests cover the training, the export and the demo; here a run
and a bundle are ready.
"""

import csv
import os
import shutil
from pathlib import Path

import pytest

from tests.command import run_hangtag
from tests.manual import README, ROOT, Snippet, commands, snippets

DOCS = ROOT / "docs"
PAGES = (README, *sorted([*DOCS.glob("tutorials/*.md"), *DOCS.glob("how-to/*.md")]), DOCS / "reference/python.md")
NOT_RUN, ANSWERED, PARSED = "not run: ", "answered", "parsed: "
DONE_BEFORE = {"train", "export", "demo"}
OTHER_PROGRAMS = ("make ", "pip install ", "source ")
NEW_PHOTOS = 12


@pytest.fixture
def shop(tmp_path: Path, drawn: Path, small_run: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(drawn, tmp_path / "photos", copy_function=os.link)
    shutil.copytree(small_run, tmp_path / "runs/train/photos")
    for place in ("bundles/photos", "bundles/category", "bundles/colours", "demo/bundles/category"):
        shutil.copytree(bundle, tmp_path / place)
    photos = sorted(drawn.rglob("*.jpg"))[:: max(1, len(list(drawn.rglob("*.jpg"))) // NEW_PHOTOS)][:NEW_PHOTOS]
    (tmp_path / "catalogue").mkdir()
    rows = [(f"A-{at // 2}", f"catalogue/{at:04}.jpg") for at in range(NEW_PHOTOS)]
    for photo, (_, name) in zip(photos, rows, strict=True):
        shutil.copy(photo, tmp_path / name)
    for name in ("products.csv", "monday.csv", "tuesday.csv"):
        text = "".join(f"{sku},{photo},{photo}\n" for sku, photo in rows)
        (tmp_path / name).write_text(f"sku,image,main_photo\n{text}")
    export = "".join(f"{sku},{'' if at % 2 else sku},,{photo}\n" for at, (sku, photo) in enumerate(rows))
    (tmp_path / "products_export.csv").write_text(f"Handle,Title,Type,Image Src\n{export}")
    for name in ("shoe.jpg", "hat.png"):
        shutil.copy(photos[0], tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(snippet: Snippet) -> None:
    others = [line for line in snippet.text.splitlines() if line.strip() and not line.startswith(("hangtag ", "#"))]
    assert [line for line in others if not line.startswith(OTHER_PROGRAMS)] == []
    for words in commands(snippet.text):
        if snippet.note == ANSWERED:
            _answer(words)
        if words[0] not in DONE_BEFORE:
            done = run_hangtag(*words)
            assert done.returncode == 0, (words, done.stderr)


def _answer(words: list[str]) -> None:
    listed = Path("labels.parquet.job/review.csv")
    with listed.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    with listed.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "correct_label": row["label"]} for row in rows)
    if "import" not in words:
        assert run_hangtag("corrections", "import", listed, "--reviewer", "anna").returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.usefixtures("shop")
def test_what_a_page_tells_to_type_works(page: Path) -> None:
    for snippet in snippets(page):
        if snippet.language == "bash" and not snippet.note.startswith(NOT_RUN):
            _run(snippet)
        if snippet.language == "python" and not snippet.note.startswith(PARSED):
            exec(compile(snippet.text, page.name, "exec"), {})  # noqa: S102 - a snippet of our own page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_not_run_has_a_test_of_its_own_or_a_reason(page: Path) -> None:
    for snippet in snippets(page):
        if snippet.language not in {"bash", "python"} or not snippet.note.startswith((NOT_RUN, PARSED)):
            continue
        named = [word for word in snippet.note.split() if word.startswith("tests/")]
        assert all((ROOT / name).is_file() for name in named)
