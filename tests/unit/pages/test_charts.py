import io
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from pages.charts import (
    axis_over,
    confidence_histogram,
    learning_curve,
    matrix_png,
)
from tests.html_page import Page

NUMBERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))


@example([1.0986122886681096, 1.0986122886681098])
@example([0.0, 1e-13])
@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_an_axis_holds_its_values_with_a_few_ticks(values) -> None:
    axis = axis_over(values, "")
    slack = 1e-6 * max(1.0, *map(abs, values))
    assert axis.low - slack <= min(values)
    assert max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 8
    assert list(axis.ticks) == sorted(set(axis.ticks))


def drawn(matrix: np.ndarray, names: list[str]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(matrix_png(matrix, names))).convert("RGB"), int)


def test_in_a_matrix_blue_is_right_orange_wrong_and_depth_the_share_of_the_row() -> None:
    matrix = np.diag([30, 20, 10]) + np.array([[0, 0, 0], [0, 0, 20], [1, 0, 0]])
    sheet = drawn(matrix, ["hat", "vase", "帽子 with a very, very long name"])
    corners = sheet[-8 - 3 * 44 :: 44, -8 - 3 * 44 :: 44][:3, :3]  # of the cells, beside their numbers
    assert (corners[[0, 0, 1, 2], [1, 2, 0, 1]] == 255).all()
    (right, weak, seldom), (wrong, rare) = corners[[0, 1, 2], [0, 1, 2]], corners[[1, 2], [2, 0]]
    assert right[2] > right[0]
    assert wrong[0] > wrong[2]
    assert right[0] < seldom[0] < weak[0]
    assert wrong[2] < rare[2] < 255


@pytest.mark.parametrize(
    ("classes", "side"), [(114, 1600 // 114 * 114), (400, 1600), pytest.param(2000, 2000, marks=pytest.mark.rest)]
)
def test_a_matrix_of_many_classes_has_no_names_and_loses_no_mistake(classes, side) -> None:
    matrix = np.eye(classes, dtype=np.int64) * 100
    matrix[-1, 0] = 1
    sheet = drawn(matrix, ["x" * 300] * classes)
    if classes == 114:
        assert len(sheet) > side + 24, "of 114 classes there are names"
    else:
        assert len(sheet) == side + 24
    assert (sheet[-9, -8 - side] != 255).any()


@pytest.mark.parametrize("most", [1, 3, 5, 6, 99, 101, 812, 7_654_321])
def test_bars_are_as_high_as_their_counts_and_under_the_top_line(most) -> None:
    counts = [0] * 20
    counts[3], counts[19] = most, most // 2
    elements = Page(confidence_histogram(counts)).elements
    bars = [attributes for tag, attributes in elements if tag == "rect"]
    heights = [float(bar["height"] or 0) for bar in bars]
    lines = [float(attributes["y1"] or 0) for tag, attributes in elements if tag == "line"]
    assert len(bars) == 20
    assert heights[0] == 0
    assert heights[3] == max(heights)
    assert most < 4 or heights[19] == pytest.approx(heights[3] * (most // 2) / most, abs=0.2)
    assert float(bars[3]["y"] or 0) >= min(lines) - 0.1, "no bar is higher than the grid"
    assert heights[3] > (max(lines) - min(lines)) / 2, "the grid is not much higher than the bars"
    assert 3 <= len(set(lines)) <= 7 or most < 3


@given(st.integers(1, 3000))
def test_epochs_are_whole(epochs) -> None:
    svg = learning_curve("", {"val": [0.5] * epochs})
    ticks = [int(tick.replace(",", "")) for tick in re.findall(r'text-anchor="middle">([\d,.]+)<', svg)]
    assert ticks
    assert all(1 <= tick <= epochs for tick in ticks)
