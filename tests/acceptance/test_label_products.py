"""``hangtag label`` on a catalogue with several photos of a product, as a person runs it."""

import csv
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest


def run(source: Path, bundle: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "hangtag", "label", source, "--model", bundle, "--output", output, *options)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def shop(tmp_path: Path, catalogue: Path) -> Path:
    """Thirty-two photos of eight products."""
    photos = sorted(catalogue.rglob("*.png"))[:32]
    source = tmp_path / "shop.csv"
    with source.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "sku", "=note"])
        rows.writerows((photo, f"SKU-{number % 8}", "@home") for number, photo in enumerate(photos))
    return source


def test_products_get_a_vote_and_doubtful_rows_a_list(tmp_path: Path, shop: Path, sure_bundle: Path) -> None:
    output = tmp_path / "labels.csv"
    done = run(shop, sure_bundle, output, "--group-column", "sku", "--precision", "0.9", "--excel-safe")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "labels.csv.job"
    votes = pq.read_table(folder / "by_group.parquet")
    assert votes.column("sku").to_pylist() == [f"SKU-{number}" for number in range(8)]
    assert votes.column("photos").to_pylist() == [4] * 8
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["'=note"], row["sku"][:4]) for row in rows} == {("'@home", "SKU-")}
    with (folder / "review.csv").open(newline="") as file:
        doubtful = list(csv.DictReader(file))
    assert {int(row["row"]) for row in doubtful} == {n for n, row in enumerate(rows, 1) if row["status"] == "review"}
    confidences = [float(row["confidence"]) for row in doubtful]
    assert confidences == sorted(confidences)
    assert f"{len(doubtful)} rows, least sure first" in done.stdout
    assert "Products: 8, " in done.stdout


def test_what_cannot_be_done_is_refused_before_anything_is_written(tmp_path: Path, shop: Path, bundle: Path) -> None:
    before = set(tmp_path.iterdir())
    done = run(shop, bundle, tmp_path / "labels.parquet", "--excel-safe")
    assert done.returncode == 2
    assert ".csv with --excel-safe" in done.stderr
    shop.write_text(shop.read_text().replace("sku", "photos", 1))
    done = run(shop, bundle, tmp_path / "labels.parquet", "--group-column", "photos")
    assert done.returncode == 2
    assert "another --prefix" in done.stderr
    assert set(tmp_path.iterdir()) == before
