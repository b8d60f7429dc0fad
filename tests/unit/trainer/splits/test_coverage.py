from pathlib import Path

import pytest

from models.errors import DataError
from trainer.data.dataset import Exclusion, Split
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.set_aside import keep_trained

TRAIN, VAL, TEST = Split


def photos_of(classes):
    """Photos of {label: splits}, each a group of its own."""
    return [
        AssignedPhoto(Path(f"{label}{i}"), label, split, f"{label}{i}", f"{label}{i}")
        for label, splits in classes.items()
        for i, split in enumerate(splits)
    ]


WHOLE = {"hat": list(Split), "vase": list(Split)}


def test_classes_that_are_in_every_split_are_nothing_to_speak_of():
    photos = photos_of(WHOLE)
    covered = keep_trained(photos)
    assert (covered.photos, covered.set_aside, covered.notes) == (photos, [], ())


def test_a_class_without_training_photos_is_set_aside_and_said():
    photos = photos_of({**WHOLE, "lamp": [TEST, VAL]})
    covered = keep_trained(photos)
    assert covered.photos == photos[:6]
    assert covered.set_aside == [
        Exclusion(Path(f"lamp{i}"), "class_not_trained", "No photo of lamp is for training") for i in range(2)
    ]
    assert covered.notes == ("lamp is not learned: none of its 2 photos is for training",)


def test_photos_that_are_not_present_train_no_class_and_are_no_loss():
    absent = AssignedPhoto(Path("lamp"), "lamp", TRAIN, "1", "g", present=False)
    tested = AssignedPhoto(Path("lamp2"), "lamp", TEST, "2", "h")
    covered = keep_trained([*photos_of(WHOLE), absent, tested], {"g", "h"})
    assert [(str(p.path), p.present) for p in covered.photos[6:]] == [("lamp", False), ("lamp2", False)]
    assert [e.path for e in covered.set_aside] == [Path("lamp2")]
    assert keep_trained([*photos_of(WHOLE), absent]).notes == ()


def test_a_validation_photo_that_is_not_present_validates_nothing():
    absent = AssignedPhoto(Path("hat"), "hat", VAL, "1", "g", present=False)
    with pytest.raises(DataError, match="Expected validation photos, found none"):
        keep_trained([*photos_of({"hat": [TRAIN], "vase": [TRAIN]}), absent])


@pytest.mark.parametrize(
    ("photos", "notes"),
    [
        (photos_of({"lamp": [TRAIN]}), ["it has one photo"] * 2),
        (photos_of({"lamp": [TRAIN, VAL]}), [None, "it has two photos"]),
        (photos_of({"lamp": [TRAIN] * 5}), ["its 5 photos are in other splits"] * 2),
        (
            [AssignedPhoto(Path(f"{i}"), "lamp", TRAIN, f"{i}", "g") for i in range(3)],
            ["its 3 photos show one picture or product"] * 2,
        ),
        (
            [AssignedPhoto(Path(f"{i}"), "lamp", [TRAIN, TRAIN, VAL][i], f"{i}", "gh"[i // 2]) for i in range(3)],
            [None, "its 3 photos show two pictures or products"],
        ),
    ],
)
def test_a_class_that_a_split_lacks_is_said_with_the_reason(photos, notes):
    words = zip(("validation", "test"), notes, strict=True)
    assert keep_trained([*photos_of(WHOLE), *photos]).notes == tuple(
        f"no {word} photos of lamp: {note}" for word, note in words if note
    )


def test_many_classes_that_a_split_lacks_share_a_line():
    small = {f"c{i}": [TRAIN, VAL] for i in range(5)}
    assert keep_trained(photos_of({**WHOLE, **small})).notes == ("no test photos of 5 classes: c0, c1, c2 and 2 more",)


def test_a_split_without_any_photo_is_one_line():
    assert keep_trained(photos_of({"hat": [TRAIN, VAL], "vase": [TRAIN]})).notes == (
        "no validation photos of vase: it has one photo",
        "no test photos of any class",
    )


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "at least two classes, found none; add training photos"),
        ({"hat": Split}, "at least two classes, found of hat only; add training photos"),
        ({"hat": Split, "vase": [TEST]}, "found of hat only; add training photos of vase"),
        ({"hat": [TRAIN], "vase": [TRAIN, TEST]}, "validation photos, found none and none to spare: .*hat, vase"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_refused_with_what_to_do(classes, message):
    with pytest.raises(DataError, match=message):
        keep_trained(photos_of(classes))
