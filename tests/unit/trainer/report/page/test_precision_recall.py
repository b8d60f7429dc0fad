import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from trainer.report.page.precision_recall import average_precision

SCORED = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40).filter(
    lambda pairs: any(member for _, member in pairs)
)


@given(SCORED)
def test_it_is_what_scikit_learn_says(pairs) -> None:
    scores = np.array([score / 8 for score, _ in pairs], np.float32)
    members = np.array([member for _, member in pairs])
    average, curve = average_precision(scores, members)
    assert average == pytest.approx(average_precision_score(members, scores))
    precisions, recalls, _ = precision_recall_curve(members, scores)
    for place in (0, 20, 50, 99, 100):
        reached = precisions[:-1][recalls[:-1] >= place / 100 - 1e-9]
        assert curve[place] == pytest.approx(reached.max())


def test_a_perfect_order_has_an_average_of_one() -> None:
    average, curve = average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, True, False]))
    assert average == 1.0
    assert curve.min() == 1.0
