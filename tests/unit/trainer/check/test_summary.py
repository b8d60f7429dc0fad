import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from trainer.check.check_reports import Summary
from trainer.check.checkup import Faulty, find
from trainer.check.issues import Issue
from trainer.data.dataset import LabeledPhoto
from trainer.data.photo_files import FaultKind, PhotoFault

GOLDEN = Path(__file__).with_name("check.json")
LATIN_1 = os.fsdecode(b"b\xe9ret")


@pytest.fixture
def summed():
    def of(checkup):
        return Summary.of(checkup, find(checkup), Path("/shop"), 1.23456)

    return of


@pytest.fixture
def summary(summed, checkup):
    return summed(checkup)


def test_the_format_on_disk_is_this_one(summary):
    """Whoever changes it raises ``schema_version``: scripts read this file."""
    assert summary.model_dump_json(indent=1) + "\n" == GOLDEN.read_text()


def test_what_is_on_disk_can_be_read(summary):
    assert Summary.model_validate_json(GOLDEN.read_text()) == summary


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"more": 1}, {"images": "many"}])
def test_what_is_no_summary_is_refused(change):
    with pytest.raises(ValidationError):
        Summary.model_validate({**json.loads(GOLDEN.read_text()), **change})


def test_every_issue_is_counted_found_or_not(summary):
    assert set(summary.issues) == set(Issue)
    assert summary.issues["light"] == 0


def test_photos_and_files_are_counted(summary):
    assert (summary.images, summary.usable, len(summary.ignored), len(summary.bad_files)) == (12, 8, 1, 4)
    assert summary.classes == {"hat": 4, "scarf": 0, "shoe": 4}
    assert summary.splits == {"train": 4, "test": 2, "val": 1}


def test_what_strict_does_not_let_pass(summary, summed, checkup):
    assert summary.strict_faults == {
        "missing": 1,
        "truncated": 1,
        "unsupported": 1,
        "label_conflict": 2,
        "leak": 3,
    }
    sound = replace(
        checkup,
        looked=replace(checkup.looked, faulty=()),
        relations=replace(checkup.relations, conflicts=(), leaks=()),
    )
    assert summed(sound).strict_faults == {}


def test_names_that_are_no_utf8_can_be_written_as_json(summed, checkup):
    first, *others = checkup.looked.photos
    odd = LabeledPhoto(Path("/shop", LATIN_1, f"{LATIN_1}.png"), LATIN_1, first.split)
    gone = PhotoFault(FaultKind.MISSING, f"Nothing at {odd.path}.")
    named = replace(
        checkup,
        dataset=replace(checkup.dataset, classes=(LATIN_1, "shoe")),
        looked=replace(checkup.looked, photos=(odd, *others), faulty=(Faulty(odd, gone),)),
        judgement=replace(checkup.judgement, properties={LATIN_1: {Issue.LIGHT: 0.9}}),
        guesses=(replace(checkup.guesses[0], pair=(LATIN_1, "shoe")),),
    )
    found = Summary.of(named, find(named), odd.path.parent, 1.0)
    read = json.loads(found.model_dump_json().encode())
    assert read["data"] == r"/shop/b\xe9ret"
    assert read["bad_files"][0]["image"] == r"/shop/b\xe9ret/b\xe9ret.png"
    assert read["bad_files"][0]["message"] == r"Nothing at /shop/b\xe9ret/b\xe9ret.png."
    assert read["classes"] == {r"b\xe9ret": 1, "shoe": 4, "hat": 3}
    assert read["properties"] == {r"b\xe9ret": {"light": 0.9}}
    assert read["shortcuts"][0]["pair"] == [r"b\xe9ret", "shoe"]
    assert Summary.model_validate(read) == found


def test_names_in_any_script_stay_as_they_are(summed, checkup):
    first, *others = checkup.looked.photos
    named = replace(checkup, looked=replace(checkup.looked, photos=(replace(first, label="帽子 é"), *others)))
    assert summed(named).exact_duplicates[0][0].label == "帽子 é"
