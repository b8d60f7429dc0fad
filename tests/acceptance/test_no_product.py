"""Photos that show no product, from ``_none`` among the labelled photos to a row in review."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.photo import NONE
from tests.charts import draw_charts
from tests.command import clean_environment, one_line, run_hangtag

LEARNED, HELD = 30, 20
QUICKLY = ("--arch", "cnn", "--image-size", 32, "--epochs", 10, "--batch-size", 16, "--folds", 0, "--seed", 1)


@pytest.fixture(scope="module")
def shop(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("no-product")
    shutil.copytree(drawn, folder / "photos")
    draw_charts(folder / "photos" / NONE, LEARNED, seed=5)
    draw_charts(folder / "catalogue" / "chart", HELD, seed=6)
    for hat in sorted((drawn / "hat").glob("*.jpg"))[:10]:
        (folder / "catalogue" / "hat").mkdir(exist_ok=True)
        shutil.copy(hat, folder / "catalogue" / "hat")
    return folder


def test_what_shows_no_product_is_learned_of_measured_and_sent_to_a_person(shop: Path) -> None:
    environment = clean_environment(XDG_CACHE_HOME=str(shop / "cache"), COLUMNS="200")

    def hangtag(*words: object) -> str:
        done = run_hangtag(*words, env=environment)
        assert done.returncode == 0, done.stderr
        return one_line(done.stdout)

    assert f", {LEARNED} without a product (_none);" in hangtag("check", shop / "photos", "--out", shop / "check")
    run, bundle = shop / "runs" / "shop", shop / "bundle"
    said = hangtag("train", shop / "photos", "--out", run.parent, "--name", run.name, *QUICKLY)
    assert f"{LEARNED} photos show no product (_none): 24 to fit the out-of-distribution score, 6 to measure it" in said
    args, evaluation = (json.loads((run / name).read_text()) for name in ("args.json", "evaluation.json"))
    assert NONE not in {*args["classes"], *evaluation["test"]["classes"], *evaluation["val"]["classes"]}
    assert evaluation["unknown"]["outliers"]["n"] == 6
    assert evaluation["unknown"]["outliers"]["caught"] == 1.0
    assert "6 photos without a product (_none): 100% are detected as unknown" in said
    assert "3 photos without a product (_none): 100% are detected as unknown" in hangtag(
        "evaluate", run, shop / "photos"
    )
    hangtag("train", "--resume", run)
    assert json.loads((run / "evaluation.json").read_text())["unknown"] == evaluation["unknown"]
    hangtag("export", run, "--out", bundle, "--no-int8")
    assert NONE not in (bundle / "labels.txt").read_text()
    output = shop / "labels.parquet"
    hangtag("label", shop / "catalogue", "--model", bundle, "--out", output, "--threshold", 0.01, "--workers", 1)
    statuses = Counter((Path(row["image"]).parent.name, row["status"]) for row in pq.read_table(output).to_pylist())
    assert statuses["chart", "review"] >= 0.9 * HELD
    assert statuses["hat", "labeled"] >= 8
