from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainer.check.checkup import Issue, judge


@pytest.fixture
def judged(table):
    """Judge some statistics; without labels, each photo has its own class."""

    def of(*looks, names=None, labels=None):
        paths = [Path("/shop", name) for name in names or [f"{place}.jpg" for place in range(len(looks))]]
        return judge(table(looks), paths, labels or [str(place) for place in range(len(looks))])

    return of


@pytest.fixture
def issues_of(judged, ordinary):
    """The issues of one photo among photos without issues."""

    def of(name="a.jpg", **changes):
        found = judged(replace(ordinary, **changes), *[ordinary] * 9, names=[name, *["b.jpg"] * 9])
        assert not any(flags[1:].any() for flags in found.flags.values())
        return {issue for issue, flags in found.flags.items() if flags[0]}

    return of


@pytest.mark.parametrize(
    ("changes", "issue"),
    [
        *(({"animated": True}, Issue.ANIMATED), ({"transparent": True}, Issue.TRANSPARENT)),
        *(({"orientation": tag}, Issue.EXIF_ROTATED) for tag in (2, 8)),
        *(({"mode": "CMYK"}, Issue.CMYK), ({"grey": True}, Issue.GREY)),
        *(({"brightness_99": 0.31}, Issue.DARK), ({"brightness_5": 0.96}, Issue.LIGHT)),
        *(({"edges": 20.0, "histogram_spread": spread}, Issue.BLURRY) for spread in (10.0, 15.0)),
        *(({"steepest": 19}, Issue.BLURRY), ({"entropy": 2.9}, Issue.LOW_INFORMATION)),
        *(({"width": w, "height": h}, Issue.ODD_ASPECT_RATIO) for w, h in ((600, 200), (200, 600))),
    ],
)
def test_a_photo_that_has_one_issue(issues_of, changes, issue):
    assert issues_of(**changes) == {issue}


@pytest.mark.parametrize(
    "changes",
    [
        *({}, {"brightness_99": 0.32}, {"brightness_5": 0.95}, {"entropy": 3.0}),
        *({"width": 350, "height": 350}, {"width": 598, "height": 210}),
        *({"edges": 35.0, "histogram_spread": 10.0}, {"edges": 20.0, "histogram_spread": 10.0, "steepest": 36}),
        {"edges": 10.0, "histogram_spread": 60.0},  # a plain backdrop has weak edges, and a histogram with a high peak
    ],
)
def test_a_photo_at_the_limit_has_none(issues_of, changes):
    assert issues_of(**changes) == set()


def test_too_small_is_a_longer_side_below_64(issues_of):
    assert Issue.TOO_SMALL in issues_of(width=63, height=40)
    assert Issue.TOO_SMALL not in issues_of(width=48, height=64)


@pytest.mark.parametrize(
    ("stored", "names", "issues"),
    [
        ("JPEG", "a.jpg a.JPEG a.jpe a.jfif a.mpo photo", set()),
        *(("TIFF", "a.tif a.tiff", set()), ("DIB", "a.bmp a.dib", set()), ("WEBP", "a.webp", set())),
        *((stored, names, {Issue.WRONG_EXTENSION}) for stored, names in (("PNG", "a.jpg"), ("JPEG", "a.png a.txt"))),
    ],
)
def test_a_name_that_says_another_format_is_wrong(issues_of, stored, names, issues):
    for name in names.split():
        assert issues_of(name, format=stored) == issues, name


def test_an_odd_size_is_three_quartile_distances_off(judged, ordinary):
    usual = list(np.linspace(300, 500, 41).astype(int))  # quartiles at 355 and 455, with the two below
    found = judged(*[replace(ordinary, width=side, height=side) for side in [*usual, 740, 790]])
    assert found.flags[Issue.ODD_SIZE][-2:].tolist() == [False, True]
    assert not found.flags[Issue.ODD_SIZE][:-2].any()
    assert found.scores[Issue.ODD_SIZE][20] > 0.95


LIGHT = {"brightness_5": 0.99}


@pytest.mark.parametrize(
    ("light", "plain", "is_property"), [(8, 0, True), (5, 3, True), (4, 4, False), (7, 0, False), (51, 49, True)]
)
def test_a_property_is_what_more_than_half_of_a_class_of_eight_has(judged, ordinary, light, plain, is_property):
    others = [replace(ordinary, **LIGHT)] * 2 + [ordinary] * 8
    mugs = [replace(ordinary, **LIGHT)] * light + [ordinary] * plain
    found = judged(*mugs, *others, labels=["mug"] * len(mugs) + ["hat"] * 10)
    assert found.properties == ({"mug": {Issue.LIGHT: round(light / len(mugs), 4)}} if is_property else {})
    assert found.flags[Issue.LIGHT][: len(mugs)].sum() == (0 if is_property else light)
    assert found.flags[Issue.LIGHT][len(mugs) :].tolist() == [True] * 2 + [False] * 8, "an issue in another class"
    assert (found.scores[Issue.LIGHT][:light] < 0.05).all(), "the score stays"
