"""Drift: photos that differ from the photos of the model's proof, and photos that do not."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from models.bundle import open_bundle
from models.drift import REFERENCE_FILE
from tests.command import run_hangtag
from tests.conftest import train_small
from worker.results.drift import drifted_jobs

pytestmark = pytest.mark.proof

LEARNED = 900
"""So that there are enough validation photos to compare with: a tenth."""
ROWS = 600


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Path:
    from trainer.sample.catalogue import draw_catalogue

    folder = tmp_path_factory.mktemp("proved")
    draw_catalogue(folder / "photos", LEARNED, seed=3)
    train_small(folder / "cnn", folder / "photos", session_cache)
    from exporter.export import export_run

    return export_run(folder / "cnn", folder / "shop").bundle


@pytest.fixture(scope="module")
def new_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from trainer.sample.catalogue import draw_catalogue

    folder = tmp_path_factory.mktemp("new") / "photos"
    draw_catalogue(folder, ROWS, seed=4)
    return folder


def receipt_of(photos: Path, bundle: Path, output: Path) -> tuple[dict, str]:
    words = ("label", str(photos), "--model", str(bundle), "--out", str(output), "--workers", "1")
    done = run_hangtag(*words)
    assert done.returncode == 0, done.stderr
    return json.loads(Path(f"{output}.job/receipt.json").read_text()), done.stdout


def page_of(output: Path) -> str:
    return Path(f"{output}.job/receipt.html").read_text()


def test_ordinary_photos_are_no_drift(new_photos: Path, proved: Path, tmp_path: Path) -> None:
    receipt, said = receipt_of(new_photos, proved, tmp_path / "labels.parquet")
    drift = receipt["drift"]
    assert drift["warning"] is None, drift
    assert "Drift" not in said
    assert 30 < drift["rows"] <= sum(receipt["by_label"].values())
    reference = json.loads((proved / REFERENCE_FILE).read_text())["variants"]["float32"]
    assert drift["reference"] == reference
    assert sum(reference["by_label"].values()) >= 60
    assert drift["finding"] in page_of(tmp_path / "labels.parquet")
    assert "Drift" not in drift["finding"]


def test_photos_of_one_class_are_drift(new_photos: Path, proved: Path, tmp_path: Path) -> None:
    one = max((folder for folder in new_photos.iterdir() if folder.is_dir()), key=lambda f: len(list(f.iterdir())))
    output = tmp_path / "labels.parquet"
    receipt, said = receipt_of(one, proved, output)
    warning = receipt["drift"]["warning"]
    assert receipt["drift"]["label_psi"] > 0.2
    assert warning in said.replace("\n", " ")
    assert 'class="usual"' in page_of(output)
    assert 'href="#drift"' in page_of(output)
    assert drifted_jobs([str(tmp_path)], open_bundle(proved).digest) == [f"{output}.job"]


def test_photos_in_the_dark_are_drift(new_photos: Path, proved: Path, tmp_path: Path) -> None:
    for photo in sorted(new_photos.rglob("*.jpg")):
        dark = tmp_path / "dark" / photo.relative_to(new_photos)
        dark.parent.mkdir(parents=True, exist_ok=True)
        try:
            with Image.open(photo) as image:
                ImageEnhance.Brightness(image.convert("RGB")).enhance(0.15).save(dark)
        except OSError:
            shutil.copy(photo, dark)  # a broken photo; its row fails and does not count
    receipt, _ = receipt_of(tmp_path / "dark", proved, tmp_path / "labels.parquet")
    assert receipt["drift"]["warning"]
