import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import ReviewReason
from worker.products.vote import ClassShare, Product, Verdict, decide
from worker.results import Status

THRESHOLD, UNKNOWN = ReviewReason.THRESHOLD, ReviewReason.UNKNOWN


def product(photos: int = 2, readable: int | None = None, doubts: dict[ReviewReason, int] | None = None) -> Product:
    return Product("A-1", photos, photos if readable is None else readable, doubts or {})


def test_the_mean_over_readable_photos_is_the_confidence() -> None:
    told = decide(product(3, 2), [ClassShare("hat", 0.5, 0, 0), ClassShare("shoe", 1.5, 2, 2)])
    assert told == Verdict("shoe", 0.75, Status.LABELED, None, 1.0)


def test_two_sure_labels_are_a_disagreement_whatever_the_vote() -> None:
    told = decide(product(9), [ClassShare("hat", 0.9, 1, 1), ClassShare("shoe", 7.2, 8, 8)])
    assert (told.label, told.status, told.reason) == ("shoe", Status.REVIEW, ReviewReason.DISAGREEMENT)
    assert told.agreement == pytest.approx(8 / 9)


def test_a_sure_photo_that_is_outvoted_labels_nothing() -> None:
    told = decide(product(3, doubts={THRESHOLD: 2}), [ClassShare("hat", 0.9, 1, 1), ClassShare("shoe", 1.0, 2, 0)])
    assert (told.label, told.status, told.reason) == ("shoe", Status.REVIEW, THRESHOLD)


def test_one_sure_photo_is_enough_where_the_vote_says_the_same() -> None:
    told = decide(product(3, doubts={UNKNOWN: 2}), [ClassShare("hat", 0.2, 2, 0), ClassShare("shoe", 1.0, 1, 1)])
    assert (told.label, told.status, told.reason, told.agreement) == (
        "shoe",
        Status.LABELED,
        None,
        pytest.approx(1 / 3),
    )


def test_a_product_without_a_readable_photo_failed() -> None:
    assert decide(product(2, 0), []) == Verdict(None, None, Status.FAILED, None, None)


@pytest.mark.parametrize(
    ("doubts", "reason"),
    [
        ({THRESHOLD: 2, UNKNOWN: 1}, THRESHOLD),
        ({THRESHOLD: 1, UNKNOWN: 2}, UNKNOWN),
        ({THRESHOLD: 1, UNKNOWN: 1}, UNKNOWN),
        ({}, None),
    ],
)
def test_the_commonest_doubt_is_the_reason(doubts, reason) -> None:
    assert decide(product(doubts=doubts), [ClassShare("shoe", 1.0, 2, 0)]).reason is reason


SHARES = st.lists(
    st.builds(ClassShare, st.sampled_from("abcd"), st.sampled_from([0.5, 1.0]), st.sampled_from([0, 1]), st.just(0)),
    min_size=1,
    unique_by=lambda share: share.label,
)


@given(SHARES, st.randoms())
def test_ties_are_broken_the_same_way_in_any_order(shares, random) -> None:
    told = decide(product(), shares)
    random.shuffle(shares)
    assert decide(product(), shares) == told


def test_of_equal_means_more_photos_decide_and_then_the_alphabet() -> None:
    hat, shoe = ClassShare("hat", 1.0, 0, 0), ClassShare("shoe", 1.0, 1, 0)
    assert decide(product(), [hat, shoe]).label == "shoe"
    assert decide(product(), [ClassShare("shoe", 1.0, 0, 0), hat]).label == "hat"
