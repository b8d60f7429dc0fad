from hypothesis import given
from hypothesis import strategies as st

from tests.unit.trainer.corrections.said import word, words
from trainer.corrections.votes import settle


def test_the_last_word_of_a_reviewer_counts() -> None:
    agreed = settle([word(label="hats", minute=2), word(label="boots")]).agreed
    assert [(one.label, one.reviewers) for one in agreed] == [("hats", ("anna",))]


def test_reviewers_who_differ_are_in_conflict_and_one_of_them_can_end_it() -> None:
    said = [word(label="hats"), word(label="boots", reviewer="bob", minute=1)]
    assert [one.reviewers for one in settle(said).conflicts] == [("anna", "bob")]
    assert settle(said).agreed == ()
    later = settle([*said, word(label="boots", minute=2)])
    assert later.conflicts == ()
    assert [(one.label, one.reviewers) for one in later.agreed] == [("boots", ("anna", "bob"))]


def test_two_things_said_at_the_same_moment_are_a_conflict() -> None:
    assert len(settle([word(label="hats"), word(label="boots")]).conflicts) == 1


def test_without_words_nothing_is_settled() -> None:
    assert settle([]).agreed == settle([]).conflicts == ()


@given(st.lists(words), st.randoms())
def test_neither_order_nor_repetition_makes_a_difference(said, random) -> None:
    again = [*said, *said[:2]]
    random.shuffle(again)
    assert settle(again) == settle(said)


@given(st.lists(words))
def test_every_photo_is_either_agreed_on_or_in_conflict(said) -> None:
    settled = settle(said)
    photos = [one.words[0].photo for one in (*settled.agreed, *settled.conflicts)]
    assert sorted(photos) == sorted({each.photo for each in said})


@given(st.lists(words, min_size=1))
def test_once_all_say_the_same_again_nothing_is_in_conflict(said) -> None:
    last = [word(photo, "shoes", reviewer, 9) for photo in range(3) for reviewer in ("anna", "bob")]
    settled = settle([*said, *last])
    assert settled.conflicts == ()
    assert {one.label for one in settled.agreed} == {"shoes"}
