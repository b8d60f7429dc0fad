import json
import shutil

import pytest

from models.errors import DataError, InputError
from models.photo import NONE
from tests.charts import draw_charts
from trainer.console import measure_and_show
from trainer.data.dataset import Split
from trainer.judging.measure import measure
from trainer.request import TableOptions
from trainer.splits.assigned import read_splits


@pytest.fixture(scope="module")
def exported(sure_export):
    """The trained network as a bundle, with the temperature of ``sure_run``; not to be changed."""
    return sure_export


@pytest.fixture
def some_photos(trained, tmp_path):
    """The test photos of two of the classes."""
    for photo in read_splits(trained.run.splits):
        if photo.split is Split.TEST and photo.label in {"hat", "vase"}:
            (tmp_path / "some" / photo.label).mkdir(parents=True, exist_ok=True)
            shutil.copy(photo.path, tmp_path / "some" / photo.label)
    return tmp_path / "some"


@pytest.fixture
def measured(session_cache):
    return lambda model, data: measure(model, data, session_cache)


def agree(some, others):
    """Whether figures are the same; the calibration error sees the last digits of probabilities."""
    plain = [found.model_copy(update={"ece": 0.0, "ece_95": (0.0, 0.0)}) for found in (some, others)]
    errors = [(found.ece, *found.ece_95) for found in (some, others)]
    return plain[0] == plain[1] and errors[0] == pytest.approx(errors[1], abs=1e-4)


def test_a_run_its_bundle_and_the_lone_onnx_file_agree(sure_run, exported, some_photos, measured):
    (lone,) = exported.glob("*.onnx")
    figures = [measured(model, some_photos).figures for model in (sure_run, exported, lone)]
    assert agree(figures[0], figures[1])
    assert agree(figures[1], figures[2])


def test_the_same_photo_twice_narrows_no_interval(exported, some_photos, measured, tmp_path):
    twice = shutil.copytree(some_photos, tmp_path / "twice")
    for photo in sorted(twice.rglob("*.*")):
        shutil.copy(photo, photo.with_stem(f"{photo.stem}-again"))
    once, again = (measured(exported, photos).figures for photos in (some_photos, twice))
    assert again.n == 2 * once.n
    assert again.accuracy_95 == pytest.approx(once.accuracy_95)


def test_a_run_is_measured_on_photos_that_it_has_not_learned_from(trained, catalogue, measured):
    splits = [photo.split for photo in read_splits(trained.run.splits)]
    found = measured(trained.path, catalogue)
    assert agree(found.figures, trained.evaluation.test)
    assert found.learned_from == len(splits) - splits.count(Split.TEST)


def test_a_run_has_nothing_to_say_of_photos_that_it_has_all_learned_from(trained, tmp_path, measured):
    for photo in read_splits(trained.run.splits):
        if photo.split is Split.TRAIN:
            (tmp_path / photo.label).mkdir(exist_ok=True)
            shutil.copy(photo.path, tmp_path / photo.label)
    with pytest.raises(DataError, match="has not learned from, found none; bring others"):
        measured(trained.path, tmp_path)


def test_a_bundle_is_measured_on_every_photo_but_the_unreadable_ones(exported, catalogue, measured):
    found = measured(exported, catalogue)
    assert (found.unread, found.learned_from, found.whole) == (2, None, True)
    assert found.figures.n == sum(row.support for row in found.figures.classes.values()) == 245


def test_the_test_split_is_what_counts_where_there_is_one(trained, sure_run, exported, catalogue, tmp_path, measured):
    rows = [f"{p.path},{p.label},{p.split}" for p in read_splits(trained.run.splits)]
    table = tmp_path / "products.csv"
    table.write_text("\n".join(["image,label,split", *rows]))
    found = measured(exported, table)
    assert agree(found.figures, measured(sure_run, catalogue).figures)
    assert (found.unread, found.whole) == (0, False)


def test_some_of_the_classes_are_enough(exported, some_photos, measured):
    figures = measured(exported, some_photos).figures
    assert {name for name, row in figures.classes.items() if row.support} == {"hat", "vase"}
    assert figures.recall == pytest.approx((figures.classes["hat"].recall + figures.classes["vase"].recall) / 2)


def test_a_class_that_the_model_does_not_know_is_refused_naming_those_it_knows(exported, some_photos, measured):
    (some_photos / "vase").rename(some_photos / "vases")
    with pytest.raises(DataError, match="does not know vases; it knows clock, cushion, dress, hat, lamp"):
        measured(exported, some_photos)


def test_photos_that_are_all_unreadable_are_refused(exported, some_photos, measured):
    for path in some_photos.rglob("*.*"):
        path.write_text("<html>")
    with pytest.raises(DataError, match="found none"):
        measured(exported, some_photos)


@pytest.mark.usefixtures("misbehaving_plugin")
def test_a_photo_that_kills_its_decoder_is_one_that_could_not_be_read(exported, some_photos, measured):
    before = measured(exported, some_photos)
    (some_photos / "hat" / "bad.jpg").write_bytes(b"BOOM")
    after = measured(exported, some_photos)
    assert (before.unread, after.unread) == (0, 1)
    assert before.figures == after.figures


def test_a_path_of_no_model_is_refused_naming_what_a_model_is(some_photos, tmp_path, measured):
    with pytest.raises(InputError, match=r"Expected a run \(.*, a bundle \(.* or an \.onnx file at .*nope, found none"):
        measured(tmp_path / "nope", some_photos)


def test_a_run_without_a_whole_epoch_is_refused_with_what_to_do(trained, some_photos, tmp_path, measured):
    run = tmp_path / "young"
    run.mkdir()
    shutil.copyfile(trained.path / "args.json", run / "args.json")
    with pytest.raises(InputError, match=f"has not been judged yet; go on with it: hangtag train --resume {run}"):
        measured(run, some_photos)


def test_json_on_stdout_is_the_figures_and_nothing_else(exported, some_photos, measured, capsys):
    measure_and_show(exported, some_photos, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("achieved")["asked"] == measured(exported, some_photos).precision
    assert printed == measured(exported, some_photos).figures.model_dump(mode="json")


def test_a_table_is_measured_and_what_was_left_out_is_said(exported, some_photos, measured, tmp_path, capsys):
    files = sorted(some_photos.rglob("*.*"))
    cells = [(str(file), file.parent.name) for file in files] + [("", "hat"), ("gone.jpg", "vase"), ("b.jpg", "")]
    table = tmp_path / "products.tsv"
    table.write_text("shot\tkind\n" + "".join(f"{image}\t{kind}\n" for image, kind in cells))
    asked = TableOptions(image_column="shot", label_column="kind")
    measure_and_show(exported, table, asked, as_json=True)
    found = json.loads(capsys.readouterr().out)
    figures = measured(exported, some_photos).figures.model_dump(mode="json")
    assert {key: found[key] for key in figures} == figures
    assert [one["reason"] for one in found["excluded"]] == ["missing", "missing"]
    assert [one["image"] for one in found["excluded"]] == [f"{table}, row {len(files) + 1}", str(tmp_path / "gone.jpg")]
    assert (found["table"]["label_column"], found["table"]["rows_without_label"]) == ("kind", 1)
    measure_and_show(exported, table, asked, as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "Not counted: 2 photos that could not be read Expected the path or the URL of a photo in row" in shown
    notes = "labels are under 'kind', photos under 'shot' 1 row has no label and is left out "
    assert shown.startswith(notes)
    assert shown.count(notes) == 1


def test_each_step_of_a_measurement_is_told(exported, some_photos, tmp_path):
    told = []
    measure(exported, some_photos, tmp_path / "cache", advance=lambda *step: told.append(step))
    photos = len(list(some_photos.rglob("*.*")))
    assert list(dict.fromkeys(step for step, _, _ in told)) == ["Loading", "Reading", "Decoding", "Measuring"]
    assert {total for step, _, total in told if step in {"Reading", "Measuring"}} == {photos}


def test_the_table_says_what_does_not_count_and_what_may_flatter(trained, exported, catalogue, measured, capsys):
    measure_and_show(exported, catalogue, as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "Not counted: 2 photos that could not be read",
        "the figures flatter it",
        "t-shirt",
        "mean",
        "accuracy",
    ):
        assert part in shown
    measure_and_show(trained.path, catalogue, as_json=False)
    shown = capsys.readouterr().out
    assert f"{measured(trained.path, catalogue).learned_from} photos that the run has learned from" in shown
    assert "flatter" not in shown


def test_what_the_promised_precision_came_to_is_said_with_intervals(sure_run, exported, some_photos, measured, capsys):
    for model in (sure_run, exported):
        found = measured(model, some_photos)
        assert found.precision is not None
        assert 0 <= found.achieved.wrong <= found.achieved.automatic <= found.figures.n
    measure_and_show(exported, some_photos, as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    low, high = found.figures.accuracy_95
    assert f"accuracy {found.figures.accuracy:.4f} (95%: {low:.3f}–{high:.3f})" in shown
    assert f"At {found.precision:.2f}: " in shown
    measure_and_show(exported, some_photos, as_json=True)
    assert json.loads(capsys.readouterr().out)["achieved"]["asked"] == found.precision


def test_photos_without_a_product_are_in_no_figure_but_their_own(sure_run, exported, some_photos, measured, capsys):
    plain = measured(exported, some_photos)
    draw_charts(some_photos / NONE, 12, seed=4)
    found, of_run = measured(exported, some_photos), measured(sure_run, some_photos)
    assert (found.figures, found.unread, plain.outliers) == (plain.figures, 0, None)
    assert found.outliers.caught == of_run.outliers.caught
    assert found.outliers.n == of_run.outliers.n == 12
    assert found.outliers.auroc == pytest.approx(of_run.outliers.auroc, abs=0.05)
    measure_and_show(exported, some_photos, as_json=True)
    assert json.loads(capsys.readouterr().out)["outliers"] == found.outliers.model_dump(mode="json")
    measure_and_show(exported, some_photos, as_json=False)
    said = f"12 photos of no product (_none): {found.outliers.caught:.0%} are unknown (95%: "
    assert said in capsys.readouterr().out


def test_photos_without_a_product_alone_measure_no_model(exported, some_photos, measured):
    draw_charts(some_photos / NONE, 2, seed=4)
    for folder in ("hat", "vase"):
        for path in (some_photos / folder).iterdir():
            path.write_text("<html>")
    with pytest.raises(DataError, match="found none; bring others"):
        measured(exported, some_photos)
