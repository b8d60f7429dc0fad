from dataclasses import replace

import numpy as np

from trainer.judging.label_errors import doubted_labels


def test_a_photo_under_the_label_of_another_is_doubted_in_training_and_in_what_is_held_back(
    make_lesson, logits_network
):
    lesson = make_lesson(labels=(0, 1) * 12, held=(0, 1) * 4)
    wrong, also_wrong = replace(lesson.photos[4], label="b"), replace(lesson.held[1], label="a")
    lesson = replace(
        lesson,
        photos=[*lesson.photos[:4], wrong, *lesson.photos[5:]],
        held=[lesson.held[0], also_wrong, *lesson.held[2:]],
    )
    found = doubted_labels(logits_network(), lesson)
    assert {issue.photo.sha256: (issue.given, issue.suggested) for issue in found} == {
        wrong.sha256: ("b", "a"),
        also_wrong.sha256: ("a", "b"),
    }


def test_what_is_labelled_right_is_not_doubted(make_lesson, logits_network):
    assert doubted_labels(logits_network(), make_lesson(labels=(0, 1) * 12, held=(0, 1) * 4)) == []


def test_who_is_right_about_few_labels_doubts_none(make_lesson, logits_network):
    lesson = make_lesson(labels=(0, 1) * 12, held=(0, 1) * 4)
    random = np.random.default_rng(0)
    photos = [replace(photo, label="abcde"[random.integers(5)]) for photo in lesson.photos]
    args = lesson.args.model_copy(update={"classes": tuple("abcde")})
    assert doubted_labels(logits_network(), replace(lesson, args=args, photos=photos, held=[])) == []
