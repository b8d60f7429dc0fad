import math
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.errors import DataError
from tests.unit.trainer.learning.steady import SIZE, STEADY, batches_of, held_of, learner_of
from tests.unit.trainer.run_files import Diary, at
from trainer.learning.loop import TrainingBudget, ValidationPhotos, fit
from trainer.learning.recipe import Stage
from trainer.run import Run, read_history


def test_every_epoch_is_in_results_csv_and_told_with_its_figures(fit_once, run):
    view = Diary()
    outcome = fit_once(epochs=3, view=view)
    assert view.epochs == outcome.history
    assert [astuple(row)[:-2] for row in read_history(run.history)] == [astuple(row)[:-2] for row in outcome.history]
    assert [(row.epoch, row.best) for row in outcome.history] == [(1, True), (2, True), (3, True)]
    assert not outcome.interrupted
    for row in outcome.history:
        assert (row.size, row.lr, row.train_accuracy) == (SIZE, 1e-4, 1.0)
        assert min(row.images_per_s, row.seconds) > 0
        assert 0 <= row.waiting <= 1
    assert outcome.history[0].val_loss > outcome.history[1].val_loss > outcome.history[2].val_loss
    assert view.steps == [(1, 2), (2, 2)] * 3
    assert view.expected == [3, 3, 3]


@pytest.mark.parametrize(("cosine", "best"), [(True, 4), (False, 1)])
def test_where_the_rate_has_fallen_to_nothing_the_last_epoch_is_the_best(fit_once, run, cosine, best):
    """The training data is wrong, so validation would choose the first epoch."""
    outcome = fit_once(truths=(0, 0, 0), epochs=4, cosine=cosine)
    assert outcome.best_epoch == best
    assert [row.epoch for row in outcome.history if row.best][-1] == best
    grey = np.full((1, SIZE, SIZE, 3), 128, np.uint8)
    for path, epoch in ((run.best, best), (run.last, 4)):
        (second,) = keras.saving.load_model(path).predict(grey, verbose=0)[0]
        assert -math.log(1 - second) == pytest.approx(outcome.history[epoch - 1].val_loss, rel=1e-4)


def test_only_a_better_epoch_removes_the_best_networks_figures(fit_once, run):
    run.path.mkdir()
    figures = (run.confidence, run.evaluation, run.class_figures, run.predictions, run.label_issues)
    judged = (*figures, run.report, run.model_card)
    for path in judged:
        path.write_text("of another network")
    fit_once(epochs=1, rate=0.0)
    assert not any(path.exists() for path in judged)
    run.confidence.write_text("of the first epoch")
    fit_once(epochs=2, rate=0.0)
    assert run.confidence.read_text() == "of the first epoch"


def test_a_loss_that_is_no_number_ends_the_training_and_keeps_the_best(run, photos, logits_network):
    learner, batches = learner_of(logits_network(), STEADY), batches_of(photos, STEADY)
    kernel = learner.network.get_layer("logits").kernel
    view = Diary(on_epoch=at(2, lambda: kernel.assign(np.full(kernel.shape, np.nan))))
    with pytest.raises(DataError, match="epoch 3"):
        fit(learner, STEADY, batches, held_of((1, 1)), run, TrainingBudget(5), view)
    assert [row.epoch for row in read_history(run.history)] == [1, 2]
    assert run.best.is_file()


@dataclass
class Clock:
    """A clock that only work moves."""

    now: float = 0.0

    def __call__(self):
        return self.now


@dataclass
class Puppet:
    """A fake learner without learning, and empty batches that take time."""

    clock: Clock
    size: int
    steps: int
    full_step_s: float
    batch: int = 1
    rates: list = field(default_factory=list)
    network: object = None

    def __post_init__(self):
        self.network = self

    def epoch(self, number, size):
        for _ in range(self.steps):
            self.clock.now += self.full_step_s * (size / self.size) ** 2
            yield None, None

    def step(self, pixels, targets, rate, share):
        self.rates.append(rate)
        return 0.0, 1.0

    def state(self):
        return {"rates": np.array(len(self.rates))}

    def restore(self, state):
        del self.rates[int(state["rates"]) :]

    def logits(self, pixels):
        return np.zeros((len(pixels), 1))

    @contextmanager
    def averaged(self):
        yield

    def use_average(self): ...

    def save(self, path):
        Path(path).write_bytes(b"")


NOTHING = ValidationPhotos(lambda start, end: np.zeros((end - start, 1)), np.array([0]))


@settings(deadline=None, max_examples=20)
@given(
    seconds=st.floats(1, 200),
    step_s=st.floats(0.01, 2),
    validation_s=st.floats(0, 3),
    steps=st.integers(1, 12),
    size=st.sampled_from([32, 64, 80, 160]),
    stages=st.sampled_from([(), (Stage(0.6, 0.75),), (Stage(0.3, 0.5), Stage(0.6, 0.75))]),
)
def test_epochs_that_are_slower_than_planned_are_fewer_and_the_schedule_ends_in_time(
    tmp_path_factory, seconds, step_s, validation_s, steps, size, stages
):
    """The first epoch is trained as planned, because it measures an epoch's time."""
    clock, view = Clock(), Diary()
    puppet = Puppet(clock, size, steps, step_s)

    def held(start, end):
        clock.now += validation_s
        return np.zeros((end - start, 1))

    epoch_s = steps * step_s + validation_s
    assume(2 * epoch_s <= seconds < 20 * epoch_s)
    recipe, run = replace(STEADY, rate=1.0, cosine=True, stages=stages), Run(tmp_path_factory.mktemp("timed"))
    photos, limits = ValidationPhotos(held, np.array([0])), TrainingBudget(1_000, seconds, clock)
    outcome = fit(puppet, recipe, puppet, photos, run, limits, view)
    assert clock.now <= seconds + epoch_s
    assert outcome.history[-1].lr == pytest.approx(0, abs=1e-9)
    assert len(puppet.rates) == len(outcome.history) * steps
    assert view.expected[-1] == len(outcome.history)
    assert {row.size % 16 for row in outcome.history} == {0}


def test_the_first_steps_compilation_is_timed_separately(run):
    clock = Clock()
    puppet = Puppet(clock, 32, steps=4, full_step_s=3)
    learn = puppet.step

    def slow_at_first(*batch):
        clock.now += 0 if puppet.rates else 60
        return learn(*batch)

    puppet.step = slow_at_first
    rows = fit(puppet, STEADY, puppet, NOTHING, run, TrainingBudget(2, clock=clock), Diary()).history
    assert [(row.seconds, row.compile_s) for row in rows] == [(72.0, 60.0), (12.0, 0.0)]
