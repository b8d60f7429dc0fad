import json
import os
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.classifier import load
from models.commands import classify_and_show
from models.decision import ReviewReason
from models.errors import ExitCode, InputError


@pytest.fixture
def photos(tmp_path):
    Image.linear_gradient("L").save(tmp_path / "good.png")
    (tmp_path / "page.jpg").write_text("<html>")
    return tmp_path


def classify(*args):
    return CliRunner().invoke(make_app(), ["classify", *map(str, args)])


def test_classify_prints_a_json_object_a_line(bundle, photos):
    result = classify(photos / "good.png", "--model", bundle, "--json", "--top-k", 1)
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["top_k"]) == 1


def test_classify_leaves_with_1_when_a_photo_is_unreadable(bundle, photos):
    result = classify(photos / "page.jpg", photos / "good.png", "--model", bundle, "--json")
    assert result.exit_code == 1
    assert [json.loads(line)["status"] == "failed" for line in result.stdout.splitlines()] == [True, False]


def test_several_models_each_answer_under_their_names(bundle, sure_bundle, photos):
    good, bad = photos / "good.png", photos / "page.jpg"
    named = ("--model", f"category={bundle}", "--model", f"colour={sure_bundle}", "--threshold", "0.001")
    result = classify(good, bad, *named, "--json", "--top-k", 1)
    assert result.exit_code == 1
    lines = list(map(json.loads, result.stdout.splitlines()))
    for name, model in (("category", bundle), ("colour", sure_bundle)):
        alone = classify(good, bad, "--model", model, "--threshold", "0.001", "--json", "--top-k", 1)
        for line, one in zip(lines, map(json.loads, alone.stdout.splitlines()), strict=True):
            assert {f"{name}_{key}": value for key, value in one.items() if key != "image"}.items() <= line.items()
    statuses = [{line["category_status"], line["colour_status"]} for line in lines]
    worst = ["review" if "review" in found else "labeled" for found in statuses[:1]] + ["failed"]
    assert [(line["image"], line["status"]) for line in lines] == list(zip(map(str, (good, bad)), worst, strict=True))
    said = classify(good, *named).stdout.splitlines()
    assert [line.split(": ")[0] for line in said] == [f"{good}  category", f"{good}  colour"]


def test_several_models_without_names_are_refused(bundle, photos):
    refused = classify(photos / "good.png", "--model", bundle, "--model", bundle)
    assert "Expected a name of its own for each of several models" in str(refused.exception)


@pytest.mark.parametrize("args", [[], ["a.jpg"], ["a.jpg", "--model", "m", "--top-k", "0"], ["--model", "m"]])
def test_classify_used_wrongly_leaves_with_2(args):
    assert classify(*args).exit_code == 2


def test_classify_refuses_a_precision_that_is_not_in_the_table(sure_bundle, photos):
    result = classify(photos / "good.png", "--model", sure_bundle, "--precision", 0.93)
    assert isinstance(result.exception, InputError)
    assert "one of 0.90, 0.98, 0.99, got 0.93" in str(result.exception)
    assert classify(photos / "good.png", "--model", sure_bundle, "--precision", 0.98).exit_code == 0


@pytest.fixture
def good(tmp_path):
    Image.linear_gradient("L").save(tmp_path / "good.png")
    return tmp_path / "good.png"


@pytest.fixture
def page(tmp_path):
    (tmp_path / "page.jpg").write_text("<html>")
    return tmp_path / "page.jpg"


def test_each_photo_has_a_line_of_json(bundle, classifier, good, capsys):
    assert classify_and_show([good, good], {"": bundle}, None, 2, as_json=True) is ExitCode.OK
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second
    expected = classifier.classify(good, 2)
    assert first["image"] == str(good)
    assert first["status"] == ("review" if expected.review else "labeled")
    assert (first["reason"], first["label"]) == (expected.reason, expected.label)
    assert first["confidence"] == pytest.approx(expected.confidence, abs=1e-6)
    assert [best["label"] for best in first["top_k"]] == [label for label, _ in expected.top_k]


def test_an_unreadable_photo_stops_no_other(bundle, good, page, tmp_path, capsys):
    images = [good, page, tmp_path / "gone.jpg", good]
    assert classify_and_show(images, {"": bundle}, None, 3, as_json=True) is ExitCode.FAILURE
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == [str(image) for image in images]
    assert [line.get("error") for line in lines] == [None, "unreadable", "missing", None]
    assert [line["status"] == "failed" for line in lines] == [False, True, True, False]
    assert str(page) in lines[1]["error_message"]


def test_a_folder_among_the_photos_stops_no_other(bundle, good, tmp_path, capsys):
    assert classify_and_show([tmp_path, good], {"": bundle}, None, 3, as_json=True) is ExitCode.FAILURE
    folder, photo = map(json.loads, capsys.readouterr().out.splitlines())
    assert (folder["status"], folder["error"]) == ("failed", "unreadable")
    assert "label" in photo


def test_a_person_reads_label_confidence_and_reasons(bundle, classifier, good, page, capsys):
    assert classify_and_show([good, page], {"": bundle}, "float32", 1, as_json=False) is ExitCode.FAILURE
    labelled, failed = capsys.readouterr().out.splitlines()
    expected = classifier.classify(good)
    assert labelled.startswith(f"{good}  {expected.label} {expected.confidence:.1%}")
    assert labelled.endswith("(a person should look: not sure enough)") is expected.review
    assert "[" not in labelled
    assert failed.startswith(f"{page}  failed (unreadable): ")


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("name", ["bottes d'été 靴.png", os.fsdecode(b"\xe9t\xe9.png")], ids=["utf8", "latin1"])
def test_a_photo_of_any_name_is_labelled(bundle, good, tmp_path, capsys, name, as_json):
    photo = good.rename(tmp_path / name)
    assert classify_and_show([photo], {"": bundle}, None, 3, as_json=as_json) is ExitCode.OK
    (line,) = capsys.readouterr().out.splitlines()
    assert not as_json or Path(json.loads(line)["image"]) == photo


def test_a_folder_is_told_what_labels_folders(bundle, good, capsys):
    assert classify_and_show([good.parent, good], {"": bundle}, None, 3, as_json=False) is ExitCode.FAILURE
    folder, photo = capsys.readouterr().out.splitlines()
    assert folder.endswith(f"{good.parent} is a folder; hangtag label labels all photos in a folder.")
    assert "failed" not in photo


def test_nothing_is_printed_without_a_model(good, tmp_path, capsys):
    with pytest.raises(InputError):
        classify_and_show([good], {"": tmp_path / "nowhere"}, None, 3, as_json=True)
    assert capsys.readouterr().out == ""


def test_the_reason_for_a_look_is_said(sure_bundle, catalogue, capsys):
    photos = sorted([*catalogue.glob("*/*.png"), *catalogue.glob("*/*.webp")])
    reasons = [prediction.reason for prediction in load(sure_bundle, precision=0.98).classify(photos)]
    assert {None, ReviewReason.THRESHOLD, ReviewReason.UNKNOWN} == set(reasons), "one of each, to prove something"
    classify_and_show(photos, {"": sure_bundle}, None, 1, precision=0.98, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["reason"] for line in lines] == reasons
    assert [line["status"] for line in lines] == ["review" if reason else "labeled" for reason in reasons]
    classify_and_show(photos, {"": sure_bundle}, None, 1, precision=0.98, as_json=False)
    text = capsys.readouterr()
    assert ["unlike what the model knows" in line for line in text.out.splitlines()] == [
        reason is ReviewReason.UNKNOWN for reason in reasons
    ]
    assert text.err == "At least 98% of the labels that the model gives without a person should be right.\n"


def test_a_precision_that_is_promised_for_no_class_is_said_beside_the_answers(sure_bundle, good, capsys):
    classify_and_show([good], {"": sure_bundle}, None, 1, precision=0.99, as_json=True)
    said = capsys.readouterr()
    assert json.loads(said.out)["status"] == "review"
    assert said.err == (
        "Precision 0.99 can be promised for no class: every photo goes to review. This model can promise 0.90, 0.98.\n"
    )


def test_a_model_that_promises_nothing_says_so_and_a_threshold_is_said(unsure_bundle, good, capsys):
    classify_and_show([good], {"": unsure_bundle}, None, 1, as_json=True)
    said = capsys.readouterr()
    assert json.loads(said.out)["status"] == "review"
    assert said.err.startswith("This model promises no precision: every photo goes to review.")
    classify_and_show([good], {"": unsure_bundle}, None, 1, threshold=0.01, as_json=True)
    said = capsys.readouterr()
    assert json.loads(said.out)["status"] == "labeled"
    assert said.err == "Threshold 0.01, asked for by --threshold: no precision is promised.\n"
