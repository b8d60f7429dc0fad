import itertools
import time
from dataclasses import dataclass, field, replace

import keras
import numpy as np
import pytest

from models.arrays import write_arrays
from models.errors import InputError
from models.photo import NONE
from tests.charts import draw_charts
from tests.unit.trainer.run_files import Diary, Killed, at, files_of, kill, press_ctrl_c
from trainer.data.dataset import LabeledPhoto, Split
from trainer.data.photo_cache import PixelStore
from trainer.judging.figures import outlier_figures
from trainer.judging.folds import (
    assign_folds,
    choose_folds,
    deadline_of_main,
    fewest_epochs,
    held_out,
    held_photos,
    is_cross_validated,
    train_folds,
)
from trainer.learning.predictions import predict
from trainer.learning.recipe import recipe_for
from trainer.learning.training import Training, labels_of, new_network
from trainer.request import Arch
from trainer.run import read_history
from trainer.splits.assigned import AssignedPhoto, group_numbers, read_splits
from trainer.splits.prepare import decode_all, restore

FOLDS = 3


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


def held_by_fold(training, count=FOLDS):
    """Of each fold, the photos that its network has not learned from."""
    own = assign_folds(training.labels, [photo.group for photo in training.photos], training.args.seed, count)
    return [[photo for photo, fold in zip(training.photos, own, strict=True) if fold == n] for n in range(count)]


def answers(training, number):
    return training.run.fold(number).answers


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("logits", "labels", "known", "groups")
    )


def test_each_training_photo_is_predicted_once_by_a_network_that_saw_neither_it_nor_its_group(make_training, diary):
    training = make_training(epochs=1)
    watched = Watched(training)
    folds = train_folds(replace(training, store=watched), FOLDS, None, diary.advance)
    assert len(folds) == FOLDS
    assert sorted(names(itertools.chain(*held_by_fold(training)))) == sorted(names(training.photos))
    for number, held in enumerate(held_by_fold(training)):
        learned = {name for asked in watched.taken[number] if asked != names(held) for name in asked}
        assert names(held) in watched.taken[number]
        assert learned == set(names(training.photos)) - set(names(held))
        assert not {p.group for p in held} & {p.group for p in training.photos if p.sha256 in learned}
        assert folds[number].groups.tolist() == group_numbers(held).tolist()


def test_what_a_fold_says_is_of_its_photos_in_their_order(make_training, diary):
    training = make_training(epochs=36)
    folds = train_folds(training, FOLDS, None, diary.advance)
    for fold, photos in zip(folds, held_by_fold(training), strict=True):
        labels = labels_of(photos, training.args.classes)
        assert np.array_equal(fold.labels, labels)
        assert fold.logits.shape == (len(labels), 3)
        assert (fold.logits.argmax(axis=1) == labels).mean() > 0.8
        assert fold.known.mean() >= 0.75


def test_a_fold_leaves_its_answers_and_figures_and_no_weights_and_is_taken_from_disk_again(make_training, diary):
    training = make_training(epochs=9)
    first = train_folds(training, 2, None, diary.advance)
    assert diary.advanced_with == ["Fold 1 of 2", "Fold 2 of 2"]
    for what in diary.advanced_with:
        steps = [(done, total) for name, done, total in diary.advanced if name == what]
        assert steps == [(done, len(steps)) for done in range(1, len(steps) + 1)]
    assert files_of(training.run.path) == {
        f"folds/{n}/{name}" for n in (1, 2) for name in ("answers.npz", "results.csv")
    }
    assert len(read_history(training.run.fold(1).history)) == 3
    again = Diary()
    assert all(map(same, first, train_folds(training, 2, None, again.advance)))
    assert again.advanced == []


def test_a_fold_that_was_killed_goes_on_where_it_was(make_training, diary):
    training, moments = make_training(epochs=9), []

    def kill_once(what):
        moments.append(what)
        if moments.count("Fold 2 of 3") == 4:  # in its second epoch of two steps
            kill()

    with pytest.raises(Killed):
        train_folds(training, FOLDS, None, Diary(on_advance=kill_once).advance)
    resumed = train_folds(training, FOLDS, None, diary.advance)
    assert diary.advanced_with == ["Fold 2 of 3", "Fold 3 of 3"]
    assert diary.advanced[0][1] > 1
    elsewhere = replace(training, run=type(training.run)(training.run.path / "unbroken"))
    assert all(map(same, resumed, train_folds(elsewhere, FOLDS, None, diary.advance)))


def test_ctrl_c_gives_none_and_keeps_the_folds_that_are_done(make_training):
    training, diary = make_training(epochs=1), Diary(on_advance=at("Fold 2 of 3", press_ctrl_c))
    assert train_folds(training, FOLDS, None, diary.advance) is None
    assert answers(training, 1).is_file()
    assert not answers(training, 2).exists()
    assert diary.advanced_with == ["Fold 1 of 3", "Fold 2 of 3"]


def test_ctrl_c_in_a_fold_is_acknowledged(make_training):
    training, diary = make_training(epochs=1), Diary(on_advance=at("Fold 1 of 3", press_ctrl_c))
    train_folds(training, FOLDS, None, diary.advance, note=diary.note)
    assert diary.notes == ["Stopping; the running epoch is not kept. Press Ctrl-C again to quit without a report."]


@pytest.mark.parametrize("seconds", [-1.0, 5.0])
def test_folds_are_given_up_where_their_time_is_over_or_allows_too_few_epochs(make_training, diary, seconds):
    """A network of 10,000 epochs has a half of them at least, and of that a fold without cross-validation a third."""
    training = make_training(epochs=100_000)
    assert train_folds(training, FOLDS, time.monotonic() + seconds, diary.advance, fewest=10_000) == []
    assert not list(training.run.path.glob("folds/*/answers.npz"))


def test_a_network_gets_half_of_what_suits_it_before_its_folds_get_any(make_training):
    assert fewest_epochs(make_training(epochs=5)) == 5
    long = make_training(epochs=500)
    suits = recipe_for(long.args.arch, pretrained=False).epochs_of(len(long.photos), long.args.batch)
    assert fewest_epochs(long) == max(12, suits // 2)


@pytest.mark.parametrize("keep", [0, 50, -10])
def test_damaged_answers_are_refused_in_words(make_training, diary, keep):
    training = make_training()
    place = answers(training, 1)
    write_arrays(place, logits=np.zeros((9, 3), np.float32), labels=np.zeros(9, np.intp), known=np.ones(9, np.bool_))
    place.write_bytes(place.read_bytes()[:keep])
    with pytest.raises(
        InputError, match=r"Expected the predictions of a fold's network in .*answers\.npz, it is damaged"
    ):
        train_folds(training, 2, None, diary.advance)


def test_there_are_no_more_folds_than_groups(make_training, diary):
    training = make_training(labels=(0, 0, 1, 1), held=(0, 1), epochs=1)
    folds = train_folds(training, 10, None, diary.advance)
    assert len(folds) == len({photo.group for photo in training.photos}) < 10
    assert sum(len(fold.labels) for fold in folds) == len(training.photos)
    assert diary.advanced_with == [f"Fold {n} of {len(folds)}" for n in range(1, len(folds) + 1)]


@pytest.mark.parametrize(
    ("folds", "cv", "share"),
    [(0, False, 1), (2, False, 3 / 4), (4, False, 1 / 2), (10, False, 1 / 4), (5, True, 1 / 5)],
)
def test_a_network_beside_folds_has_the_share_of_time_that_it_takes(make_training, folds, cv, share):
    """Each of k folds learns from (k - 1) / k of the photos, for a third of the epochs, or for all."""
    args = make_training(folds=folds, cv=cv).args
    begin = time.monotonic()
    assert deadline_of_main(args, begin + 1000) == pytest.approx(begin + 1000 * share, abs=5)
    assert deadline_of_main(args, None) is None


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


@pytest.mark.parametrize(
    ("photos", "epochs", "expected"), [(300, 12, True), (1_499, 12, True), (1_500, 70, False), (300, 11, False)]
)
def test_few_photos_are_cross_validated_where_the_training_is_a_real_one(photos, epochs, expected):
    assert is_cross_validated(photos, epochs) is expected


def test_cross_validated_networks_are_trained_in_full(make_training, diary):
    training = make_training(epochs=3, patience=99, cv=True, folds=2)
    folds = train_folds(training, 2, None, diary.advance)
    assert [len(read_history(training.run.fold(n).history)) for n in (1, 2)] == [3, 3]
    predicted = np.concatenate([fold.labels for fold in folds])
    assert np.array_equal(labels_of(held_photos(training), training.args.classes), predicted)


def test_a_fold_does_not_begin_with_weights_that_know_its_photos(make_training, diary, tmp_path):
    training = make_training(labels=(0, 1) * 3, held=(0, 1), epochs=3, patience=99)
    known = {"arch": Arch.SIMPLE, "weights": str(tmp_path / "gone.keras")}
    with pytest.raises(InputError, match="gone"):
        train_folds(replace(training, args=training.args.model_copy(update=known)), 2, None, diary.advance)
    known |= {"fold_weights": "none"}
    folds = train_folds(replace(training, args=training.args.model_copy(update=known)), 2, None, diary.advance)
    assert sum(len(fold.labels) for fold in folds) == len(training.photos)
    assert len(read_history(training.run.fold(1).history)) == 5, "a third of the recipe's"


@pytest.mark.parametrize(("cv", "epochs"), [(True, 3), (False, 1)])
def test_within_a_time_limit_folds_have_no_more_epochs_than_the_network_had(make_training, diary, cv, epochs):
    training = make_training(epochs=3, cv=cv, folds=2)
    training.train(new_network(training.args), None, diary)
    planned = training.args.model_copy(update={"epochs": 600, "patience": 200})
    train_folds(replace(training, args=planned), 2, time.monotonic() + 10_000, diary.advance, fewest=2)
    assert [len(read_history(training.run.fold(n).history)) for n in (1, 2)] == [epochs, epochs]
    assert len({(what, total) for what, _, total in diary.advanced}) == 2, "the total is steady"


def test_a_deadline_that_has_passed_leaves_an_epoch_a_fold(make_training, diary):
    training = make_training(epochs=50)
    assert len(train_folds(training, 2, 0.0, diary.advance)) == 2
    assert [len(read_history(training.run.fold(n).history)) for n in (1, 2)] == [1, 1]


def test_the_unknown_score_finds_photos_like_those_without_a_product_that_it_was_shown(
    trained, session_cache, tmp_path
):
    """Size charts, beside drawn products: the network is the same, and so are the products that pass."""
    run, store = trained.run, PixelStore(session_cache, trained.request.preprocess)
    charts, _ = decode_all([LabeledPhoto(path, NONE) for path in draw_charts(tmp_path / NONE, 30, seed=5)], store)
    shown = [AssignedPhoto(photo.path, NONE, Split.TRAIN, sha256, sha256) for photo, sha256 in charts[:10]]
    assigned = [photo for photo in read_splits(run.splits) if photo.present]
    restore(assigned, store, lambda *_: None)  # another process may have trained it, with a cache of its own
    photos = {split: [p for p in assigned if p.split is split] for split in Split}
    training = Training(run.args(), store, photos[Split.TRAIN], photos[Split.VAL], run)
    network = keras.saving.load_model(run.best, compile=False)
    known = predict(network, [photo.sha256 for photo in photos[Split.VAL]], store)
    strange = predict(network, [sha256 for _, sha256 in charts[10:]], store).features
    found = []
    for outliers in ((), shown):
        kept, score = held_out(network, replace(training, outliers=outliers), photos[Split.VAL], known)
        scores = (score.head.score(features) for features in (strange, known.features))
        found.append((kept.known.sum(), outlier_figures(*scores, score.limit)))
    (products, before), (as_many, after) = found
    assert products == as_many >= len(photos[Split.VAL]) - 1
    assert 1 - after.auroc < (1 - before.auroc) / 2
    assert after.caught >= 0.9
    assert before.caught < 0.5
