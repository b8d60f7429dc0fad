"""Trainings that learn from photos without labels, too, on drawn photos."""

import itertools
import shutil
from dataclasses import replace
from html import escape

import pytest

from models.errors import InputError
from tests.conftest import small_request
from tests.unit.trainer.run_files import FILES, Diary, Killed, at, figures_of, files_of, kill, press_ctrl_c, splits_of
from trainer.data.dataset import Split
from trainer.data.photo_files import file_sha256
from trainer.judging.measure import measure
from trainer.judging.self_training import read_self_training
from trainer.request import Arch, UnlabelledSource
from trainer.run import Run, RunState, read_history, write_history
from trainer.splits.unlabelled import Fate, read_unlabelled
from trainer.train import resume, train

LEARNING = "Second network, with photos without labels"
OWN = {"unlabeled.csv", "self_training.json"}


@pytest.fixture(scope="module")
def few(tmp_path_factory, catalogue):
    """Twelve photos of each of two classes with labels; all photos of these classes, with one more that is broken."""
    folder = tmp_path_factory.mktemp("few")
    (folder / "all").mkdir()
    for name in ("hat", "vase"):
        (folder / "photos" / name).mkdir(parents=True)
        for place, photo in enumerate(sorted((catalogue / name).glob("*.*"))):
            shutil.copy(photo, folder / "all" / f"{name}-{photo.name}")
            if place < 12:
                shutil.copy(photo, folder / "photos" / name)
    (folder / "all" / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def ask(few, session_cache):
    """A request for a small training on both."""

    def asked(run, **changes):
        source = UnlabelledSource(str(few / "all"))
        own = {"arch": Arch.SIMPLE, "epochs": 30, "batch": 8, "unlabeled": source} | changes
        return replace(small_request(run, few / "photos", session_cache), **own)

    return asked


@pytest.fixture(scope="module")
def whole(ask, tmp_path_factory):
    """A training that was never stopped; not to be changed."""
    return train(ask(tmp_path_factory.mktemp("runs") / "whole"), Diary())


def test_the_catalogue_teaches_and_what_it_brought_stands_in_record_report_and_card(ask, few, tmp_path, diary):
    result = train(ask(tmp_path / "run", cv=2), diary)
    run, found = result.run, result.self_training
    assert found == read_self_training(run)
    assert (found.cv, found.source) == (True, str(few / "all"))
    photos = [photo for photo in splits_of(run, Split.TRAIN) + splits_of(run, Split.VAL) if photo.present]
    assert found.photos == len(photos)
    rows = read_unlabelled(run.unlabeled)
    assert len(rows) == len(list((few / "all").iterdir()))
    by_fate = {fate: sum(row.fate is fate for row in rows) for fate in {row.fate for row in rows}}
    assert by_fate == found.fates
    assert Fate.CANDIDATE not in by_fate
    assert found.fates[Fate.UNREADABLE] >= 1
    assert any("cannot be read, such as row 1 (broken.jpg)" in note for note in run.notes())
    judged = {photo.sha256 for split in (Split.VAL, Split.TEST) for photo in splits_of(run, split)}
    assert {row.sha256 for row in rows if row.fate is Fate.JUDGED} >= judged
    taught = {row.sha256 for row in rows if row.fate in {Fate.LEARNED, Fate.REFUSED}}
    assert taught
    assert not taught & {photo.sha256 for split in Split for photo in splits_of(run, split)}
    assert found.sentence in run.model_card.read_text().replace("\n", " ")
    assert all(escape(sentence) in run.report.read_text() for sentence in found.sentences)
    assert result.args.state is RunState.COMPLETE
    assert result.evaluation.cv.n == len(photos)
    assert files_of(run.path) >= FILES | OWN
    assert not (run.path / "student").exists()


def test_a_training_that_was_killed_at_any_point_ends_with_the_same_network_and_labels(ask, whole, tmp_path):
    killed = ask(tmp_path / "run", name="whole")
    with pytest.raises(Killed):
        train(killed, Diary(on_epoch=at(3, kill)))
    run = Run(killed.run)
    assert Fate.CANDIDATE in {row.fate for row in read_unlabelled(run.unlabeled)}
    result = resume(run, killed.cache, Diary(on_advance=at(LEARNING, press_ctrl_c)))
    assert (result.interrupted, result.self_training) == (True, None)
    assert result.evaluation is not None  # of the network of the labelled photos alone
    told = read_unlabelled(run.student.unlabeled)
    result = resume(run, killed.cache, Diary())
    assert result.self_training == whole.self_training
    assert run.unlabeled.read_bytes() == whole.run.unlabeled.read_bytes()
    rows = read_unlabelled(run.unlabeled)
    assert [replace(one, fate=Fate.LEARNED) if one.fate is Fate.REFUSED else one for one in rows] == told
    assert figures_of(run) == figures_of(whole.run)
    assert run.evaluation.read_bytes() == whole.run.evaluation.read_bytes()


def test_a_complete_run_is_judged_again_without_photos_that_had_no_label(ask, whole, few, tmp_path):
    """They are gone, from the cache, too."""
    run = Run(shutil.copytree(whole.run.path, tmp_path / "copy"))
    gone = few.rename(few.with_name("gone"))
    (few / "photos").parent.mkdir()
    shutil.copytree(gone / "photos", few / "photos")
    diary = Diary()
    try:
        again = resume(run, tmp_path / "empty", diary)
    finally:
        shutil.rmtree(few)
        gone.rename(few)
    assert (diary.steps, again.self_training) == ([], whole.self_training)
    assert again.evaluation.val == whole.evaluation.val


def test_photos_that_were_learned_from_measure_nothing(ask, whole, few, tmp_path):
    learned = {row.sha256 for row in read_unlabelled(whole.run.unlabeled) if row.fate is Fate.LEARNED}
    own = {photo.sha256 for split in (Split.TRAIN, Split.VAL) for photo in splits_of(whole.run, split)}
    for photo in (few / "all").glob("[hv]*"):
        place = tmp_path / "own" / photo.name.partition("-")[0] / photo.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, place)
    measured = measure(whole.run.path, tmp_path / "own", ask(tmp_path).cache)
    assert measured.learned_from == sum(file_sha256(path) in learned | own for path in (tmp_path / "own").glob("*/*"))


def test_a_source_that_cannot_be_used_leaves_no_run(ask, tmp_path, diary):
    with pytest.raises(InputError, match="found nothing; check the path"):
        train(ask(tmp_path / "run", unlabeled=UnlabelledSource(str(tmp_path / "gone.csv"))), diary)
    assert not (tmp_path / "run").exists()


def test_a_time_limit_holds_for_both_networks(ask, tmp_path, diary):
    result = train(ask(tmp_path / "run", epochs=None, time_limit_s=20.0), diary)
    assert result.args.state is RunState.COMPLETE
    assert result.self_training is not None


def test_a_time_limit_counts_the_epochs_of_a_second_network_that_was_stopped(ask, tmp_path, diary):
    run, calls = Run(tmp_path / "run"), itertools.count(1)
    stop = Diary(on_advance=lambda what: what == LEARNING and next(calls) == 20 and press_ctrl_c())
    train(ask(run.path, folds=0, time_limit_s=600.0), stop)
    rows = read_history(run.student.history)
    write_history(run.student.history, [replace(row, seconds=1_000.0) for row in rows])
    resume(run, ask(run.path).cache, diary)
    steps = [step for step in diary.advanced if step[0] == LEARNING]
    assert len(steps) == steps[0][2] // 30, "one epoch more, the last"
