import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.corrections.store import guarded, unguarded
from worker.merging.formula import inert

texts = st.text() | st.from_regex(r"'{0,3}[ \t]?[=+@-][0-9a-z]*", fullmatch=True)


@given(texts)
def test_a_cell_comes_back_as_it_was(text: str) -> None:
    assert unguarded(guarded(text)) == text


@given(texts)
def test_a_cell_starts_no_formula(text: str) -> None:
    assert inert(guarded(text)) == guarded(text)


@pytest.mark.parametrize("text", ["=SUM(A1)", "@home", "-wool", "\tboots", "boots", "-5", "o'clock", "'quoted'"])
def test_what_a_review_csv_put_behind_an_apostrophe_comes_back(text: str) -> None:
    assert unguarded(str(inert(text))) == text
