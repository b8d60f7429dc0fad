import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.learning.balance import balance_note, choose_balance
from trainer.request import Balance


@pytest.mark.parametrize("counts", [[], [0, 0], [5], [30, 10], [30, 10, 0], [10, 10]])
def test_classes_within_a_ratio_of_three_are_left_alone(counts):
    assert choose_balance(counts, None) is Balance.NONE
    assert balance_note(counts, None) is None


@pytest.mark.parametrize("counts", [[31, 10], [1000, 900, 1], [31, 10, 0]])
def test_beyond_it_photos_are_weighed(counts):
    assert choose_balance(counts, None) is Balance.WEIGHTS


def test_what_was_chosen_is_said_with_the_way_out():
    assert balance_note([91, 40, 10, 0], None) == (
        "Largest class has 9.1 times the photos of the smallest: "
        "photos of rare classes weigh more; --balance none turns it off"
    )


@given(st.lists(st.integers(0, 1000)), st.sampled_from(Balance))
def test_a_wish_is_obeyed_without_a_word(counts, wished):
    assert choose_balance(counts, wished) is wished
    assert balance_note(counts, wished) is None


@given(st.lists(st.integers(0, 1000)))
def test_something_is_said_exactly_where_something_is_done_unasked(counts):
    assert (balance_note(counts, None) is None) == (choose_balance(counts, None) is Balance.NONE)


def test_the_names_load_no_numpy():
    loaded = "[m for m in ('numpy', 'tensorflow', 'sklearn') if m in sys.modules]"
    code = f"import sys, trainer.learning.balance; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
