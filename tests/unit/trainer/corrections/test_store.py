import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InputError
from tests.unit.trainer.corrections.said import BEGIN, word, words
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Word, settle

A, B, C = "a" * 64, "b" * 64, "c" * 64
GOLDEN = f"""\
image,sha256,label,was,reviewer,model,at
/photos/1.jpg,{A},shoes,boots,anna,shop@3,2026-05-01T12:00:00Z
file:///photos/b%E9ret.jpg,{B},'=hats,,"Bob, jr",,2026-05-01T12:00:00.500000Z
https://shop.example/3.jpg,,hats,,anna,,2026-05-01T12:01:00Z
"""


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections.csv")


def golden_words() -> list[Word]:
    return [
        word(0, "shoes", image="/photos/1.jpg", was="boots", model="shop@3"),
        word(1, "=hats", "Bob, jr", 0.5 / 60, image=os.fsdecode(b"/photos/b\xe9ret.jpg")),
        Word(word(minute=1).at, "anna", "", "https://shop.example/3.jpg", "hats"),
    ]


def test_the_file_is_a_plain_table_that_comes_back_as_it_was(store: CorrectionStore) -> None:
    store.add(golden_words())
    assert store.path.read_text() == GOLDEN
    assert list(store.words()) == golden_words()


def test_a_spreadsheet_may_have_saved_it_with_semicolons(store: CorrectionStore) -> None:
    store.path.write_text(GOLDEN.replace('"Bob, jr"', "Bob").replace(",", ";"))
    assert [said.reviewer for said in store.words()] == ["anna", "Bob", "anna"]


def test_a_file_that_is_not_there_holds_no_words(store: CorrectionStore) -> None:
    assert store.words() == ()


@settings(max_examples=30, deadline=None)
@given(st.lists(words, max_size=6), st.lists(words, max_size=6))
def test_adding_is_idempotent_and_in_no_order(tmp_path_factory: pytest.TempPathFactory, one, other) -> None:
    folder = tmp_path_factory.mktemp("stores")
    there, back = CorrectionStore(folder / "there.csv"), CorrectionStore(folder / "back.csv")
    for store, files in ((there, (one, other)), (back, (other, one, other))):
        for file in files:
            store.add(file)
    assert there.words() == back.words() == tuple(sorted({*one, *other}))
    if there.words():
        assert there.path.read_bytes() == back.path.read_bytes()


def test_a_word_without_a_time_that_says_what_was_said_last_is_nothing_new(store: CorrectionStore) -> None:
    store.add([word(label="boots")])
    assert store.add([], [word(label="boots", minute=5)]).words == ()
    assert store.add([], [word(label="hats", minute=6)]).words == (word(label="hats", minute=6),)
    assert store.add([], [word(label="boots", minute=7)]).words == (word(label="boots", minute=7),)


def test_each_bad_row_is_named_and_nothing_is_written(store: CorrectionStore) -> None:
    lines = GOLDEN.replace("anna", "").splitlines(keepends=True)
    store.path.write_text("".join(lines))
    with pytest.raises(InputError, match=r"2 rows cannot be used(.|\n)*row 1: expected a reviewer(.|\n)*row 3: "):
        store.add([word()])
    assert store.path.read_text() == "".join(lines)


def test_a_file_of_other_columns_is_refused(store: CorrectionStore) -> None:
    store.path.write_text("image,label\na.jpg,boots\n")
    with pytest.raises(InputError, match=r"Expected the columns image,sha256,.* found image,label"):
        store.words()


def test_what_a_killed_import_left_is_cleared_away(store: CorrectionStore) -> None:
    left = store.path.with_name(f".{store.path.name}.{'0' * 32}.tmp")
    left.write_text("half")
    store.add([word()])
    assert not left.exists()


def test_a_word_that_is_dated_in_the_future_stays_and_does_not_count_until_then(tmp_path: Path) -> None:
    soon, late = word(0, "boots", minute=23 * 60), word(0, "hats", minute=400 * 24 * 60)
    fast = CorrectionStore(tmp_path / "corrections.csv", now=lambda: late.at)
    fast.add([soon, late])
    store = CorrectionStore(tmp_path / "corrections.csv", now=lambda: BEGIN)
    assert (store.words(), store.ahead()) == ((soon,), (late,))
    last = word(0, "shoes", minute=24 * 60)
    assert store.add([last]).all == (soon, last)
    assert fast.words() == (soon, last, late), "nothing is taken away"
    assert [agreed.label for agreed in settle(store.words()).agreed] == ["shoes"]


def test_what_a_reviewer_has_dated_in_the_future_is_not_their_last_word(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path / "corrections.csv", now=lambda: BEGIN)
    store.add([word(0, "boots", minute=-1), word(0, "hats", minute=400 * 24 * 60)])
    assert [said.label for said in store.add([], [word(0, "hats")]).words] == ["hats"]
