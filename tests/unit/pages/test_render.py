import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from pages.render import render
from pages.text import between, duration, percent, rounded, share, target_name, visible
from tests.html_page import check_harmless


def test_a_very_long_text_is_shown_by_its_ends() -> None:
    assert visible("x" * 300) == "x" * 300
    assert visible("a" * 150 + "b" * 1000 + "c" * 150) == "a" * 150 + " […1,000 characters…] " + "c" * 150
    assert visible("x" * 999, None) == "x" * 999


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0%"), (1, "<0.1%"), (1000, "0.1%"), (999_999, ">99.9%"), (1_000_000, "100%")]
)
def test_a_share_is_all_or_nothing_only_when_it_is(count, shown) -> None:
    assert share(count, 1_000_000) == shown


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(0.0, "0%"), (1.0, "100%"), (0.914, "91.4%"), (0.8, "80.0%"), (0.0001, "under 0.1%"), (0.99996, "over 99.9%")],
)
def test_a_rate_has_one_decimal(rate, shown) -> None:
    assert percent(rate) == shown


@given(st.floats(0.0, 1.0))
def test_none_and_all_are_said_of_nothing_else(rate) -> None:
    assert (percent(rate) == "0%") == (rounded(rate) == "0%") == (rate == 0.0)
    assert (percent(rate) == "100%") == (rounded(rate) == "100%") == (rate == 1.0)
    assert percent(rate) not in {"0.0%", "100.0%"}


def test_an_interval_has_both_its_ends_and_a_target_is_shown_as_it_is_asked_for() -> None:
    assert between((0.88, 0.9404)) == "88.0 to 94.0%"
    assert between(None) == ""
    assert [target_name(precision) for precision in (0.9, 0.97)] == ["90%", "97%"]


def test_durations_have_the_unit_a_person_would_use() -> None:
    assert [duration(s) for s in (1.25, 90.0, 9000.0)] == ["1.2 seconds", "1.5 minutes", "2.5 hours"]


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("receipt.html")


@pytest.mark.rest
def test_a_receipt_s_page_needs_nothing_heavy() -> None:
    heavy = {"tensorflow", "keras", "sklearn", "matplotlib", "scipy", "onnxruntime", "trainer", "jinja2"}
    code = "import sys, worker.results.receipt_page; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pages.charts" in done.stdout
    assert heavy.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    "harm",
    [
        "<script>run()</script>",
        '<p onclick="run()"></p>',
        '<img src="//host.test/a.png">',
        '<svg><image href="https://host.test/a.png"></image></svg>',
        '<p style="background: url(a.png)"></p>',
        '<meta http-equiv="refresh" content="0; a.html">',
        '<a href="JavaScript:run()"></a>',
        "\x1b[31m",
    ],
)
def test_the_check_of_pages_finds_what_may_do_harm(harm) -> None:
    page = "<p>default-src 'none'</p><a href=\"#here\"></a>"
    check_harmless(page)
    with pytest.raises(AssertionError):
        check_harmless(page + harm)
