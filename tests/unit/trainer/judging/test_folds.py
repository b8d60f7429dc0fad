import itertools
from dataclasses import dataclass, field, replace

import keras
import numpy as np
import pytest

from models.errors import InputError
from tests.unit.trainer.run_files import Diary, Killed, at, files_of, kill, press_ctrl_c
from trainer.judging.evaluate import judge
from trainer.judging.folds import assign_folds, fit_folds_of_heads, held_photos, train_folds
from trainer.judging.label_errors import find_label_errors
from trainer.learning.training import Predictor, labels_of
from trainer.request import Arch
from trainer.run import EpochFigures, read_history, write_history
from trainer.splits.assigned import group_numbers
from trainer.splits.prepare import Prepared

FOLDS = 3


@dataclass(frozen=True)
class Watched:
    """A store that records the taken names by the number of finished folds."""

    training: object
    taken: dict = field(default_factory=dict)

    @property
    def spec(self):
        return self.training.store.spec

    def take(self, asked):
        done = len(list(self.training.run.path.glob("folds/*/answers.npz")))
        self.taken.setdefault(done, []).append(list(asked))
        return self.training.store.take(asked)


def names(photos):
    return [photo.sha256 for photo in photos]


def held_by_fold(training, count=FOLDS):
    """For each fold, the photos that its network has not learned from."""
    own = assign_folds(training.labels, [photo.group for photo in training.photos], training.args.seed, count)
    return [[photo for photo, fold in zip(training.photos, own, strict=True) if fold == n] for n in range(count)]


def answers(training, number):
    return training.run.fold(number).answers


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("logits", "labels", "known", "groups")
    )


@pytest.mark.rest
def test_each_training_photo_is_predicted_once_by_a_network_that_saw_neither_it_nor_its_group(make_training, diary):
    """After nine epochs (a third of 27) the networks separate noise in three colours."""
    training = make_training(folds=FOLDS, epochs=27)
    watched = Watched(training)
    folds = train_folds(replace(training, store=watched), None, diary)
    assert sorted(names(itertools.chain(*held_by_fold(training)))) == sorted(names(training.photos))
    for number, (fold, held) in enumerate(zip(folds, held_by_fold(training), strict=True)):
        learned = {name for asked in watched.taken[number] if asked != names(held) for name in asked}
        assert names(held) in watched.taken[number]
        assert learned == set(names(training.photos)) - set(names(held))
        assert not {p.group for p in held} & {p.group for p in training.photos if p.sha256 in learned}
        assert fold.groups.tolist() == group_numbers(held).tolist()
        labels = labels_of(held, training.args.classes)
        assert np.array_equal(fold.labels, labels)
        assert fold.logits.shape == (len(labels), 3)
        assert (fold.logits.argmax(axis=1) == labels).mean() > 0.8
        assert fold.known.mean() >= 0.75


def few_features(classes):
    """A network whose features are the means of 16 places in each colour."""
    image = keras.Input((16, 16, 3), name="image")
    features = keras.layers.Flatten(name="features")(keras.layers.AveragePooling2D(4)(image))
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(features))


def test_each_training_photo_is_judged_once_by_a_head_that_saw_neither_it_nor_its_group(make_training, diary):
    """One photo has a wrong label: the head of its own fold has not learned this label."""
    training = make_training(labels=(0, 1, 2) * 16, folds=FOLDS)
    wrong = replace(training.photos[4], label="c")
    training = replace(training, photos=[*training.photos[:4], wrong, *training.photos[5:]])
    folds = fit_folds_of_heads(training, Predictor(few_features(3), training.store), 1.0, diary)
    for number, (fold, held) in enumerate(zip(folds, held_by_fold(training), strict=True), 1):
        assert np.array_equal(fold.labels, labels_of(held, training.args.classes))
        assert fold.groups.tolist() == group_numbers(held).tolist()
        right = fold.logits.argmax(axis=1) == fold.labels
        assert [photo for photo, hit in zip(held, right, strict=True) if not hit] == [wrong] * (wrong in held)
        assert same(fold, type(fold).read(answers(training, number)))
    photos = [photo for held in held_by_fold(training) for photo in held]
    assert sorted(names(photos)) == sorted(names(training.photos))
    assert photos == held_photos(training)


def test_each_photo_passes_the_body_once(make_training, diary):
    """Penalty, head, its folds, both splits, out-of-distribution score and label errors."""
    training = make_training(labels=(0, 1) * 20, held=(0, 1) * 4, folds=FOLDS, cv=True)
    predictor = Predictor(few_features(2), training.store, training.features)
    folds = fit_folds_of_heads(training, predictor, training.fit_head(predictor), diary)
    prepared = Prepared([*training.photos, *training.held], [], training.args.classes, ())
    judged = judge(predictor, training, prepared, folds)
    find_label_errors(predictor, training, judged.out_of_fold)
    taken = list(itertools.chain(*training.store.taken))
    assert sorted(taken) == sorted(names(prepared.photos))


def test_a_fold_leaves_answers_and_figures_without_weights_and_is_reused(make_training, diary):
    training = make_training(folds=2, epochs=3)
    first = train_folds(training, None, diary)
    assert diary.advanced_with == ["Fold 1 of 2", "Fold 2 of 2"]
    for what in diary.advanced_with:
        steps = [(done, total) for name, done, total in diary.advanced if name == what]
        assert steps == [(done, len(steps)) for done in range(1, len(steps) + 1)]
    assert files_of(training.run.path) == {
        f"folds/{n}/{name}" for n in (1, 2) for name in ("answers.npz", "results.csv")
    }
    assert len(read_history(training.run.fold(1).history)) == 1
    again = Diary()
    assert all(map(same, first, train_folds(training, None, again)))
    assert again.advanced == []


@pytest.mark.rest
def test_a_fold_that_was_killed_goes_on_where_it_was(make_training, diary):
    training, moments = make_training(folds=FOLDS, epochs=6), []

    def kill_once(what):
        moments.append(what)
        if moments.count("Fold 2 of 3") == 4:  # in its second epoch of two steps
            kill()

    with pytest.raises(Killed):
        train_folds(training, None, Diary(on_advance=kill_once))
    resumed = train_folds(training, None, diary)
    assert diary.advanced_with == ["Fold 2 of 3", "Fold 3 of 3"]
    assert diary.advanced[0][1] > 1
    elsewhere = replace(training, run=type(training.run)(training.run.path / "unbroken"))
    assert all(map(same, resumed, train_folds(elsewhere, None, diary)))


def test_ctrl_c_gives_none_and_keeps_the_folds_that_are_done(make_training):
    training, diary = make_training(folds=FOLDS, epochs=1), Diary(on_advance=at("Fold 2 of 3", press_ctrl_c))
    assert train_folds(training, None, diary) is None
    assert answers(training, 1).is_file()
    assert not answers(training, 2).exists()
    assert diary.advanced_with == ["Fold 1 of 3", "Fold 2 of 3"]
    assert len(diary.notes) == 1, "that Ctrl-C was pressed is said"


@pytest.mark.rest
def test_cross_validated_networks_train_in_full_or_as_long_as_the_network_did(make_training, diary):
    """Even after the time limit, each is trained for an epoch."""
    training = make_training(epochs=2, cv=True, folds=2)
    training.run.path.mkdir()
    write_history(training.run.history, [EpochFigures(epoch, 1.0, 0.5, 1.0, 0.5, 1e-3) for epoch in (1, 2)])
    limited = training.args.model_copy(update={"epochs": 600, "time_limit_s": 10_000.0})
    folds = train_folds(replace(training, args=limited), None, diary)
    assert [len(read_history(training.run.fold(n).history)) for n in (1, 2)] == [2, 2]
    predicted = np.concatenate([fold.labels for fold in folds])
    assert np.array_equal(labels_of(held_photos(training), training.args.classes), predicted)
    late = replace(training, args=limited, run=type(training.run)(training.run.path / "late"))
    assert len(train_folds(late, 0.0, diary)) == 2


@pytest.mark.rest
def test_a_fold_does_not_begin_with_weights_that_know_its_photos(make_training, diary, tmp_path):
    training = make_training(labels=(0, 1) * 3, held=(0, 1), folds=2, epochs=3)
    known = {"arch": Arch.SIMPLE, "weights": str(tmp_path / "gone.keras")}
    with pytest.raises(InputError, match="gone"):
        train_folds(replace(training, args=training.args.model_copy(update=known)), None, diary)
    known |= {"fold_weights": "none"}
    folds = train_folds(replace(training, args=training.args.model_copy(update=known)), None, diary)
    assert sum(len(fold.labels) for fold in folds) == len(training.photos)
    assert len(read_history(training.run.fold(1).history)) == 5, "a third of the recipe's"


def test_no_fold_holds_back_photos_that_a_model_chose(make_training):
    training = make_training(folds=FOLDS)
    groups = {photo.group for photo in training.photos[::3]}
    photos = [replace(photo, chosen=photo.group in groups) for photo in training.photos]
    held = held_photos(replace(training, photos=photos))
    assert {photo.sha256 for photo in held} == {photo.sha256 for photo in photos if not photo.chosen}
