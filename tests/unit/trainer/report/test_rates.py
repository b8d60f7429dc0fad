import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.report.rates import between, percent, rounded, target_name


@pytest.mark.parametrize(
    ("rate", "said"),
    [(0.0, "0%"), (1.0, "100%"), (0.914, "91.4%"), (0.8, "80.0%"), (0.0001, "under 0.1%"), (0.99996, "over 99.9%")],
)
def test_a_rate_is_said_with_one_decimal(rate, said) -> None:
    assert percent(rate) == said


@given(st.floats(0.0, 1.0))
def test_none_and_all_are_said_of_nothing_else(rate) -> None:
    assert (percent(rate) == "0%") == (rounded(rate) == "0%") == (rate == 0.0)
    assert (percent(rate) == "100%") == (rounded(rate) == "100%") == (rate == 1.0)
    assert percent(rate) not in {"0.0%", "100.0%"}


def test_an_interval_is_said_with_both_its_ends() -> None:
    assert between((0.88, 0.9404)) == "88.0 to 94.0%"
    assert between(None) == ""


@pytest.mark.parametrize(("precision", "said"), [(0.9, "90%"), (0.97, "97%"), (0.99, "99%")])
def test_a_target_is_said_as_it_is_asked_for(precision, said) -> None:
    assert target_name(precision) == said
