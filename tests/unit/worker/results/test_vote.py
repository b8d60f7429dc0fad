import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import ReviewReason
from worker.job.parts import Status
from worker.results.products import ClassShare, Product, Verdict, decide

THRESHOLD, UNKNOWN = ReviewReason.THRESHOLD, ReviewReason.UNKNOWN


def product(photos: int = 2, readable: int | None = None, doubts: dict[ReviewReason, int] | None = None) -> Product:
    return Product("A-1", photos, photos if readable is None else readable, doubts or {})


LABELED, REVIEW = Status.LABELED, Status.REVIEW
VOTES = {
    "the mean over readable photos": (
        product(3, 2), [("hat", 0.5, 0, 0), ("shoe", 1.5, 2, 2)], (0.75, LABELED, None, 1),
    ),
    "two sure labels": (
        product(9), [("hat", 0.9, 1, 1), ("shoe", 7.2, 8, 8)], (0.8, REVIEW, ReviewReason.DISAGREEMENT, 8 / 9),
    ),
    "a sure photo that is outvoted": (
        product(3, doubts={THRESHOLD: 2}), [("hat", 0.9, 1, 1), ("shoe", 1.5, 2, 0)], (0.5, REVIEW, THRESHOLD, 2 / 3),
    ),
    "one sure photo that agrees": (
        product(4, doubts={UNKNOWN: 2}), [("hat", 0.2, 3, 0), ("shoe", 1.0, 1, 1)], (0.25, LABELED, None, 0.25),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("voters", "shares", "said"), VOTES.values(), ids=VOTES)
def test_the_vote_is_the_likeliest_class_and_sure_photos_decide_whether_it_labels(voters, shares, said) -> None:
    told = decide(voters, [ClassShare(*share) for share in shares])
    assert (told.label, told.status, told.reason) == ("shoe", *said[1:3])
    assert (told.confidence, told.agreement) == pytest.approx((said[0], said[3]))


def test_a_product_without_a_readable_photo_failed() -> None:
    assert decide(product(2, 0), []) == Verdict(None, None, Status.FAILED, None, None)


@pytest.mark.parametrize(
    ("threshold", "unknown", "reason"), [(2, 1, THRESHOLD), (1, 2, UNKNOWN), (1, 1, UNKNOWN), (0, 0, None)]
)
def test_the_commonest_doubt_is_the_reason(threshold: int, unknown: int, reason: ReviewReason | None) -> None:
    doubts = {name: count for name, count in ((THRESHOLD, threshold), (UNKNOWN, unknown)) if count}
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


PARENTS = {"boots": "shoes", "sandals": "shoes", "shoes": "worn", "dress": "worn"}
IN_TREE = {
    "a class and the label above it are one": (
        [("boots", 1.5, 1, 1), ("sandals", 0.3, 0, 0), ("shoes", 0.0, 1, 1)], ("boots", 0.75, LABELED, None, 0.5),
    ),
    "sure of the label above only": (
        [("boots", 1.0, 0, 0), ("sandals", 0.8, 0, 0), ("shoes", 0.0, 2, 2)], ("shoes", 0.9, LABELED, None, 1.0),
    ),
    "two labels above that are one way": (
        [("boots", 1.0, 0, 0), ("shoes", 0.0, 1, 1), ("worn", 0.0, 1, 1)], ("shoes", 0.5, LABELED, None, 0.5),
    ),
    "two classes of one parent": (
        [("boots", 1.0, 1, 1), ("sandals", 0.9, 1, 1)], ("boots", 0.5, REVIEW, ReviewReason.DISAGREEMENT, 0.5),
    ),
    "two labels on different ways": (
        [("boots", 1.0, 0, 0), ("dress", 0.9, 1, 1), ("shoes", 0, 1, 1)],
        ("boots", 0.5, REVIEW, ReviewReason.DISAGREEMENT, 0),
    ),
    "all are sure of a label, the likeliest class of all together is elsewhere": (
        [("boots", 0.65, 0, 0), ("hat", 0.7, 0, 0), ("sandals", 0.65, 0, 0), ("shoes", 0.0, 2, 2)],
        ("shoes", 0.65, LABELED, None, 1.0),
    ),
    "all are sure, one of a class that the vote is not": (
        [("boots", 0.8, 1, 1), ("sandals", 1.0, 0, 0), ("shoes", 0.0, 1, 1)], ("shoes", 0.9, LABELED, None, 1.0),
    ),
    "the vote says something else": (
        [("boots", 0.4, 0, 0), ("hat", 0.9, 1, 0), ("shoes", 0.0, 1, 1)], ("hat", 0.45, REVIEW, None, 0.5),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("shares", "said"), IN_TREE.values(), ids=IN_TREE)
def test_sure_labels_above_each_other_agree_on_the_lowest(shares, said) -> None:
    told = decide(product(), [ClassShare(*share) for share in shares], PARENTS)
    assert (told.label, told.status, told.reason) == (said[0], *said[2:4])
    assert (told.confidence, told.agreement) == pytest.approx((said[1], said[4]))
