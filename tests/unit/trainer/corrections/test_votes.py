from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trainer.corrections.some_votes import vote, votes
from trainer.corrections.votes import resolve


def test_the_last_vote_of_a_reviewer_counts() -> None:
    agreed = resolve([vote(label="hats", minute=2), vote(label="boots")]).agreed
    assert [(one.label, one.reviewers) for one in agreed] == [("hats", ("anna",))]


def test_reviewers_who_differ_are_in_conflict_and_one_of_them_can_end_it() -> None:
    said = [vote(label="hats"), vote(label="boots", reviewer="bob", minute=1)]
    assert [one.reviewers for one in resolve(said).conflicts] == [("anna", "bob")]
    assert resolve(said).agreed == ()
    later = resolve([*said, vote(label="boots", minute=2)])
    assert later.conflicts == ()
    assert [(one.label, one.reviewers) for one in later.agreed] == [("boots", ("anna", "bob"))]


def test_two_things_said_at_the_same_moment_are_a_conflict() -> None:
    assert len(resolve([vote(label="hats"), vote(label="boots")]).conflicts) == 1


def test_without_votes_nothing_is_resolved() -> None:
    assert resolve([]).agreed == resolve([]).conflicts == ()


@given(st.lists(votes), st.randoms())
def test_neither_order_nor_repetition_makes_a_difference(said, random) -> None:
    again = [*said, *said[:2]]
    random.shuffle(again)
    assert resolve(again) == resolve(said)


@given(st.lists(votes))
def test_every_photo_is_either_agreed_on_or_in_conflict(said) -> None:
    resolved = resolve(said)
    photos = [one.votes[0].photo for one in (*resolved.agreed, *resolved.conflicts)]
    assert sorted(photos) == sorted({each.photo for each in said})


@given(st.lists(votes, min_size=1))
def test_once_all_say_the_same_again_nothing_is_in_conflict(said) -> None:
    last = [vote(photo, "shoes", reviewer, 9) for photo in range(3) for reviewer in ("anna", "bob")]
    resolved = resolve([*said, *last])
    assert resolved.conflicts == ()
    assert {one.label for one in resolved.agreed} == {"shoes"}
