"""What every tear, lock and foreign hand may do to a file that grows by rows; with the corrections' own file."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.writers import inert
from models.errors import InputError
from tests.unit.trainer.corrections.some_votes import vote
from tests.until import until
from trainer.corrections.rows_file import guarded, unguarded
from trainer.corrections.store import CorrectionStore
from trainer.corrections.votes import Vote

FIRST = vote(0, "shoes", image="/photos/1.jpg", was="boots")
SECOND = vote(1, "Schnürschuhe, hoch", 'Bob "jr"', 1, image="/photos/bérets.jpg", model="shop@3")
THIRD = vote(2, "=hats", minute=2)
HEADER = "image,sha256,label,was,reviewer,model,at\n"


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections.csv")


def test_what_is_appended_is_what_an_import_would_have_written(store: CorrectionStore, tmp_path: Path) -> None:
    store.append([FIRST])
    store.append([SECOND, THIRD])
    imported = CorrectionStore(tmp_path / "imported.csv")
    imported.add([FIRST, SECOND, THIRD])
    assert store.path.read_bytes() == imported.path.read_bytes()
    assert store.votes() == (FIRST, SECOND, THIRD)


def test_a_row_that_a_killed_writer_cut_at_any_byte_hides_nothing(store: CorrectionStore) -> None:
    store.append([FIRST])
    begin = store.path.stat().st_size
    store.append([SECOND])
    whole = store.path.read_bytes()
    for size in range(begin, len(whole) + 1):
        store.path.write_bytes(whole[:size])
        assert FIRST in store.votes(), whole[:size]
        store.append([THIRD])
        votes = store.votes()
        assert {FIRST, THIRD} <= set(votes), whole[:size]
        assert all((one.label, one.reviewer) == (SECOND.label, SECOND.reviewer) for one in set(votes) - {FIRST, THIRD})
        store.add([vote(0, "hats", "eve", 3)])


def test_a_header_that_was_cut_at_any_byte_is_a_file_without_rows(store: CorrectionStore) -> None:
    for size in range(len(HEADER)):
        store.path.write_text(HEADER[:size])
        assert store.votes() == ()
        store.append([FIRST])
        assert store.votes() == (FIRST,), size


def test_a_last_row_that_a_person_left_without_an_end_stays(store: CorrectionStore) -> None:
    store.append([FIRST, SECOND])
    store.path.write_bytes(store.path.read_bytes().removesuffix(b"\n"))
    assert store.votes() == (FIRST, SECOND)
    store.append([THIRD])
    assert store.votes() == (FIRST, SECOND, THIRD)


def test_a_file_that_a_spreadsheet_saved_is_ours_again_after_an_answer(store: CorrectionStore) -> None:
    row = f"/photos/1.jpg;{FIRST.sha256};shoes;boots;anna;;2026-05-01T12:00:00Z"
    store.path.write_bytes(("\ufeff" + HEADER.replace(",", ";") + row).replace("\n", "\r\n").encode())
    store.append([THIRD])
    assert store.path.read_text().startswith(HEADER)
    assert store.votes() == (FIRST, THIRD)


def test_a_row_over_two_lines_is_kept_as_one(store: CorrectionStore) -> None:
    tall = vote(1, "shoes", was="two\nlines")
    for one in (FIRST, tall, THIRD):
        store.append([one])
    assert set(store.votes()) == {FIRST, tall, THIRD}
    assert store.withdraw(tall)
    assert store.votes() == (FIRST, THIRD)


@pytest.mark.parametrize("bad", [vote(label=""), vote(label="two\nlines"), vote(reviewer=""), vote(was="\ud800")])
def test_what_could_not_be_read_back_is_refused(store: CorrectionStore, bad: Vote) -> None:
    store.append([FIRST])
    with pytest.raises(InputError, match="can hold"):
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


def test_a_file_that_cannot_be_written_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    store = CorrectionStore(tmp_path / "a file" / "corrections.csv")
    for act in (store.check, lambda: store.append([FIRST]), lambda: store.withdraw(FIRST)):
        with pytest.raises(InputError, match=r"a file/corrections.csv cannot be written: "):
            act()


def test_an_answer_is_taken_back_exactly_once(store: CorrectionStore) -> None:
    store.append([FIRST, SECOND, THIRD])
    assert store.withdraw(SECOND)
    assert not store.withdraw(SECOND)
    assert store.votes() == (FIRST, THIRD)
    assert not CorrectionStore(store.path.with_name("none.csv")).withdraw(FIRST)


def test_an_answer_is_taken_back_from_a_spreadsheets_file_too(store: CorrectionStore) -> None:
    store.append([FIRST, SECOND])
    store.path.write_bytes(store.path.read_bytes().replace(b"\n", b"\r\n"))
    assert store.withdraw(SECOND)
    assert store.votes() == (FIRST,)


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


def test_several_writers_lose_nothing_and_a_killed_one_loses_no_answer_it_had_confirmed(store: CorrectionStore) -> None:
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
    said = [one.reviewer for one in store.votes()]
    assert said.count("steady") == 60
    assert said.count("killed") >= len(confirmed) + len(rest)


def test_an_answer_reads_the_files_end_only(store: CorrectionStore) -> None:
    store.append([FIRST])
    with store.path.open("a") as file:
        file.write("no row\n" * 50_000)
    store.append([SECOND])
    with pytest.raises(InputError, match="Expected 7 cells"):
        store.votes()
    text = store.path.read_text().replace("no row\n", "")
    store.path.write_text(text)
    assert store.votes() == (FIRST, SECOND)


texts = st.text() | st.from_regex(r"'{0,3}[ \t]?[=+@-][0-9a-z]*", fullmatch=True)


@given(texts)
def test_a_cell_comes_back_as_it_was(text: str) -> None:
    assert unguarded(guarded(text)) == text


@given(texts)
def test_a_cell_starts_no_formula(text: str) -> None:
    assert inert(guarded(text)) == guarded(text)


@pytest.mark.parametrize("text", ["=SUM(A1)", "@home", "-wool", "\tboots", "boots", "-5", "o'clock", "'quoted'"])
def test_what_a_review_csv_put_behind_an_apostrophe_comes_back(text: str) -> None:
    assert unguarded(str(inert(text))) == text
