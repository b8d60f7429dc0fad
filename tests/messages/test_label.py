"""Messages of ``hangtag label``: errors, warnings and the end."""

import re
import shutil
from pathlib import Path

import pytest

from tests.command import clean_environment, run_hangtag
from tests.messages.golden import check_messages

VARIES = {
    r"([\d.]+ images/s )?\d:\d\d:\d\d": "TIME",
    r"in [\d.]+ s(: [\d.]+ images/s)?": "in N s",
    r"cnn/\S+/float32@\w+": "MODEL",
    r"[\u2500-\u257f]+": "|",  # a table's lines vary with the class name
    r"\| (?!labeled|review|failed|missing|unread|label|likeliest)[a-z-]+ \| 1": "| CLASS | 1",
}


@pytest.fixture
def shop(tmp_path: Path, catalogue: Path) -> Path:
    """Three rows: a photo, a missing photo, and a text file."""
    shutil.copy(min(catalogue.rglob("*.png")), tmp_path / "a.png")
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "shop.csv").write_text("image,sku,label\na.png,1,x\ngone.png,1,y\ntext.jpg,2,z\n")
    return tmp_path / "shop.csv"


def test_what_is_said(tmp_path: Path, shop: Path, sure_bundle: Path) -> None:
    texts = {
        "names.csv": "sku,name\n1,shoe\n",
        "latin.csv": "image\ngrün.jpg\n",
        "pipes.csv": "Nr|Bild\n7|a.jpg\n",
        "headless.csv": "a.jpg\nb.jpg\n",
        "twice.csv": "image,sku,sku\na.jpg,1,1\n",
        "gone.txt": "a/1.jpg\na/2.jpg\n",
        "only.txt": "a.png\n",
        "ids.csv": "image\na\n",
        "windows.csv": "sku,image\n1,C:\\photos\\a.jpg\n",
        "several.csv": 'image\n"a.png, b.jpg"\n',
        "excel.csv": "sep=;\nsku; image;;\n1; a.png;;\n",
        "precious.csv": "mine",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="cp1252")
    outputs: dict[str, str] = {}

    def run(title: str, source: object, *options: object, model: object = sure_bundle, out: str = "out.csv") -> None:
        words = ("--model", model, "--out", tmp_path / out, "--workers", 1, *options)
        done = run_hangtag("label", source, *words, env=clean_environment(COLUMNS="1000"))
        text = " ".join((done.stderr + done.stdout).split())
        for pattern, name in VARIES.items():
            text = re.sub(pattern, name, text)
        outputs[title] = f"[{done.returncode}] {text}"

    only, at = tmp_path / "only.txt", tmp_path.joinpath
    run("a source that is not there", at("none.csv"))
    run("a photo", at("a.png"))
    run("a kind of file that is no catalogue", "https://shop.example/a.xlsx")
    run("a URL without a host", "http:///a.csv")
    run("no obvious column", at("names.csv"))
    run("a column that is not there", shop, "--image-column", "imag")
    run("another encoding", at("latin.csv"))
    run("no such encoding", at("latin.csv"), "--encoding", "cp1253x")
    run("cells separated by |", at("pipes.csv"))
    run("no header", at("headless.csv"), "--image-column", "a.jpg")
    run("a column twice", at("twice.csv"))
    run("a column that labelling adds", shop)
    run("a group column that is not there", only, "--group-column", "sku")
    run("an image root that is not there", only, "--image-root", at("nowhere"))
    run("an image suffix that is none", only, "--image-suffix", "jpg")
    for header in ("User-Agent", "User-Agent:", "Host: photos.internal"):
        run(f"the header {header}", only, "--header", header)
    run("a host without a port", only, "--allow-host", "photos.internal")
    run("a private address", "http://127.0.0.1:9/a.csv")
    run("a model that is not there", only, model=at("bundle"))
    run("several models without names", only, "--model", sure_bundle)
    run("a precision that no table has", only, "--precision", 0.93)
    run("no such variant", only, "--variant", "int8")
    run("an output of another kind", only, out="out.xlsx")
    run("an output in no folder", only, out="none/out.csv")
    run("a spreadsheet's option for another kind", only, "--excel-safe", out="out.parquet")
    run("an output that others made", only, out="precious.csv")
    run("the catalogue as output", at("names.csv"), "--image-column", "name", "--restart", out="names.csv")
    run("an earlier result without a job", only, "--previous", at("precious.csv"))
    run("no photo was found", at("gone.txt"), out="gone.csv")
    titles = {"ids": "ids", "windows": "a path of Windows", "several": "several photos in a cell", "excel": "of Excel"}
    for name, title in titles.items():
        run(title, at(f"{name}.csv"), "--image-column", "image", out=f"{name}.out.csv")
    labelled = ("--prefix", "ht_", "--threshold", 0.01)
    run("done, one row of three", shop, *labelled, "--group-column", "sku", out="shop.out.csv")
    run("done already", shop, *labelled, "--group-column", "sku", out="shop.out.csv")
    run("a retry in vain", shop, *labelled, "--group-column", "sku", "--retry-failed", out="shop.out.csv")
    run("another job in the same place", shop, *labelled, "--top-k", 1, out="shop.out.csv")
    run("carried over from itself", only, "--previous", at("shop.out.csv"), "--restart", out="shop.out.csv")
    run("no row carried over, all rows to review", only, "--previous", at("shop.out.csv"), "--precision", 0.99)
    check_messages("label", outputs, {sure_bundle: "BUNDLE", tmp_path: "HERE"})
