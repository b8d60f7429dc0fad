from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trainer.corrections.some_votes import remark, vote, votes
from trainer.corrections.votes import PhotoVotes, Remark, Vote, resolve


def resolved(*said: Vote) -> PhotoVotes:
    (one,) = resolve(said).values()
    return one


def test_the_last_vote_of_a_reviewer_counts() -> None:
    one = resolved(vote(label="hats", minute=2), vote(label="boots"))
    assert (one.label, one.remark, one.reviewers) == ("hats", None, ("anna",))


def test_reviewers_who_differ_are_in_conflict_and_one_of_them_can_end_it() -> None:
    said = [vote(label="hats"), vote(label="boots", reviewer="bob", minute=1)]
    one = resolved(*said)
    assert (one.in_conflict, one.label, one.reviewers) == (True, None, ("anna", "bob"))
    later = resolved(*said, vote(label="boots", minute=2))
    assert (later.in_conflict, later.label, later.reviewers) == (False, "boots", ("anna", "bob"))


def test_two_things_said_at_the_same_moment_are_a_conflict() -> None:
    assert resolved(vote(label="hats"), vote(label="boots")).in_conflict


def test_a_remark_is_no_label_and_overrules_its_reviewers_earlier_one() -> None:
    one = resolved(vote(label="boots"), remark(minute=1))
    assert (one.label, one.remark, one.in_conflict) == (None, Remark.NOT_A_PRODUCT, False)
    assert resolved(remark(), vote(label="boots", minute=1)).label == "boots"


def test_a_note_alone_changes_nothing() -> None:
    note = vote(label="", minute=1, note="worn")
    assert resolved(vote(), note).label == "boots"
    assert resolve([note]) == {}


@given(st.lists(votes), st.randoms())
def test_neither_order_nor_repetition_makes_a_difference(said, random) -> None:
    again = [*said, *said[:2]]
    random.shuffle(again)
    assert resolve(again) == resolve(said)
    assert set(resolve(said)) == {each.photo for each in said}
