import json
import shutil

import pytest

from models.errors import DataError
from models.photo import NONE
from tests.charts import draw_charts
from trainer.console import measure_and_show
from trainer.data.dataset import Split
from trainer.judging.measure import measure
from trainer.request import TableOptions
from trainer.splits.assigned import read_splits


@pytest.fixture(scope="module")
def exported(sure_export):
    """The trained network as a bundle, with the temperature of ``sure_run``; read-only."""
    return sure_export


@pytest.fixture
def some_photos(trained, tmp_path):
    for photo in read_splits(trained.run.splits):
        if photo.split is Split.TEST and photo.label in {"hat", "vase"}:
            (tmp_path / "some" / photo.label).mkdir(parents=True, exist_ok=True)
            shutil.copy(photo.path, tmp_path / "some" / photo.label)
    return tmp_path / "some"


@pytest.fixture
def measured(session_cache):
    return lambda model, data: measure(model, data, session_cache)


def agree(some, others):
    """Whether figures are equal; calibration error and loss depend on the last digits of probabilities."""
    plain = [found.model_copy(update={"ece": 0.0, "loss": 0.0}) for found in (some, others)]
    return plain[0] == plain[1] and (some.ece, some.loss) == pytest.approx((others.ece, others.loss), abs=1e-4)


def test_a_run_its_bundle_and_the_lone_onnx_file_agree(sure_run, exported, some_photos, measured):
    (lone,) = exported.glob("*.onnx")
    figures = [measured(model, some_photos).figures for model in (sure_run, exported, lone)]
    assert agree(figures[0], figures[1])
    assert agree(figures[1], figures[2])


def test_a_run_is_measured_on_photos_that_it_has_not_learned_from(trained, catalogue, measured):
    splits = [photo.split for photo in read_splits(trained.run.splits)]
    found = measured(trained.path, catalogue)
    assert agree(found.figures, trained.evaluation.test)
    assert found.learned_from == len(splits) - splits.count(Split.TEST)


def test_a_bundle_is_measured_on_every_photo_but_the_unreadable_ones(exported, catalogue, measured):
    found = measured(exported, catalogue)
    assert (len(found.left_out), found.learned_from, found.whole) == (2, None, True)
    assert found.figures.n == sum(row.support for row in found.figures.classes.values()) == 245


def test_the_test_split_is_what_counts_where_there_is_one(trained, sure_run, exported, catalogue, tmp_path, measured):
    rows = [f"{p.path},{p.label},{p.split}" for p in read_splits(trained.run.splits)]
    table = tmp_path / "products.csv"
    table.write_text("\n".join(["image,label,split", *rows]))
    found = measured(exported, table)
    assert agree(found.figures, measured(sure_run, catalogue).figures)
    assert (len(found.left_out), found.whole) == (0, False)


def test_a_class_that_the_model_does_not_know_is_refused_naming_those_it_knows(exported, some_photos, measured):
    (some_photos / "vase").rename(some_photos / "vases")
    with pytest.raises(DataError, match="vases"):
        measured(exported, some_photos)


@pytest.mark.usefixtures("misbehaving_plugin")
def test_a_photo_that_kills_its_decoder_is_one_that_could_not_be_read(exported, some_photos, measured):
    before = measured(exported, some_photos)
    (some_photos / "hat" / "bad.jpg").write_bytes(b"BOOM")
    after = measured(exported, some_photos)
    assert (len(before.left_out), len(after.left_out)) == (0, 1)
    assert before.figures == after.figures


def test_photos_without_a_product_are_in_no_figure_but_their_own(sure_run, exported, some_photos, measured, capsys):
    plain = measured(exported, some_photos)
    draw_charts(some_photos / NONE, 12, seed=4)
    found, of_run = measured(exported, some_photos), measured(sure_run, some_photos)
    assert (found.figures, len(found.left_out), plain.outliers) == (plain.figures, 0, None)
    assert found.outliers.caught == of_run.outliers.caught
    assert found.outliers.n == of_run.outliers.n == 12
    assert found.outliers.auroc == pytest.approx(of_run.outliers.auroc, abs=0.05)
    measure_and_show(exported, some_photos, as_json=True)
    assert json.loads(capsys.readouterr().out)["outliers"] == found.outliers.model_dump(mode="json")
    measure_and_show(exported, some_photos, as_json=False)
    assert f"12 photos of no product (_none): {found.outliers.caught:.0%}" in capsys.readouterr().out


def test_a_table_is_measured_and_left_out_rows_are_reported(exported, some_photos, measured, tmp_path, capsys):
    """``--json`` prints the figures, the achieved precision, how the table was read, and left-out rows."""
    files = sorted(some_photos.rglob("*.*"))
    cells = [(str(file), file.parent.name) for file in files] + [("", "hat"), ("gone.jpg", "vase"), ("b.jpg", "")]
    table = tmp_path / "products.tsv"
    table.write_text("shot\tkind\n" + "".join(f"{image}\t{kind}\n" for image, kind in cells))
    columns = TableOptions(image_column="shot", label_column="kind")
    measure_and_show(exported, table, columns, as_json=True)
    printed, expected = json.loads(capsys.readouterr().out), measured(exported, some_photos)
    figures = expected.figures.model_dump(mode="json")
    assert {key: printed[key] for key in figures} == figures
    assert printed["achieved"] == {"asked": expected.precision, **expected.achieved.model_dump(mode="json")}
    assert [one["reason"] for one in printed["excluded"]] == ["missing", "missing"]
    images = [one["image"] for one in printed["excluded"]]
    assert images == [f"{table}, row {len(files) + 1}", str(tmp_path / "gone.jpg")]
    assert (printed["table"]["label_column"], printed["table"]["rows_without_label"]) == ("kind", 1)
    assert set(printed) == {*figures, "achieved", "excluded", "table"}
    measure_and_show(exported, table, columns, as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    for part in ("1 row has no label", "Not counted: 2 photos", f"At {expected.precision:.2f}: ", "flatter"):
        assert shown.count(part) == 1
