import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.errors import InputError
from tests.unit.trainer.corrections.some_votes import BEGIN, vote, votes
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Vote, resolve

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


def golden_votes() -> list[Vote]:
    return [
        vote(0, "shoes", image="/photos/1.jpg", was="boots", model="shop@3"),
        vote(1, "=hats", "Bob, jr", 0.5 / 60, image=os.fsdecode(b"/photos/b\xe9ret.jpg")),
        Vote(vote(minute=1).at, "anna", "", "https://shop.example/3.jpg", "hats"),
    ]


def test_the_file_is_a_plain_table_that_comes_back_as_it_was(store: CorrectionStore) -> None:
    store.add(golden_votes())
    assert store.path.read_text() == GOLDEN
    assert list(store.votes()) == golden_votes()


def test_a_spreadsheet_may_have_saved_it_with_semicolons(store: CorrectionStore) -> None:
    store.path.write_text(GOLDEN.replace('"Bob, jr"', "Bob").replace(",", ";"))
    assert [said.reviewer for said in store.votes()] == ["anna", "Bob", "anna"]


def test_a_file_that_is_not_there_holds_no_votes(store: CorrectionStore) -> None:
    assert store.votes() == ()


@settings(max_examples=30, deadline=None)
@given(st.lists(votes, max_size=6), st.lists(votes, max_size=6))
def test_adding_is_idempotent_and_in_no_order(tmp_path_factory: pytest.TempPathFactory, one, other) -> None:
    folder = tmp_path_factory.mktemp("stores")
    there, back = CorrectionStore(folder / "there.csv"), CorrectionStore(folder / "back.csv")
    for store, files in ((there, (one, other)), (back, (other, one, other))):
        for file in files:
            store.add(file)
    assert there.votes() == back.votes() == tuple(sorted({*one, *other}))
    if there.votes():
        assert there.path.read_bytes() == back.path.read_bytes()


def test_a_vote_without_a_time_that_says_what_was_said_last_is_nothing_new(store: CorrectionStore) -> None:
    store.add([vote(label="boots")])
    assert store.add([], [vote(label="boots", minute=5)]).votes == ()
    assert store.add([], [vote(label="hats", minute=6)]).votes == (vote(label="hats", minute=6),)
    assert store.add([], [vote(label="boots", minute=7)]).votes == (vote(label="boots", minute=7),)


def test_each_bad_row_is_named_and_nothing_is_written(store: CorrectionStore) -> None:
    lines = GOLDEN.replace("anna", "").splitlines(keepends=True)
    store.path.write_text("".join(lines))
    with pytest.raises(InputError, match=r"2 rows cannot be used(.|\n)*row 1: expected a reviewer(.|\n)*row 3: "):
        store.add([vote()])
    assert store.path.read_text() == "".join(lines)


def test_a_file_of_other_columns_is_refused(store: CorrectionStore) -> None:
    store.path.write_text("image,label\na.jpg,boots\n")
    with pytest.raises(InputError, match=r"Expected the columns image,sha256,.* found image,label"):
        store.votes()


def test_what_a_killed_import_left_is_cleared_away(store: CorrectionStore) -> None:
    left = store.path.with_name(f".{store.path.name}.{'0' * 32}.tmp")
    left.write_text("half")
    store.add([vote()])
    assert not left.exists()


def test_a_vote_that_is_dated_in_the_future_stays_and_does_not_count_until_then(tmp_path: Path) -> None:
    soon, late = vote(0, "boots", minute=23 * 60), vote(0, "hats", minute=400 * 24 * 60)
    fast = CorrectionStore(tmp_path / "corrections.csv", now=lambda: late.at)
    fast.add([soon, late])
    store = CorrectionStore(tmp_path / "corrections.csv", now=lambda: BEGIN)
    assert (store.votes(), store.ahead()) == ((soon,), (late,))
    last = vote(0, "shoes", minute=24 * 60)
    assert store.add([last]).all == (soon, last)
    assert fast.votes() == (soon, last, late), "nothing is taken away"
    assert [agreed.label for agreed in resolve(store.votes()).agreed] == ["shoes"]


def test_what_a_reviewer_has_dated_in_the_future_is_not_their_last_vote(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path / "corrections.csv", now=lambda: BEGIN)
    store.add([vote(0, "boots", minute=-1), vote(0, "hats", minute=400 * 24 * 60)])
    assert [said.label for said in store.add([], [vote(0, "hats")]).votes] == ["hats"]


@pytest.mark.parametrize("others", [(), ("hats",)])
def test_corrections_can_be_read_on_80_columns(tmp_path: Path, others: tuple[str, ...]) -> None:
    store = CorrectionStore(tmp_path / "corrections.csv")
    path = "/srv/photos/of/this/winter/" + "a-long-folder/" * 6 + "0001.png"
    votes = [vote(label="rubber boots", image=path, was="sandals")]
    store.add([*votes, *(vote(label=label, reviewer="bob", image=path) for label in others)])
    done = CliRunner().invoke(
        make_app(["trainer"]), ["corrections", "list", "--file", str(store.path)], env={"COLUMNS": "80"}
    )
    assert done.exit_code == 0, done.output
    assert "rubber boots" in done.stdout
    assert "2026-05-01 12:00" in done.stdout
    assert "/srv/photos/of/this/win" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
