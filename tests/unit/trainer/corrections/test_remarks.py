import json
from datetime import timedelta
from pathlib import Path

import pytest

from models.errors import InputError
from tests.unit.trainer.corrections.some_votes import BEGIN, PHOTOS, vote
from trainer.corrections.remarks import Remark, RemarkKind
from trainer.corrections.screen import list_corrections
from trainer.corrections.store import CorrectionStore

GOLDEN = f"""\
image,sha256,remark,note,reviewer,model,at
/photos/1.jpg,{PHOTOS[0]},not_a_product,"a price list, '=A1",anna,shop@3,2026-05-01T12:00:00Z
,{PHOTOS[1]},more_than_one,,bob,,2026-05-01T12:01:00Z
,{PHOTOS[2]},,'=who made this?,anna,,2026-05-01T12:02:00Z
"""


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections.csv", now=lambda: BEGIN + timedelta(hours=1))


def remark(
    photo: int = 0, kind: str = "not_a_product", reviewer: str = "anna", minute: float = 0, **more: str
) -> Remark:
    at = BEGIN + timedelta(minutes=minute)
    return Remark(at, reviewer, PHOTOS[photo], more.pop("image", ""), RemarkKind(kind), **more)


def test_the_file_is_a_plain_table_beside_the_corrections(store: CorrectionStore) -> None:
    said = [
        remark(image="/photos/1.jpg", note="a price list, '=A1", model="shop@3"),
        remark(1, "more_than_one", "bob", 1),
        remark(2, "", minute=2, note="=who made this?"),
    ]
    store.remarks.append(said[:1])
    store.remarks.append(said[1:])
    assert store.remarks.path == store.path.with_name("corrections.remarks.csv")
    assert store.remarks.path.read_text() == GOLDEN
    assert list(store.remarks.remarks()) == said


def test_a_remark_is_no_label_and_overrules_its_reviewers_earlier_one(store: CorrectionStore) -> None:
    store.append([vote(0, "boots"), vote(0, "hats", "bob"), vote(1, "boots")])
    store.remarks.append([remark(0, minute=1)])
    assert set(store.votes()) == {vote(0, "hats", "bob"), vote(1, "boots")}
    assert store.standing_remarks() == (remark(0, minute=1),)


def test_a_later_label_of_the_same_reviewer_overrules_a_remark(store: CorrectionStore) -> None:
    store.remarks.append([remark(0), remark(0, reviewer="bob")])
    store.append([vote(0, "boots", minute=1)])
    assert store.votes() == (vote(0, "boots", minute=1),)
    assert store.standing_remarks() == (remark(0, reviewer="bob"),)


def test_a_later_remark_overrules_an_earlier_one_and_a_note_alone_overrules_nothing(store: CorrectionStore) -> None:
    store.append([vote(1, "boots")])
    last = remark(0, "more_than_one", minute=1)
    store.remarks.append([remark(0), last, remark(0, "", minute=2, note="two"), remark(1, "", minute=2, note="worn")])
    assert store.standing_remarks() == (last,)
    assert store.votes() == (vote(1, "boots"),)


def test_a_remark_that_is_dated_in_the_future_overrules_nothing_until_then(store: CorrectionStore) -> None:
    store.append([vote(0, "boots")])
    store.remarks.append([remark(0, minute=3 * 24 * 60)])
    assert store.votes() == (vote(0, "boots"),)
    assert store.standing_remarks() == ()


def test_an_imported_sheet_that_repeats_a_label_ends_the_remark_after_it(store: CorrectionStore) -> None:
    store.append([vote(0, "boots")])
    store.remarks.append([remark(0, minute=1)])
    assert store.add([], [vote(0, "boots", minute=2)]).votes == (vote(0, "boots", minute=2),)
    assert store.standing_remarks() == ()


def test_what_is_rewritten_keeps_the_votes_that_a_remark_overrules(store: CorrectionStore) -> None:
    store.append([vote(0, "boots")])
    store.remarks.append([remark(0, minute=1)])
    store.add([vote(1, "hats")])
    assert store.remarks.withdraw(remark(0, minute=1))
    assert set(store.votes()) == {vote(0, "boots"), vote(1, "hats")}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (f",{PHOTOS[0]},no_shoe,,anna,,2026-05-01", "row 1: expected not_a_product, more_than_one or nothing"),
        (f",{PHOTOS[0]},,,anna,,2026-05-01", "row 1: expected a remark or a note, got neither"),
        (",,not_a_product,,anna,,2026-05-01", "row 1: expected a photo"),
    ],
)
def test_each_bad_row_is_named(store: CorrectionStore, row: str, why: str) -> None:
    store.remarks.path.write_text(f"{GOLDEN.splitlines()[0]}\n{row}\n")
    with pytest.raises(InputError, match=why):
        store.remarks.remarks()


def test_the_list_of_corrections_counts_remarks(store: CorrectionStore, capsys: pytest.CaptureFixture[str]) -> None:
    store = CorrectionStore(store.path)
    store.remarks.append([remark(0), remark(1), remark(2, "more_than_one"), remark(0, "", "bob", note="worn")])
    list_corrections(store, as_json=False)
    told = "Remarks, which are no labels: 2 not a product, 1 more than one (in corrections.remarks.csv)"
    assert told in capsys.readouterr().out
    list_corrections(store, as_json=True)
    assert [one["note"] for one in json.loads(capsys.readouterr().out)["remarks"]] == ["", "", "", "worn"]
