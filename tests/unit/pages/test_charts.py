import numpy as np
import pytest

from pages.charts import confidence_histogram
from tests.html_page import Page


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


def test_a_single_row_of_millions_can_be_seen() -> None:
    bars = [a for tag, a in Page(confidence_histogram([1, *[0] * 18, 5_000_000])).elements if tag == "rect"]
    assert float(bars[0]["height"] or 0) >= 2


def test_bars_stand_side_by_side_from_nought_to_one() -> None:
    page = Page(confidence_histogram([1] * 20))
    lefts = [float(a["x"] or 0) for tag, a in page.elements if tag == "rect"]
    assert np.allclose(np.diff(lefts), np.diff(lefts)[0], atol=0.2)
    assert "0.95 to 1.00: 1 row" in page.text
    assert "0 0.2 0.4 0.6 0.8 1" in page.text
    assert "confidence rows" in page.text


def test_what_is_usual_is_scaled_to_the_rows_that_are_there() -> None:
    page = Page(confidence_histogram([10, 30], [1, 3]))
    (line,) = [a["points"] or "" for tag, a in page.elements if tag == "polyline"]
    steps = [float(point.split(",")[1]) for point in line.split()]
    tops = [float(a["y"] or 0) for tag, a in page.elements if tag == "rect"]
    assert steps[1:5] == pytest.approx([tops[0], tops[0], tops[1], tops[1]], abs=0.1)
