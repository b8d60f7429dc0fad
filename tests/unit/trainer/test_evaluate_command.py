import json
import shutil

import pytest

from exporter.export import export_run
from models.errors import DataError, InputError
from trainer.dataset import Split
from trainer.evaluate_command import evaluate_and_show, evaluate_model
from trainer.splits import read_splits


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The trained run as a bundle; not to be changed."""
    return export_run(trained.path, tmp_path_factory.mktemp("exported") / "small").bundle


@pytest.fixture
def some_photos(trained, tmp_path):
    """The held-out photos of two of the classes."""
    for photo in read_splits(trained.result.run.splits):
        if photo.split is not Split.TRAIN and photo.label in {"hat", "vase"}:
            (tmp_path / "some" / photo.label).mkdir(parents=True, exist_ok=True)
            shutil.copy(photo.path, tmp_path / "some" / photo.label)
    return tmp_path / "some"


def test_a_run_its_bundle_and_the_lone_onnx_file_agree(trained, exported, catalogue):
    of_run = evaluate_model(trained.path, catalogue)
    (lone,) = exported.glob("*.onnx")
    assert of_run == evaluate_model(exported, catalogue) == evaluate_model(lone, catalogue)


def test_every_photo_counts_but_the_unreadable_ones(exported, catalogue):
    figures, unread = evaluate_model(exported, catalogue)
    assert unread == 2
    assert figures.n == 245
    assert sum(row.support for row in figures.classes.values()) == 245


def test_figures_on_the_test_photos_are_those_of_the_run(trained, exported, tmp_path):
    rows = [f"{p.path},{p.label},{p.split}" for p in read_splits(trained.result.run.splits)]
    table = tmp_path / "products.csv"
    table.write_text("\n".join(["image,label,split", *rows]))
    assert evaluate_model(exported, table) == (trained.result.test, 0)


def test_some_of_the_classes_are_enough(exported, some_photos):
    figures, _ = evaluate_model(exported, some_photos)
    assert {name for name, row in figures.classes.items() if row.support} == {"hat", "vase"}
    assert figures.recall == pytest.approx((figures.classes["hat"].recall + figures.classes["vase"].recall) / 2)


def test_a_class_that_the_model_does_not_know_is_refused_naming_those_it_knows(exported, some_photos):
    (some_photos / "vase").rename(some_photos / "vases")
    with pytest.raises(DataError, match="does not know vases; it knows clock, cushion, dress, hat, lamp"):
        evaluate_model(exported, some_photos)


def test_photos_that_are_all_unreadable_are_refused(exported, some_photos):
    for path in some_photos.rglob("*.*"):
        path.write_text("<html>")
    with pytest.raises(DataError, match=r"Expected readable photos in .*, found none"):
        evaluate_model(exported, some_photos)


def test_a_run_without_a_whole_epoch_is_refused_with_what_to_do(trained, some_photos, tmp_path):
    run = tmp_path / "young"
    run.mkdir()
    shutil.copyfile(trained.path / "args.json", run / "args.json")
    with pytest.raises(InputError, match=f"no whole epoch yet; go on with it: hangtag train --resume {run}"):
        evaluate_model(run, some_photos)


def test_json_on_stdout_is_the_figures_and_nothing_else(exported, some_photos, capsys):
    evaluate_and_show(exported, some_photos, as_json=True)
    figures, _ = evaluate_model(exported, some_photos)
    assert json.loads(capsys.readouterr().out) == figures.model_dump()


def test_the_table_says_how_many_photos_do_not_count(exported, catalogue, capsys):
    evaluate_and_show(exported, catalogue, as_json=False)
    shown = capsys.readouterr().out
    assert "2 photos could not be read and do not count" in shown
    for name in ("clock", "t-shirt", "mean", "accuracy"):
        assert name in shown
