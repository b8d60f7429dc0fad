from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.dataset import Split
from trainer.judging.label_errors import LEAST_ODDS, LabelIssue, find_label_issues, write_label_issues
from trainer.splits.assigned import AssignedPhoto

CLASSES = ("hat", "lamp", "vase")


def photos_of(labels):
    return [AssignedPhoto(Path(f"{n:03}.jpg"), label, Split.TRAIN, f"{n}", f"{n}") for n, label in enumerate(labels)]


def found(labels, rows):
    issues = find_label_issues(photos_of(labels), np.array(rows, np.float32), CLASSES)
    return [(issue.photo.path.stem, issue.given, issue.suggested) for issue in issues]


def test_a_label_is_doubted_where_another_class_is_nine_times_as_likely():
    rows = [[0.0625, 0.5625, 0.375], [0.0625, 0.5, 0.4375], [0.05, 0.5, 0.45], [0.45, 0.5, 0.05]]
    assert found(["hat"] * 4, rows) == [("002", "hat", "lamp"), ("000", "hat", "lamp")]


def test_the_odds_rank():
    rows = [[0.9, 0.09, 0.01], [0.6, 0.01, 0.39], [0.95, 0.02, 0.03], [0.1, 0.01, 0.89]]
    assert found(["lamp"] * 4, rows) == [
        ("003", "lamp", "vase"),
        ("001", "lamp", "hat"),
        ("002", "lamp", "hat"),
        ("000", "lamp", "hat"),
    ]


def test_equal_odds_are_in_the_order_of_paths():
    assert [stem for stem, *_ in found(["lamp"] * 3, [[0.95, 0.05, 0.0]] * 3)] == ["000", "001", "002"]


def test_an_issue_says_both_probabilities():
    photos = photos_of(["hat", "lamp"])
    rows = np.array([[0.75, 0.25, 0], [0.9375, 0.0625, 0]], np.float32)
    assert find_label_issues(photos, rows, CLASSES) == [LabelIssue(photos[1], "lamp", "hat", 0.0625, 0.9375, 0.9375)]


def test_a_photo_whose_class_was_not_learned_is_not_judged():
    assert found(["hat", "vase"], [[0.9, 0.1, 0.0]] * 2) == []
    assert found(["hat", "vase"], [[0.9, 0.1, 1e-6]] * 2) == [("001", "vase", "hat")]


def test_nothing_was_learned_nothing_is_found():
    assert found(["hat", "lamp"], [[0, 0, 0]] * 2) == []
    assert find_label_issues([], np.empty((0, 3), np.float32), CLASSES) == []


labelled = st.lists(st.tuples(st.integers(0, 2), *[st.integers(0, 40)] * 3), min_size=1, max_size=40)


@settings(deadline=None)
@given(labelled)
def test_every_issue_is_a_likelier_class_that_was_learned(drawn):
    weights = np.array([row[1:] for row in drawn], float)
    rows = (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)).astype(np.float32)
    photos = photos_of([CLASSES[row[0]] for row in drawn])
    issues = find_label_issues(photos, rows, CLASSES)
    assert [issue.score for issue in issues] == sorted((issue.score for issue in issues), reverse=True)
    assert len({issue.photo.path for issue in issues}) == len(issues)
    odds = [(row.max(), row[CLASSES.index(photo.label)]) for photo, row in zip(photos, rows, strict=True)]
    assert len(issues) == sum(own > 0 and best >= LEAST_ODDS * own for best, own in odds)
    for issue in issues:
        row = rows[photos.index(issue.photo)]
        assert issue.given == issue.photo.label != issue.suggested
        assert issue.suggested_probability == row.max() == row[CLASSES.index(issue.suggested)]
        assert 0 < issue.given_probability == row[CLASSES.index(issue.given)] < issue.suggested_probability
        assert issue.score == pytest.approx(
            issue.suggested_probability / (issue.suggested_probability + issue.given_probability)
        )


def test_the_file_has_a_row_an_issue_in_order(tmp_path):
    photo = AssignedPhoto(Path("shop/a,b.jpg"), "lamp", Split.VAL, "0", "0")
    issues = [LabelIssue(photo, "lamp", "hat", 0.25, 0.75, 0.5), LabelIssue(photo, "lamp", "vase", 0.3, 0.4, 0.1)]
    write_label_issues(tmp_path / "label_issues.csv", issues, tmp_path)
    assert (tmp_path / "label_issues.csv").read_text() == (
        "image,split,label,suggested,score,label_probability,suggested_probability\n"
        '"shop/a,b.jpg",val,lamp,hat,0.5000,0.2500,0.7500\n'
        '"shop/a,b.jpg",val,lamp,vase,0.1000,0.3000,0.4000\n'
    )


def test_no_issue_leaves_the_header(tmp_path):
    write_label_issues(tmp_path / "label_issues.csv", [], tmp_path)
    assert (tmp_path / "label_issues.csv").read_text().splitlines() == [
        "image,split,label,suggested,score,label_probability,suggested_probability"
    ]
