from dataclasses import replace

import numpy as np

from trainer.judging.label_errors import label_issues_of


def test_a_photo_under_the_label_of_another_is_doubted_in_training_and_in_what_is_held_back(
    make_training, logits_network
):
    training = make_training(labels=(0, 1) * 12, held=(0, 1) * 4)
    wrong, also_wrong = replace(training.photos[4], label="b"), replace(training.held[1], label="a")
    training = replace(
        training,
        photos=[*training.photos[:4], wrong, *training.photos[5:]],
        held=[training.held[0], also_wrong, *training.held[2:]],
    )
    found = label_issues_of(logits_network(), training)
    assert {issue.photo.sha256: (issue.given, issue.suggested) for issue in found} == {
        wrong.sha256: ("b", "a"),
        also_wrong.sha256: ("a", "b"),
    }


def test_what_is_labelled_right_is_not_doubted(make_training, logits_network):
    assert label_issues_of(logits_network(), make_training(labels=(0, 1) * 12, held=(0, 1) * 4)) == []


def test_who_is_right_about_few_labels_doubts_none(make_training, logits_network):
    training = make_training(labels=(0, 1) * 12, held=(0, 1) * 4)
    random = np.random.default_rng(0)
    photos = [replace(photo, label="abcde"[random.integers(5)]) for photo in training.photos]
    args = training.args.model_copy(update={"classes": tuple("abcde")})
    assert label_issues_of(logits_network(), replace(training, args=args, photos=photos, held=[])) == []
