import shutil
from collections import Counter
from dataclasses import replace

import keras
import numpy as np
import pytest

from models.arrays import read_arrays
from models.errors import InputError
from models.statistics.calibration import calibrated, fit_temperature
from models.statistics.intervals import difference_interval
from tests.unit.trainer.run_files import Diary, Killed, at, kill, press_ctrl_c, same_weights
from trainer.judging.folds import train_folds
from trainer.judging.self_training import BUDGET, SURE, choose_pseudo_labels, read_self_training, self_train, settle
from trainer.learning.batches import one_hot
from trainer.learning.predictions import predict
from trainer.learning.training import labels_of, new_network
from trainer.run import Run
from trainer.splits.unlabelled import Fate, UnlabelledPhoto, read_unlabelled, write_unlabelled

CLASSES = ("a", "b", "c")
LEARNING = "Second network, with photos without labels"


def chances(*rows):
    """A row for each (class, confidence); the others share the rest."""
    found = np.zeros((len(rows), len(CLASSES)), np.float32)
    for row, (label, confidence) in zip(found, rows, strict=True):
        row[:] = (1 - confidence) / (len(CLASSES) - 1)
        row[label] = confidence
    return found


def chosen(probabilities, known=None, counts=(5, 5, 5)):
    known = np.ones(len(probabilities), bool) if known is None else np.array(known)
    return choose_pseudo_labels(probabilities, known, np.array(counts))


def test_what_the_network_is_unsure_of_or_does_not_know_is_not_learned():
    found = chosen(chances((0, 0.9), (1, SURE - 0.01), (2, SURE), (2, 0.9)), known=[True, True, True, False])
    assert found == [Fate.LEARNED, Fate.UNSURE, Fate.LEARNED, Fate.UNKNOWN]


def test_a_class_gives_its_surest_photos_and_ten_times_as_many_as_have_its_label():
    confidences = np.random.default_rng(0).permutation(np.linspace(0.6, 0.9, 25))
    found = chosen(chances(*((0, one) for one in confidences), (1, 0.7)), counts=(2, 1, 0))
    assert Counter(found) == {Fate.LEARNED: 2 * BUDGET + 1, Fate.OVER_QUOTA: 25 - 2 * BUDGET}
    learned = [one for one, fate in zip(confidences, found, strict=False) if fate is Fate.LEARNED]
    assert sorted(learned) == sorted(confidences)[-2 * BUDGET :]
    assert chosen(chances((2, 0.9)), counts=(2, 1, 0)) == [Fate.OVER_QUOTA]


@pytest.fixture
def make_teacher(make_training, diary):
    """A trained network that has 12 photos with labels, 9 validation photos, and 24 without labels; and its folds."""

    def make(*, epochs=30, folds=0, cv=False):
        whole = make_training(labels=(0, 1, 2) * 12, held=(0, 1, 2) * 3, epochs=epochs, folds=folds, cv=cv)
        args = whole.args.model_copy(update={"unlabeled": "/shop.csv"})
        teacher = replace(whole, args=args, photos=whole.photos[:12])
        others = [UnlabelledPhoto(n, str(one.path), one.sha256) for n, one in enumerate(whole.photos[12:], 1)]
        write_unlabelled(teacher.run.unlabeled, others)
        teacher.train(new_network(teacher.args), None, diary)
        return teacher, train_folds(teacher, folds, None, diary.advance)

    return make


def tell(teacher, wrong=0):
    """Let a student learn the true labels, or wrong ones: those of another class."""
    photos = read_unlabelled(teacher.run.unlabeled)
    labels = [teacher.args.classes[(int(photo.sha256) + wrong) % 3] for photo in photos]
    told = [replace(one, fate=Fate.LEARNED, label=label) for one, label in zip(photos, labels, strict=True)]
    write_unlabelled(teacher.run.student.unlabeled, told)
    indices = np.array([teacher.args.classes.index(label) for label in labels])
    np.save(teacher.run.student.soft_labels, one_hot(indices, len(teacher.args.classes)))


def spoil(path):
    """Let a network always say the first class."""
    network = keras.saving.load_model(path, compile=False)
    kernel, bias = network.get_layer("logits").get_weights()
    network.get_layer("logits").set_weights([kernel * 0, np.eye(len(bias))[0]])
    network.save(path)


def test_a_student_that_is_right_more_often_becomes_the_network(make_teacher, diary):
    teacher, folds = make_teacher()
    run = teacher.run
    spoil(run.best)
    run.report.write_text("of the network of the labelled photos alone")
    tell(teacher)
    student = replace(teacher, run=run.student)
    student.train(new_network(student.args), None, diary)
    learned = keras.saving.load_model(run.student.best, compile=False)
    assert self_train(teacher, folds, None, diary.advance)
    found = read_self_training(run)
    assert (found.kept, found.cv, found.photos) == (True, False, 9)
    assert found.student > found.teacher
    assert found.gain == pytest.approx((found.student - found.teacher) / 9)
    low, high = difference_interval(found.student - found.teacher, 0, 9)
    assert found.gain_95[0] < low < high < found.gain_95[1], "six of the nine photos are pairs of one group"
    assert found.fates == {Fate.LEARNED: 24}
    assert found.sentence.startswith("The second network, with photos without labels, is kept: ")
    assert found.unproven
    assert same_weights(run.best, learned)
    assert not run.student.path.exists()
    assert not run.report.exists()
    assert len(replace(teacher).pseudo.sha256s) == 24


def test_a_student_that_is_no_better_is_refused_and_nothing_of_the_network_changes(make_teacher, diary):
    teacher, folds = make_teacher()
    before = {path: path.read_bytes() for path in teacher.run.path.glob("weights/*")}
    tell(teacher, wrong=1)
    assert self_train(teacher, folds, None, diary.advance)
    found = read_self_training(teacher.run)
    assert not found.kept
    assert found.gain <= 0
    assert found.fates == {Fate.REFUSED: 24}
    assert found.sentence.startswith("The first network, of labelled photos alone, is kept: ")
    assert {path: path.read_bytes() for path in before} == before
    assert not teacher.run.student.path.exists()
    assert replace(teacher).pseudo is None


def test_a_network_that_is_sure_of_nothing_teaches_nothing(make_teacher, diary):
    teacher, folds = make_teacher(epochs=1)
    unsure = [replace(one, fate=Fate.UNSURE) for one in read_unlabelled(teacher.run.unlabeled)]
    write_unlabelled(teacher.run.student.unlabeled, unsure)
    assert self_train(teacher, folds, None, diary.advance)
    found = read_self_training(teacher.run)
    assert (found.kept, found.photos, found.fates) == (False, 0, {Fate.UNSURE: 24})
    assert found.sentence == "--unlabeled brought nothing: the network is sure of no photo without a label."
    assert diary.advanced_with == []


def test_each_folds_student_learns_from_labels_of_a_network_that_has_not_seen_its_photos(make_teacher):
    teacher, folds = make_teacher(folds=2, cv=True)
    run, seen, guesses = teacher.run, {}, []

    def note(what):
        for path in run.student.path.rglob("unlabeled.csv"):
            seen.setdefault(path.parent.name, read_unlabelled(path))
        guesses[:] = guesses or [read_arrays(run.guesses, "guesses", "logits")["logits"]]

    said = {n: read_arrays(run.fold(n).guesses, "guesses", "logits")["logits"].argmax(axis=1) for n in (1, 2)}
    assert self_train(teacher, folds, None, Diary(on_advance=note).advance)
    for number in (1, 2):
        assert [photo.label for photo in seen[str(number)]] == [CLASSES[label] for label in said[number]]
    temperature = fit_temperature(*(np.concatenate([getattr(fold, n) for fold in folds]) for n in ("logits", "labels")))
    expected = calibrated(guesses[0], temperature).max(axis=1)
    assert [photo.confidence for photo in seen["student"]] == pytest.approx(expected, abs=1e-5), "not of validation"
    found = read_self_training(run)
    assert (found.cv, found.photos) == (True, 12 + 9)
    assert found.teacher == sum(int((fold.logits.argmax(axis=1) == fold.labels).sum()) for fold in folds) + _right(
        teacher
    )
    assert not list(run.path.rglob("guesses.npz"))


def _right(teacher):
    network = keras.saving.load_model(teacher.run.best, compile=False)
    logits = predict(network, [photo.sha256 for photo in teacher.held], teacher.store).logits
    return int((logits.argmax(axis=1) == labels_of(teacher.held, CLASSES)).sum())


def test_a_student_that_was_stopped_goes_on_with_the_same_labels(make_teacher, diary):
    teacher, folds = make_teacher()
    with pytest.raises(Killed):
        self_train(teacher, folds, None, Diary(on_advance=at(LEARNING, kill)).advance)
    told = teacher.run.student.unlabeled.read_bytes()
    teacher.run.guesses.unlink()  # nobody is asked again
    teacher.run.guesses.write_bytes(b"")
    assert not self_train(replace(teacher), folds, None, Diary(on_advance=at(LEARNING, press_ctrl_c)).advance)
    assert read_self_training(teacher.run) is None
    assert teacher.run.student.unlabeled.read_bytes() == told
    assert self_train(replace(teacher), folds, None, diary.advance)
    after = read_unlabelled(teacher.run.unlabeled)
    learned = [replace(one, fate=Fate.LEARNED) if one.fate is Fate.REFUSED else one for one in after]
    write_unlabelled(teacher.run.path / "again.csv", learned)
    assert (teacher.run.path / "again.csv").read_bytes() == told


@pytest.mark.parametrize("moved", [0, 1, 2, 3, 4])
def test_a_kill_between_the_files_of_a_student_that_is_kept_leaves_no_mixture(tmp_path, taught, moved):
    names = ("weights", "results.csv", "folds", "soft_labels.npy", "unlabeled.csv")
    run = Run(tmp_path)
    for place, who in ((run.path, "teacher"), (run.student.path, "student")):
        for name in ("weights", "folds"):
            (place / name).mkdir(parents=True)
            (place / name / "file").write_text(who)
        for name in ("answers.npz", "soft_labels.npy", "unlabeled.csv"):
            (place / "folds" / "1").mkdir(exist_ok=True)
            (place / "folds" / "1" / name).write_text(who)
        for name in ("results.csv", "soft_labels.npy", "unlabeled.csv"):
            (place / name).write_text(who)
    run.self_training.write_text(taught(kept=True).model_dump_json())
    for name in names[:moved]:
        shutil.rmtree(run.path / name) if (run.path / name).is_dir() else (run.path / name).unlink()
        (run.student.path / name).rename(run.path / name)
    settle(run)
    settle(run)
    assert {path.read_text() for path in run.path.rglob("*") if path.is_file() and path != run.self_training} == {
        "student"
    }
    assert not run.student.path.exists()
    assert [path.name for path in run.path.glob("folds/1/*")] == ["answers.npz"]


def test_before_anything_is_decided_nothing_is_settled(tmp_path):
    run = Run(tmp_path)
    (run.student.path / "weights").mkdir(parents=True)
    settle(run)
    assert run.student.path.is_dir()


def test_a_damaged_record_is_said_to_be(tmp_path):
    run = Run(tmp_path)
    assert read_self_training(run) is None
    run.self_training.write_text("{}")
    with pytest.raises(InputError, match=r"self_training\.json is damaged"):
        read_self_training(run)


def test_a_person_is_told_what_it_brought_and_how_sure_that_is(taught):
    assert taught(kept=True).sentence == (
        "The second network, with photos without labels, is kept: 219 of 300 out-of-fold photos right, the first 210 "
        "(this may be chance, 95%: -1.2 to +7.0 points). The second learned from labels that the first gave to 1,204 "
        "of 1,204 photos: unlabeled.csv."
    )
    assert taught(kept=False).sentence == (
        "The first network, of labelled photos alone, is kept: 210 of 300 out-of-fold photos right, the second 207 "
        "(this may be chance, 95%: -5.0 to +3.1 points). The second learned from labels that the first gave to 1,204 "
        "of 1,204 photos: unlabeled.csv."
    )


def test_a_person_is_told_what_was_not_learned_from_and_that_labels_may_be_wrong(taught):
    fates = {Fate.LEARNED: 379, Fate.UNSURE: 14, Fate.UNKNOWN: 7}
    found = taught(kept=True).model_copy(update={"fates": fates, "unproven": True, "gain_95": (0.01, 0.07)})
    assert "(95%: +1.0 to +7.0 points)" in found.sentence
    assert found.sentence.endswith(
        "to 379 of 400 photos (the others: 14 too unsure, 7 unlike the classes): unlabeled.csv; the first can promise "
        "no precision, so that many of its labels may be wrong."
    )
