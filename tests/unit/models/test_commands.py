import json
import os
from pathlib import Path

import pytest
from PIL import Image

from models.classifier import load
from models.decision import ReviewReason
from tests.command import run_hangtag


@pytest.fixture
def good(tmp_path):
    Image.linear_gradient("L").save(tmp_path / "good.png")
    return tmp_path / "good.png"


@pytest.fixture
def page(tmp_path):
    (tmp_path / "page.jpg").write_text("<html>")
    return tmp_path / "page.jpg"


def classify(*words):
    return run_hangtag("classify", *words)


def lines_of(*words):
    return [json.loads(line) for line in classify(*words, "--json").stdout.splitlines()]


def test_each_photo_has_a_line_of_json(bundle, classifier, good):
    first, second = lines_of(good, good, "--model", bundle, "--top-k", 2)
    assert first == second
    expected = classifier.classify(good, 2)
    assert first["image"] == str(good)
    assert first["status"] == ("review" if expected.review else "labeled")
    assert (first["reason"], first["label"]) == (expected.reason, expected.label)
    assert first["confidence"] == pytest.approx(expected.confidence, abs=1e-6)
    assert [best["label"] for best in first["top_k"]] == [label for label, _ in expected.top_k]


def test_several_models_each_answer_under_their_names(bundle, sure_bundle, good, page):
    named = ("--model", f"category={bundle}", "--model", f"colour={sure_bundle}", "--threshold", "0.001")
    lines = lines_of(good, page, *named, "--top-k", 1)
    for name, model in (("category", bundle), ("colour", sure_bundle)):
        alone = lines_of(good, page, "--model", model, "--threshold", "0.001", "--top-k", 1)
        for line, one in zip(lines, alone, strict=True):
            assert {f"{name}_{key}": value for key, value in one.items() if key != "image"}.items() <= line.items()
    statuses = {lines[0]["category_status"], lines[0]["colour_status"]}
    assert [line["status"] for line in lines] == ["review" if "review" in statuses else "labeled", "failed"]
    text = classify(good, *named).stdout.splitlines()
    assert [line.split(": ")[0] for line in text] == [f"{good}  category", f"{good}  colour"]


@pytest.mark.parametrize("name", ["bottes d'été 靴.png", os.fsdecode(b"\xe9t\xe9.png")], ids=["utf8", "latin1"])
def test_a_photo_of_any_name_is_labelled(bundle, good, tmp_path, name):
    photo = good.rename(tmp_path / name)
    assert classify(photo, "--model", bundle).returncode == 0
    (line,) = lines_of(photo, "--model", bundle)
    assert Path(line["image"]) == photo


def test_the_reason_for_a_look_is_given(sure_bundle, catalogue):
    photos = sorted([*catalogue.glob("*/*.png"), *catalogue.glob("*/*.webp")])
    reasons = [prediction.reason for prediction in load(sure_bundle, precision=0.98).classify(photos)]
    assert {None, ReviewReason.THRESHOLD, ReviewReason.UNKNOWN} == set(reasons), "one of each, to prove something"
    lines = lines_of(*photos, "--model", sure_bundle, "--precision", 0.98)
    assert [line["reason"] for line in lines] == reasons
    assert [line["status"] for line in lines] == ["review" if reason else "labeled" for reason in reasons]
    text = classify(*photos, "--model", sure_bundle, "--precision", 0.98).stdout.splitlines()
    unlike = [ReviewReason.UNKNOWN.words in line for line in text]
    assert unlike == [reason is ReviewReason.UNKNOWN for reason in reasons]
