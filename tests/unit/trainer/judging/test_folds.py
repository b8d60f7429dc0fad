import itertools
import signal
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from models.errors import InputError
from trainer.judging.folds import choose_folds, share_of_main, train_folds
from trainer.learning.training import labels_of
from trainer.request import Arch
from trainer.run import read_history

FOLDS = 3


@dataclass
class Told:
    """What is told of the folds' progress; something may be done then."""

    then: object = None
    lines: list = field(default_factory=list)

    def __call__(self, what, done, total):
        self.lines.append((what, done, total))
        if self.then:
            self.then(what)

    @property
    def folds(self):
        return list(dict.fromkeys(what for what, _, _ in self.lines))


@dataclass(frozen=True)
class Watched:
    """A store that writes down what is taken while so many folds are done."""

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


def answers(training, number):
    return training.run.fold(number).answers


def all_names(folds):
    return sorted(itertools.chain.from_iterable(names(fold.photos) for fold in folds))


def test_each_training_photo_is_predicted_once_by_a_network_that_saw_neither_it_nor_its_group(make_training):
    training = make_training(epochs=1)
    watched = Watched(training)
    folds = train_folds(replace(training, store=watched), FOLDS, None, Told())
    assert all_names(folds) == sorted(names(training.photos))
    for number, fold in enumerate(folds):
        held = names(fold.photos)
        learned = {name for asked in watched.taken[number] if asked != held for name in asked}
        assert held in watched.taken[number]
        assert learned == set(names(training.photos)) - set(held)
        assert not {p.group for p in fold.photos} & {p.group for p in training.photos if p.sha256 in learned}


def test_what_a_fold_says_is_of_its_photos_in_their_order(make_training):
    training = make_training(epochs=36)
    folds = train_folds(training, FOLDS, None, Told())
    assert len(folds) == FOLDS
    for fold in folds:
        labels = labels_of(fold.photos, training.args.classes)
        assert np.array_equal(fold.predictions.labels, labels)
        assert fold.predictions.logits.shape == (len(labels), 3)
        assert (fold.predictions.logits.argmax(axis=1) == labels).mean() > 0.8
        assert fold.predictions.known.mean() >= 0.75


def test_progress_is_told_fold_by_fold_up_to_its_end(make_training):
    told = Told()
    train_folds(make_training(), FOLDS, None, told)
    assert told.folds == ["Fold 1 of 3", "Fold 2 of 3", "Fold 3 of 3"]
    for what in told.folds:
        steps = [(done, total) for name, done, total in told.lines if name == what]
        assert steps == [(done, len(steps)) for done in range(1, len(steps) + 1)]


def test_a_fold_leaves_its_answers_and_figures_and_no_weights(make_training):
    training = make_training(epochs=9)
    train_folds(training, 2, None, Told())
    files = {path.relative_to(training.run.path).as_posix() for path in training.run.path.rglob("*") if path.is_file()}
    assert files == {f"folds/{n}/{name}" for n in (1, 2) for name in ("answers.npz", "results.csv")}
    assert len(read_history(training.run.fold(1).history)) == 3


def test_folds_that_were_trained_before_are_taken_from_disk(make_training):
    training = make_training(epochs=1)
    first = train_folds(training, FOLDS, None, Told())
    told = Told()
    again = train_folds(training, FOLDS, None, told)
    assert told.lines == []
    for one, other in zip(first, again, strict=True):
        assert names(one.photos) == names(other.photos)
        for name in ("logits", "labels", "known"):
            assert np.array_equal(getattr(one.predictions, name), getattr(other.predictions, name))


def test_a_fold_that_was_killed_goes_on_where_it_was(make_training, killed):
    training = make_training(epochs=9)
    moments = []

    def kill(what):
        moments.append(what)
        if moments.count("Fold 2 of 3") == 4:  # in its second epoch of two steps
            raise killed

    with pytest.raises(killed):
        train_folds(training, FOLDS, None, Told(kill))
    told = Told()
    resumed = train_folds(training, FOLDS, None, told)
    assert told.folds == ["Fold 2 of 3", "Fold 3 of 3"]
    assert told.lines[0][1] > 1
    elsewhere = replace(training, run=type(training.run)(training.run.path / "unbroken"))
    unbroken = train_folds(elsewhere, FOLDS, None, Told())
    for one, other in zip(resumed, unbroken, strict=True):
        assert np.array_equal(one.predictions.logits, other.predictions.logits)


def test_ctrl_c_gives_none_and_keeps_the_folds_that_are_done(make_training):
    training = make_training(epochs=1)
    told = Told(lambda what: what == "Fold 2 of 3" and signal.raise_signal(signal.SIGINT))
    assert train_folds(training, FOLDS, None, told) is None
    assert answers(training, 1).is_file()
    assert not answers(training, 2).exists()
    assert told.folds == ["Fold 1 of 3", "Fold 2 of 3"]


@pytest.mark.parametrize("keep", [0, 50, -10])
def test_damaged_answers_are_refused_in_words(make_training, keep):
    training = make_training(epochs=1)
    train_folds(training, 2, None, Told())
    path = answers(training, 1)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"Expected what a fold's network said in .*answers\.npz, it is damaged"):
        train_folds(training, 2, None, Told())


def test_there_are_no_more_folds_than_groups(make_training):
    training, told = make_training(labels=(0, 0, 1, 1), held=(0, 1), epochs=1), Told()
    groups = {photo.group for photo in training.photos}
    folds = train_folds(training, 10, None, told)
    assert len(folds) == len(groups) < 10
    assert all_names(folds) == sorted(names(training.photos))
    assert told.folds == [f"Fold {n} of {len(folds)}" for n in range(1, len(folds) + 1)]


@pytest.mark.parametrize(("folds", "share"), [(0, 1), (2, 3 / 4), (4, 1 / 2), (10, 1 / 4)])
def test_a_network_beside_folds_has_the_share_of_time_that_it_takes(folds, share):
    """Each of k folds learns from (k - 1) / k of the photos, for a third of the epochs."""
    assert share_of_main(folds) == pytest.approx(share)


@pytest.mark.parametrize(
    ("held", "learned", "epochs", "folds"),
    [
        (341, 3066, 70, 2),
        (1499, 9000, 12, 2),
        (1500, 9000, 70, 0),
        (50_000, 400_000, 70, 0),
        (60, 50, 70, 0),
        (341, 3066, 11, 0),
    ],
)
def test_there_are_folds_where_validation_is_small_and_training_gives_more(held, learned, epochs, folds):
    assert choose_folds(held, learned, epochs) == folds


@pytest.mark.parametrize(("epochs", "fewer"), [(1, 1), (3, 1), (60, 20)])
def test_a_fold_learns_for_a_third_of_the_epochs(make_training, epochs, fewer):
    training = make_training(labels=(0, 1) * 3, held=(0, 1), epochs=epochs, patience=99)
    train_folds(training, 2, None, Told())
    assert len(read_history(training.run.fold(1).history)) == fewer


def test_a_fold_does_not_begin_with_weights_that_know_its_photos(make_training, tmp_path):
    training = make_training(labels=(0, 1) * 3, held=(0, 1), epochs=3, patience=99)
    known = {"arch": Arch.SIMPLE, "weights": str(tmp_path / "gone.keras")}
    with pytest.raises(InputError, match="gone"):
        train_folds(replace(training, args=training.args.model_copy(update=known)), 2, None, Told())
    known |= {"fold_weights": "none"}
    folds = train_folds(replace(training, args=training.args.model_copy(update=known)), 2, None, Told())
    assert all_names(folds) == sorted(names(training.photos))
    assert len(read_history(training.run.fold(1).history)) == 5, "a third of the recipe's"


def test_a_deadline_that_has_passed_leaves_an_epoch_a_fold(make_training):
    training = make_training(epochs=50)
    assert len(train_folds(training, 2, 0.0, Told())) == 2
    assert [len(read_history(training.run.fold(n).history)) for n in (1, 2)] == [1, 1]
