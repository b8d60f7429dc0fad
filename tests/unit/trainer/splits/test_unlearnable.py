from pathlib import Path

import numpy as np
import pytest

from trainer.check.relations import Relations
from trainer.data.dataset import Split
from trainer.splits.assigned import Applicant
from trainer.splits.set_aside import find_unlearnable

TRAIN, VAL, TEST = Split
GROUP = ((0, 1, 2),)


def applicants(*wanted):
    return [
        Applicant(Path(f"{place}.jpg"), label, str(place), split=split, present=present)
        for place, (label, split, present) in enumerate(wanted)
    ]


def unlearnable(photos, *, conflicts=(), placeholders=()):
    alone = np.arange(len(photos))
    return find_unlearnable(photos, Relations((), (), alone, alone, placeholders, conflicts, ()))


@pytest.mark.parametrize(
    ("labels_and_splits", "going", "kept"),
    [
        ([("hat", None), ("vase", None), ("hat", None)], {0, 1, 2}, 0),
        ([("hat", TRAIN), ("vase", None), ("hat", None)], {1}, 0),
        ([("hat", TEST), ("vase", None), ("vase", None)], {1, 2}, 0),
        ([("hat", TRAIN), ("vase", TRAIN), ("hat", TRAIN)], {0, 1, 2}, 0),
        ([("hat", TRAIN), ("vase", TEST), ("vase", None)], {0, 2}, 0),
        ([("hat", TEST), ("vase", VAL), ("hat", TRAIN)], {2}, 2),
        ([("hat", TEST), ("hat", VAL), ("vase", TRAIN)], {2}, 0),
    ],
)
def test_who_goes_of_one_picture_under_two_labels(labels_and_splits, going, kept):
    found = unlearnable(applicants(*((*pair, True) for pair in labels_and_splits)), conflicts=GROUP)
    assert set(found.excluded) == going
    assert found.kept == kept


def test_the_message_names_the_other_photo_and_its_label():
    found = unlearnable(applicants(("hat", None, True), ("vase", None, True)), conflicts=((0, 1),))
    assert found.excluded[0].reason == "label_conflict"
    assert found.excluded[0].message == "The same picture is hat here and vase at 1.jpg; remove the wrong one."


def test_a_photo_that_is_gone_is_no_party_to_a_conflict():
    photos = applicants(("hat", TRAIN, False), ("vase", None, True), ("vase", None, True))
    assert unlearnable(photos, conflicts=GROUP).excluded == {}


def test_placeholders_under_several_labels_go_wherever_they_are():
    photos = applicants(("hat", TEST, True), ("vase", TRAIN, True), *[("hat", None, True)] * 8)
    found = unlearnable(photos, placeholders=(tuple(range(10)),))
    assert {place: exclusion.reason for place, exclusion in found.excluded.items()} == dict.fromkeys(
        range(10), "placeholder"
    )


def test_a_placeholder_of_which_two_photos_are_left_is_a_conflict():
    photos = applicants(*[("hat", None, False)] * 8, ("hat", None, True), ("vase", None, True))
    found = unlearnable(photos, placeholders=(tuple(range(10)),))
    assert {place: exclusion.reason for place, exclusion in found.excluded.items()} == dict.fromkeys(
        (8, 9), "label_conflict"
    )


def test_copies_of_one_picture_under_one_label_may_be_learned_from():
    assert unlearnable(applicants(*[("hat", None, True)] * 3), placeholders=GROUP).excluded == {}
