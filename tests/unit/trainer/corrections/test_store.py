"""The file of corrections with torn lines, locks and foreign edits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InputError
from tests.unit.trainer.corrections.some_votes import PHOTOS, remark, vote, votes
from tests.until import until
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Vote

A, B, C = PHOTOS
HEADER = "image,sha256,label,remark,note,was,reviewer,model,at\n"
GOLDEN = f"""\
{HEADER}/photos/1.jpg,{A},shoes,,,boots,anna,shop@3,2026-05-01T12:00:00Z
file:///photos/b%E9ret.jpg,{B},'=hats,,,,"Bob, jr",,2026-05-01T12:00:00.500000Z
https://shop.example/3.jpg,,hats,,,,anna,,2026-05-01T12:01:00Z
,{C},,not_a_product,"a price list, '=A1",,bob,,2026-05-01T12:02:00Z
,{A},,,'=who made this?,,bob,,2026-05-01T12:03:00Z
"""
GOLDEN_VOTES = (
    vote(0, "shoes", image="/photos/1.jpg", was="boots", model="shop@3"),
    vote(1, "=hats", "Bob, jr", 0.5 / 60, image=os.fsdecode(b"/photos/b\xe9ret.jpg")),
    Vote(vote(minute=1).at, "anna", "", "https://shop.example/3.jpg", "hats"),
    remark(2, "not_a_product", "bob", 2, note="a price list, '=A1"),
    vote(0, "", "bob", 3, note="=who made this?"),
)
FIRST, SECOND, THIRD = GOLDEN_VOTES[0], vote(1, "Schnürschuhe, hoch", 'Bob "jr"', 1), GOLDEN_VOTES[3]


def test_the_file_is_a_plain_table_that_comes_back_as_it_was(store: CorrectionStore, tmp_path: Path) -> None:
    assert store.votes() == ()
    store.add(GOLDEN_VOTES)
    assert store.path.read_text() == GOLDEN
    assert store.votes() == GOLDEN_VOTES
    appended = CorrectionStore(tmp_path / "appended.csv")
    appended.append(GOLDEN_VOTES[:1])
    appended.append(GOLDEN_VOTES[1:])
    assert appended.path.read_text() == GOLDEN
    assert store.photos() == {A, B, C}


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


def test_a_vote_without_a_time_that_repeats_the_last_one_is_not_new(store: CorrectionStore) -> None:
    store.add([vote(label="boots")])
    assert store.add([], [vote(label="boots", minute=5)]).votes == ()
    assert store.add([], [vote(label="hats", minute=6)]).votes == (vote(label="hats", minute=6),)
    assert store.add([], [vote(label="boots", minute=7)]).votes == (vote(label="boots", minute=7),)


def test_a_row_that_a_killed_writer_cut_at_any_byte_hides_nothing(store: CorrectionStore) -> None:
    store.append([FIRST])
    begin = store.path.stat().st_size
    store.append([SECOND])
    whole = store.path.read_bytes()
    for size in range(begin, len(whole) + 1):
        store.path.write_bytes(whole[:size])
        assert FIRST in store.votes(), whole[:size]
        store.append([THIRD])
        found = set(store.votes())
        assert {FIRST, THIRD} <= found, whole[:size]
        assert all((one.label, one.reviewer) == (SECOND.label, SECOND.reviewer) for one in found - {FIRST, THIRD})
        store.add([vote(0, "hats", "eve", 3)])


def test_a_header_that_was_cut_at_any_byte_is_a_file_without_rows(store: CorrectionStore) -> None:
    for size in range(len(HEADER)):
        store.path.write_text(HEADER[:size])
        assert store.votes() == ()
        store.append([FIRST])
        assert store.votes() == (FIRST,), size


def test_a_file_that_a_spreadsheet_saved_is_ours_again_after_a_vote(store: CorrectionStore) -> None:
    row = f"/photos/1.jpg;{A};shoes;boots;anna;shop@3;2026-05-01T12:00:00Z"
    head = "image;sha256;label;was;reviewer;model;at\n"
    store.path.write_bytes(f"\ufeff{head}{row}".replace("\n", "\r\n").encode())
    store.append([THIRD])
    assert store.path.read_text().startswith(HEADER)
    assert store.votes() == (FIRST, THIRD)


@pytest.mark.parametrize(
    "bad",
    [
        vote(label=""),
        vote(label="two\nlines"),
        vote(reviewer=""),
        vote(was="\ud800"),
        vote(note="two\nlines"),
    ],
)
def test_what_could_not_be_read_back_is_refused(store: CorrectionStore, bad: Vote) -> None:
    store.append([FIRST])
    with pytest.raises(InputError, match=r"corrections\.csv"):
        store.append([SECOND, bad])
    assert store.votes() == (FIRST,)


_FULL = """
import resource, sys
from pathlib import Path
from tests.unit.trainer.corrections.some_votes import vote
from trainer.corrections.store import CorrectionStore
store = CorrectionStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (store.path.stat().st_size + 20, resource.RLIM_INFINITY))
store.append([vote(1)])
"""


def test_a_file_that_may_not_grow_is_left_with_no_half_row(store: CorrectionStore) -> None:
    store.append([FIRST])
    before = store.path.read_bytes()
    done = subprocess.run([sys.executable, "-c", _FULL, store.path], capture_output=True, text=True, check=False)
    assert "OSError" in done.stderr, done.stderr
    assert store.path.read_bytes() == before


def test_a_file_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    store = CorrectionStore(tmp_path / "a file" / "corrections.csv")
    for act in (store.check, lambda: store.append([FIRST]), lambda: store.withdraw(FIRST)):
        with pytest.raises(InputError, match=r"a file/corrections\.csv"):
            act()


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_vote_is_taken_back_exactly_once(store: CorrectionStore, end: bytes) -> None:
    store.append([FIRST, SECOND, THIRD])
    store.path.write_bytes(store.path.read_bytes().replace(b"\n", end))
    assert store.withdraw(SECOND)
    assert not store.withdraw(SECOND)
    assert store.votes() == (FIRST, THIRD)
    assert not CorrectionStore(store.path.with_name("none.csv")).withdraw(FIRST)


_APPEND = """
import sys
from pathlib import Path
from tests.unit.trainer.corrections.some_votes import vote
from trainer.corrections.store import CorrectionStore
store = CorrectionStore(Path(sys.argv[1]))
for minute in range(int(sys.argv[3])):
    store.append([vote(minute % 3, sys.argv[2], sys.argv[2], minute)])
    print(minute, flush=True)
"""


def _appender(path: Path, name: str, votes: int) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", _APPEND, path, name, str(votes)], stdout=subprocess.PIPE, text=True)


def test_several_writers_lose_no_vote_and_a_killed_one_no_confirmed_answer(tmp_path: Path) -> None:
    store = CorrectionStore(tmp_path / "corrections.csv")
    steady, killed = _appender(store.path, "steady", 60), _appender(store.path, "killed", 100_000)
    assert killed.stdout is not None
    confirmed = [killed.stdout.readline() for _ in range(20)]
    killed.kill()
    rest = killed.stdout.read().splitlines()
    until(lambda: steady.poll() is not None, "the other writer ends")
    assert (killed.wait(), steady.wait()) == (-9, 0)
    for process in (steady, killed):
        assert process.stdout is not None
        process.stdout.close()
    reviewers = [one.reviewer for one in store.votes()]
    assert reviewers.count("steady") == 60
    assert reviewers.count("killed") >= len(confirmed) + len(rest)


def test_each_bad_row_is_named_and_nothing_is_written(store: CorrectionStore) -> None:
    lines = GOLDEN.replace("anna", "")
    store.path.write_text(lines)
    with pytest.raises(InputError, match=r"rows 2, 4: "):
        store.add([vote()])
    assert store.path.read_text() == lines
