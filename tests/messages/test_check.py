"""Messages of ``hangtag check``: refused data, faults, and quarantines."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command import clean_environment, run_hangtag
from tests.messages.golden import check_messages

TABLE = """sku,photo,kind,tags
A,hat/0.png,hat,red
A,hat/1.png,hat,red
B,vase/0.png,vase,red
C,vase/gone.png,vase,blue
D,hat/0.png,,blue
E,hat/2.png,hat,
"""


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tiles = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    Image.fromarray(tiles).resize((120, 90), Image.Resampling.NEAREST).save(path)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: photos with every kind of fault, and data that cannot be checked."""
    for number in range(4):
        for kind in ("hat", "vase"):
            draw(tmp_path / "sound" / kind / f"{number}.png", number + 10 * (kind == "vase"))
            draw(
                tmp_path / "photos" / ("test" if number == 3 else "train") / kind / f"{number}.png",
                ord(kind[0]) + number,
            )
    train, test = tmp_path / "photos" / "train", tmp_path / "photos" / "test"
    shutil.copy(train / "hat" / "0.png", test / "hat" / "seen.png")
    shutil.copy(train / "hat" / "1.png", train / "vase" / "also.png")
    shutil.copy(train / "hat" / "2.png", train / "hat" / "named.jpg")
    (train / "hat" / "cut.png").write_bytes((train / "hat" / "0.png").read_bytes()[:600])
    (train / "hat" / "page.jpg").write_text("<html>")
    (train / "vase" / "sketch.psd").write_bytes(b"8BPS")
    (train / "vase" / "notes.txt").write_text("measure them")
    for place, text in (("one/hat/0.png", "no photo"), ("pages/hat/0.jpg", "<html>"), ("pages/vase/0.jpg", "<html>")):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(text)
    (tmp_path / "loose").mkdir()
    draw(tmp_path / "loose" / "0.png", 1)
    (tmp_path / "photos.zip").touch()
    (tmp_path / "sound" / "shop.csv").write_text(TABLE)
    (tmp_path / "sound" / "bad.csv").write_text("image,label,split\nhat/0.png,hat,north\nvase/0.png,vase,\n")
    (tmp_path / "sound" / "path.csv").write_text("image,label\nhat/0.png,shoes >  > hat\nvase/0.png,vase\n")
    (tmp_path / "sound" / "loose.csv").write_text("image,label\nhat/0.png,men > hat\nvase/0.png,women > hat\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


WRONG = {
    "nothing is there": "none",
    "no folder, no table": "photos.zip",
    "photos in no class folder": "loose",
    "one class": "one",
    "no photo that can be used": "pages",
    "a folder with a table's options": "sound --label-column kind",
    "a report within the data": "sound --out sound/check",
    "a report where a file is": "sound --out photos.zip",
    "no data": "",
    "data and --undo": "sound --undo aside",
    "no label column": "sound/shop.csv",
    "no such column": "sound/shop.csv --label-column kinds",
    "one column for label and photo": "sound/shop.csv --image-column photo --label-column photo",
    "one column for label and product": "sound/shop.csv --image-column photo --label-column kind --group-column kind",
    "no such rows": "sound/shop.csv --image-column photo --label-column kind --where tags=green",
    "no condition": "sound/shop.csv --image-column photo --label-column kind --where tags",
    "rows without a label": "sound/shop.csv --image-column photo --label-column tags --where sku=E",
    "no such split": "sound/bad.csv",
    "an empty name in a label": "sound/path.csv",
    "a quarantine within the data": "sound --quarantine sound/aside",
    "a quarantine where a file is": "sound --quarantine photos.zip",
    "undo without moved files": "--undo sound",
}
RIGHT = {
    "sound photos": "sound --out out --strict",
    "faults": "photos --out out --strict",
    "a table": "sound/shop.csv --image-column photo --label-column kind --group-column sku --where tags=red --out out",
    "a table without a photo and a label": "sound/shop.csv --image-column photo --label-column kind --out out",
    "labels that are no tree": "sound/loose.csv --out out",
    "a quarantine": "photos --out out --quarantine aside",
    "undo": "--undo aside",
}


def test_messages(shop: Path) -> None:
    outputs = {}
    for title, words in (WRONG | RIGHT).items():
        done = run_hangtag("check", *words.split(), env=clean_environment(COLUMNS="400"))
        assert bool(done.returncode) == (title in WRONG or title == "faults"), (title, done.stderr)
        text = re.sub(r"[─-╿]|Usage: .*|Try '.*", "", done.stdout + done.stderr)
        outputs[f"{title}: hangtag check {words}".rstrip()] = re.sub(r"; \d+ s\b", "; N s", text)
    check_messages("check", outputs, {shop: "HERE"})
