import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.unit.trainer.learning.steady import STEADY, batches_of, held_of, learner_of
from tests.unit.trainer.run_files import Diary, figures_of, same_weights
from trainer.learning.loop import Limits, ValidationPhotos, fit
from trainer.learning.recipe import Stage
from trainer.run import Run


@dataclass
class Clock:
    """Says what time it is; only work lets time go by."""

    now: float = 0.0

    def __call__(self):
        return self.now


@dataclass
class Puppet:
    """A learner that learns nothing, and batches of nothing that take their time."""

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
@example(seconds=100, step_s=1, validation_s=0, steps=1, size=80, stages=(Stage(0.9, 0.75),))
def test_a_training_with_a_deadline_ends_in_time_with_its_schedule_at_the_end(
    tmp_path_factory, seconds, step_s, validation_s, steps, size, stages
):
    clock, view = Clock(), Diary()
    puppet = Puppet(clock, size, steps, step_s)
    recipe = replace(STEADY, rate=1.0, cosine=True, stages=stages)

    def held(start, end):
        clock.now += validation_s
        return np.zeros((end - start, 1))

    limits = Limits(epochs=100_000, patience=100_000, deadline=seconds, clock=clock)
    assume(4 * step_s + steps * step_s + validation_s <= seconds)  # time for a rehearsal and an epoch
    assume(seconds < 20 * steps * step_s)
    run = Run(tmp_path_factory.mktemp("timed"))
    outcome = fit(puppet, recipe, puppet, ValidationPhotos(held, np.array([0])), run, limits, view)
    assert clock.now <= seconds + 2 * validation_s + 1e-6
    assert clock.now >= seconds / 2 - 4 * step_s - steps * step_s - validation_s
    assert outcome.history[-1].lr == pytest.approx(0, abs=1e-9)
    assert len(puppet.rates) == len(outcome.history) * steps
    assert view.expected[-1] == len(outcome.history)
    assert {row.size % 16 for row in outcome.history} == {0}


@pytest.mark.parametrize("seconds", [-5.0, 0.1])
def test_a_deadline_that_has_passed_leaves_one_epoch_with_the_whole_schedule(run, seconds):
    clock = Clock()
    puppet = Puppet(clock, 32, steps=10, full_step_s=1)
    recipe = replace(STEADY, rate=1.0, cosine=True)
    outcome = fit(puppet, recipe, puppet, NOTHING, run, Limits(50, 50, seconds, clock), Diary())
    assert len(outcome.history) == 1
    assert max(puppet.rates) == pytest.approx(1.0)
    assert puppet.rates[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("latest", "epochs"), [(64.0, 6), (None, 0)])
def test_where_too_few_epochs_fit_the_latest_deadline_counts_or_nothing_is_trained(run, latest, epochs):
    clock = Clock()
    puppet = Puppet(clock, 32, steps=10, full_step_s=1)
    limits = Limits(50, 50, 24.0, clock, fewest=3, latest=latest)
    outcome = fit(puppet, replace(STEADY, cosine=True), puppet, NOTHING, run, limits, Diary())
    assert outcome.lacked_time
    assert len(outcome.history) == epochs


def test_an_epoch_that_takes_longer_than_its_steps_tells_that_too_few_fit(run):
    """Weights that take a minute to write are not rehearsed."""
    clock, told = Clock(), []
    puppet = Puppet(clock, 32, steps=10, full_step_s=1)

    def write_slowly(path):
        clock.now += 60
        Path(path).write_bytes(b"")

    puppet.save = write_slowly
    limits = Limits(50, 50, 64.0, clock, fewest=6, lacks=told.append)
    outcome = fit(puppet, replace(STEADY, cosine=True), puppet, NOTHING, run, limits, Diary())
    assert outcome.lacked_time
    assert len(outcome.history) == 1
    assert told == [6 * (10 + 60)]


def test_the_planned_epochs_are_steady_where_validation_takes_longer_than_learning(run):
    clock, view = Clock(), Diary()
    puppet = Puppet(clock, 32, steps=3, full_step_s=1)

    def held(start, end):
        clock.now += 7
        return np.zeros((end - start, 1))

    limits = Limits(50, 50, 4 + 2 * 7 + 8 * 10 + 1, clock)
    fit(puppet, replace(STEADY, cosine=True), puppet, ValidationPhotos(held, np.array([0])), run, limits, view)
    assert view.expected == [8] * 8


def test_to_compile_the_network_for_each_size_of_photos_is_foreseen(run):
    """Two of the three stages have one size."""
    clock, view, sizes = Clock(), Diary(), set()
    puppet = Puppet(clock, 64, steps=4, full_step_s=1)
    epoch = puppet.epoch

    def compile_first(number, size):
        clock.now += 0 if size in sizes else 40
        sizes.add(size)
        return epoch(number, size)

    puppet.epoch = compile_first
    recipe = replace(STEADY, cosine=True, stages=(Stage(0.25, 0.5), Stage(0.5, 0.5)))
    fit(puppet, recipe, puppet, NOTHING, run, Limits(50, 50, 40 + 1 + 40 + 8 * 2.5 + 1, clock), view)
    assert sizes == {32, 64}
    assert view.expected == [8] * 8


def test_where_enough_epochs_fit_the_first_deadline_counts(run):
    clock = Clock()
    puppet = Puppet(clock, 32, steps=10, full_step_s=1)
    limits = Limits(50, 50, 34.0, clock, fewest=3, latest=640.0)
    outcome = fit(puppet, replace(STEADY, cosine=True), puppet, NOTHING, run, limits, Diary())
    assert not outcome.lacked_time
    assert len(outcome.history) == 3


def test_epochs_and_patience_end_a_training_before_its_deadline(run):
    clock = Clock()
    puppet = Puppet(clock, 32, steps=2, full_step_s=1)
    outcome = fit(puppet, STEADY, puppet, NOTHING, run, Limits(3, 50, 1e6, clock), Diary())
    assert len(outcome.history) == 3
    other = Run(run.path / "impatient")
    assert len(fit(puppet, STEADY, puppet, NOTHING, other, Limits(9, 2, 1e6, clock), Diary()).history) == 3


def test_waiting_is_the_share_of_time_in_which_there_are_no_photos(run):
    clock = Clock()
    puppet = Puppet(clock, 32, steps=4, full_step_s=3)
    learn = puppet.step

    def slow(*batch):
        clock.now += 1
        return learn(*batch)

    puppet.step = slow
    (row,) = fit(puppet, STEADY, puppet, NOTHING, run, Limits(1, 9, clock=clock), Diary()).history
    assert (row.waiting, row.seconds, row.images_per_s) == (0.75, 16.0, 0.25)


def test_a_rehearsal_leaves_nothing_behind(run, photos, logits_network):
    """An hour is time enough for the two epochs: they are those of a training that has no deadline."""
    recipe = replace(STEADY, rate=0.01, average=0.5, weight_decay=0.1)
    ends = []
    for name, deadline in (("timed", 3600.0), ("free", None)):
        network = logits_network()
        limits = Limits(2, 9, deadline, itertools.count(0, 0.001).__next__)
        batches, target = batches_of(photos, recipe), Run(run.path / name)
        fit(learner_of(network, recipe), recipe, batches, held_of((0, 1)), target, limits, Diary())
        ends.append((network, figures_of(target)))
    assert ends[0][1] == ends[1][1]
    assert same_weights(ends[0][0], ends[1][0])


def test_held_photos_are_asked_for_a_part_at_a_time(run):
    asked, clock = [], Clock()
    puppet = Puppet(clock, 32, steps=1, full_step_s=1)

    def pixels(start, end):
        asked.append((start, end))
        return np.zeros((end - start, 1))

    truths = np.array([0] * 1500 + [1] * 500)
    (row,) = fit(
        puppet, STEADY, puppet, ValidationPhotos(pixels, truths), run, Limits(1, 9, clock=clock), Diary()
    ).history
    assert asked == [(0, 1024), (1024, 2000)]
    assert row.val_accuracy == pytest.approx(0.75)
