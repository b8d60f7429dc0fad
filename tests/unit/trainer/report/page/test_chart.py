import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.html_page import Page
from trainer.report.page.chart import Chart, axis_over, count_axis, unit_axis

NUMBERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))


def points(svg: str) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split(","))) for pair in re.findall(r'points="([^"]*)"', svg)[0].split()]


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_an_axis_holds_its_values_with_a_few_ticks(values) -> None:
    axis = axis_over(values, "")
    slack = 1e-6 * max(1.0, *map(abs, values))
    assert axis.low - slack <= min(values)
    assert max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 8
    assert list(axis.ticks) == sorted(set(axis.ticks))


@given(st.integers(1, 3000))
def test_epochs_are_whole(epochs) -> None:
    axis = count_axis(epochs, "epoch")
    assert axis.ticks
    assert all(tick == int(tick) and 1 <= tick <= epochs for tick in axis.ticks)


def test_values_that_are_not_finite_are_left_out() -> None:
    chart = Chart("", count_axis(3, ""), axis_over([math.nan, 1.0, math.inf, 2.0], ""))
    assert len(points(chart.line((1, 2, 3), (1.0, math.nan, 2.0), "val"))) == 2
    assert chart.dot(1, math.nan, "best") == ""
    assert axis_over([math.nan], "").ticks


def test_up_is_up_and_right_is_right() -> None:
    chart = Chart("", unit_axis("x"), unit_axis("y"))
    (left, low), (right, high) = points(chart.line((0, 1), (0, 1), "val"))
    assert left < right
    assert high < low
    assert left >= 0
    assert right <= chart.width


def test_a_bar_of_one_is_seen_and_one_of_none_is_not() -> None:
    chart = Chart("", unit_axis(""), axis_over([0, 1_000_000], ""))
    heights = [float(re.findall(r'height="([\d.]+)"', chart.bar(0, 0.1, n, "labeled", ""))[0]) for n in (0, 1, 10**6)]
    assert heights[0] == 0
    assert heights[1] >= 2
    assert heights[2] > 100


@pytest.mark.parametrize("value", [5.0, 0.0, -3.0, 1e-9])
def test_one_value_has_an_axis_around_it(value) -> None:
    axis = axis_over([value], "")
    assert axis.low <= value <= axis.high
    assert axis.low < axis.high


def test_names_are_escaped() -> None:
    page = Page(Chart("<a>&", unit_axis("<x>"), unit_axis("<y>")).drawn(""))
    assert {"a", "x", "y"}.isdisjoint(tag for tag, _ in page.elements)
    assert "<x>" in page.text
