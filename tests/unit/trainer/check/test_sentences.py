from dataclasses import replace
from pathlib import Path

import pytest

from trainer.check.check_reports import (
    MEANINGS,
    doubt_sentences,
    leak_sentences,
    property_sentences,
    shortcut_sentences,
)
from trainer.check.checkup import Looked
from trainer.check.issues import Issue, Judgement
from trainer.check.relations import Leak, LeakKind
from trainer.data.dataset import LabeledPhoto, Split


def test_every_issue_has_a_meaning():
    assert set(MEANINGS) == set(Issue)
    assert all(meaning.strip(". ") == meaning for meaning in MEANINGS.values())
    assert len(set(MEANINGS.values())) == len(Issue)


def test_what_a_training_would_refuse_or_could_not_do(checkup):
    assert doubt_sentences(checkup) == [
        "no usable photo of scarf: a model will not know it",
        "1 of 8 photos has no split: hangtag train wants one for all or for none",
    ]


def test_products_under_several_labels_are_counted(checkup):
    photos = [LabeledPhoto(Path(f"{n}.jpg"), ("hat", "shoe")[n % 2], None, f"sku{n // 2}") for n in range(6)]
    photos += [LabeledPhoto(Path("x.jpg"), "hat", None, "sku9"), LabeledPhoto(Path("y.jpg"), "hat", None, "sku9")]
    looked = Looked(tuple(photos), ("",) * 8, ())
    disputed = replace(checkup, looked=looked, dataset=replace(checkup.dataset, classes=("hat", "shoe")))
    assert doubt_sentences(disputed) == ["3 products (column group) stand under several labels, such as sku0"]


def test_classes_of_one_photo_are_named_and_the_many_are_counted(checkup):
    names = tuple(f"c{number:02}" for number in range(12))
    looked = Looked(tuple(LabeledPhoto(Path(f"{name}.jpg"), name) for name in names), ("",) * 12, ())
    alone = replace(checkup, looked=looked, dataset=replace(checkup.dataset, classes=names))
    assert doubt_sentences(alone) == [
        f"one photo only of {', '.join(names[:10])} and 2 more: it can be trained on, and not tested"
    ]


@pytest.fixture
def leaking(checkup):
    """What is said of so many photos in each split, of which some leak: (split, kind, split of the twin)."""

    def of(sizes, *leaks):
        photos = [LabeledPhoto(Path("a.jpg"), "hat", split) for split, size in sizes.items() for _ in range(size)]
        firsts = {split: next(p for p, one in enumerate(photos) if one.split is split) for split in sizes}
        taken = dict(firsts)
        found = []
        for split, kind, twin in leaks:
            found.append(Leak(taken[split], firsts[twin], kind))
            taken[split] += 1
        looked = Looked(tuple(photos), ("",) * len(photos), ())
        return leak_sentences(replace(checkup, looked=looked, relations=replace(checkup.relations, leaks=tuple(found))))

    return of


TRAIN, VAL, TEST = Split.TRAIN, Split.VAL, Split.TEST


def test_the_sentence_of_the_issue(leaking):
    exact, near = [(TEST, LeakKind.EXACT, TRAIN)] * 12, [(TEST, LeakKind.NEAR, TRAIN)] * 31
    assert leaking({TRAIN: 10, TEST: 478}, *exact, *near) == [
        "12 exact and 31 near leaks: 9% of your test images were seen in training"
    ]


def test_one_leak_is_no_plural(leaking):
    assert leaking({TRAIN: 4, TEST: 4}, (TEST, LeakKind.EXACT, TRAIN)) == [
        "1 exact leak: 25% of your test images were seen in training"
    ]


def test_all_kinds_splits_and_sources(leaking):
    said = leaking(
        {TRAIN: 10, VAL: 10, TEST: 4},
        (TEST, LeakKind.PRODUCT, VAL),
        (TEST, LeakKind.EXACT, TRAIN),
        (TEST, LeakKind.NEAR, TRAIN),
        (VAL, LeakKind.NEAR, TRAIN),
        (VAL, LeakKind.NEAR, TRAIN),
    )
    assert said == [
        "1 exact and 1 near leaks: 50% of your test images were seen in training; "
        "1 test image shows a product of which other photos are in validation",
        "2 near leaks: 20% of your validation images were seen in training",
    ]


def test_a_thousand_has_a_comma(leaking):
    leaks = [(TEST, LeakKind.EXACT, TRAIN)] * 1234
    assert leaking({TRAIN: 1, TEST: 1234}, *leaks) == [
        "1,234 exact leaks: 100% of your test images were seen in training"
    ]


@pytest.mark.parametrize(
    ("leaks", "size", "share"),
    [
        (1, 3, "33%"),
        (1, 100, "1%"),
        (1, 150, "0.7%"),
        (1, 1000, "0.1%"),
        (1, 1001, "less than 0.1%"),
        (99, 100, "99%"),
        (299, 300, "more than 99%"),
        (300, 300, "100%"),
    ],
)
def test_a_share_is_never_rounded_to_none_or_to_all(leaking, leaks, size, share):
    (said,) = leaking({TRAIN: 1, TEST: size}, *[(TEST, LeakKind.EXACT, TRAIN)] * leaks)
    assert f": {share} of your test images" in said


def test_without_leaks_nothing_is_said(leaking):
    assert leaking({TRAIN: 3, TEST: 3}) == []


def test_properties(checkup):
    properties = {"shirt": {Issue.LIGHT: 0.9734, Issue.GREY: 0.61}, "mug": {Issue.EXIF_ROTATED: 1.0}}
    judged = replace(checkup, judgement=Judgement({}, {}, properties))
    assert property_sentences(judged) == ["shirt: light (97%), grey (61%)", "mug: exif_rotated (100%)"]


def test_only_shortcuts_are_said(checkup):
    assert shortcut_sentences(checkup) == ["width alone tells hat from shoe: 0.93 against 0.58"]
