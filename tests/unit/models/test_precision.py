import pytest

from models.precision import all_to_review_text, precision_text


@pytest.mark.parametrize(("precision", "text"), [(0.9, "0.90"), (0.98, "0.98"), (0.995, "0.995"), (1.0, "1.00")])
def test_a_precision_has_two_digits_or_as_many_as_it_takes(precision, text):
    assert precision_text(precision) == text


@pytest.mark.parametrize(
    ("precision", "start"), [(0.99, "Precision 0.99 can"), (None, "This model's own precision can")]
)
def test_that_nothing_is_promised_is_said_of_the_precision_that_rules(precision, start):
    assert all_to_review_text(precision).startswith(start)
    assert all_to_review_text(precision).endswith("every photo goes to review.")
