import itertools
import math
import shutil
import signal
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from models.errors import InputError
from trainer.learning.batches import Batches
from trainer.learning.fit import FitOutcome, Held, Limits, fit
from trainer.learning.history import read_history
from trainer.learning.learner import Learner
from trainer.learning.recipe import Augmentation, Recipe, Stage
from trainer.run import Run

SIZE, PHOTOS, BATCH = 16, 8, 4
STEADY = Recipe(
    size=SIZE,
    epochs=5,
    batch=BATCH,
    rate=0.0,
    weight_decay=0.0,
    cosine=False,
    smoothing=0.0,
    average=0.0,
    augmentation=None,
)
BLACK, WHITE = 0, 255


@dataclass
class View:
    """Writes down what it is told, and does something after a step or an epoch."""

    on_step: object = None
    on_epoch: object = None
    steps: list = field(default_factory=list)
    epochs: list = field(default_factory=list)
    expected: list = field(default_factory=list)

    def step(self, done, total):
        self.steps.append((done, total))
        if self.on_step:
            self.on_step()

    def epoch(self, figures, epochs):
        self.epochs.append(figures)
        self.expected.append(epochs)
        if self.on_epoch:
            self.on_epoch(figures)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


@pytest.fixture
def photos(make_store):
    return make_store(np.random.default_rng(0).integers(0, 256, (PHOTOS, SIZE, SIZE, 3), np.uint8))


def batches_of(store, recipe, labels=(1,) * PHOTOS, classes=2):
    names = sorted(store.pixels, key=int)
    return Batches(
        store,
        names,
        np.array(labels),
        classes=classes,
        batch=recipe.batch,
        seed=3,
        augmentation=recipe.augmentation,
    )


def learner_of(network, recipe):
    return Learner(network, recipe, [network.trainable_variables])


@pytest.fixture
def fit_once(run, photos, logits_network):
    """Fits a network that always says 0.7 for the second class to photos that are all of it."""

    def fit_with(rate=1e-4, epochs=5, patience=99, view=None, truths=(1, 1, 1)):
        recipe = replace(STEADY, rate=rate)
        held = Held(lambda start, end: np.full((end - start, SIZE, SIZE, 3), 128, np.uint8), np.array(truths))
        limits = Limits(epochs, patience)
        learner = learner_of(logits_network(), recipe)
        return fit(learner, recipe, batches_of(photos, recipe), held, run, limits, view or View())

    return fit_with


@pytest.fixture
def fit_script(run, photos, logits_network):
    """Fits a network that never changes and says the second class of bright photos; what is held back is by script.

    Args of what it gives:
        script: for each epoch, how bright the photos of the second class are that are held back.
    """

    def fit_with(script, patience=99, view=None, begin=0):
        network = logits_network([-1.0], weight=2 / (SIZE * SIZE * 3))
        told = iter(script[begin:])

        def pixels(start, end):
            return np.stack([np.full((SIZE, SIZE, 3), shade, np.uint8) for shade in next(told)])

        held = Held(pixels, np.ones(len(script[0]), int))
        learner = learner_of(network, STEADY)
        return fit(
            learner, STEADY, batches_of(photos, STEADY), held, run, Limits(len(script), patience), view or View()
        )

    return fit_with


def test_there_is_no_best_epoch_before_the_first():
    assert FitOutcome([], interrupted=True).best_epoch is None


def test_every_epoch_is_in_results_csv_and_told_with_its_figures(fit_once, run):
    view = View()
    outcome = fit_once(epochs=3, view=view)
    assert view.epochs == outcome.history
    assert [astuple(row)[:-1] for row in read_history(run.history)] == [astuple(row)[:-1] for row in outcome.history]
    assert [row.epoch for row in outcome.history] == [1, 2, 3]
    assert [row.best for row in outcome.history] == [True, True, True]
    assert not outcome.interrupted
    for row in outcome.history:
        assert (row.size, row.lr, row.train_accuracy) == (SIZE, 1e-4, 1.0)
        assert row.images_per_s > 0
        assert row.seconds > 0
        assert 0 <= row.waiting <= 1
    assert outcome.history[0].val_loss > outcome.history[1].val_loss > outcome.history[2].val_loss


def test_the_figures_of_what_is_held_back_are_cross_entropy_and_accuracy(fit_once):
    (row,) = fit_once(rate=0.0, epochs=1, truths=(1, 1, 0)).history
    sure = 1 / (1 + math.exp(-1))
    assert row.val_accuracy == pytest.approx(2 / 3)
    assert row.val_loss == pytest.approx(-(2 * math.log(sure) + math.log(1 - sure)) / 3, rel=1e-5)


def test_many_classes_have_the_cross_entropy_of_their_softmax(run, make_store, logits_network):
    store = make_store(np.zeros((6, SIZE, SIZE, 3), np.uint8))
    biases = np.array([2.0, -1.0, 0.5])
    held = Held(lambda start, end: np.zeros((end - start, SIZE, SIZE, 3), np.uint8), np.array([0, 1, 2]))
    learner, batches = learner_of(logits_network(biases), STEADY), batches_of(store, STEADY, [0, 1, 2] * 2, 3)
    (row,) = fit(learner, STEADY, batches, held, run, Limits(1, 9), View()).history
    assert row.val_accuracy == pytest.approx(1 / 3)
    assert row.val_loss == pytest.approx(-(biases - math.log(np.exp(biases).sum())).mean(), rel=1e-5)


def test_each_step_is_told_with_their_number_and_each_epoch_with_how_many_there_will_be(fit_once):
    view = View()
    fit_once(epochs=3, view=view)
    assert view.steps == [(1, 2), (2, 2)] * 3
    assert view.expected == [3, 3, 3]


def test_an_epoch_is_on_disk_when_it_is_told(fit_once, run):
    seen = []

    def look(row):
        seen.append((run.state.is_file(), run.best.is_file(), read_history(run.history)[-1].epoch == row.epoch))

    fit_once(epochs=2, view=View(on_epoch=look))
    assert seen == [(True, True, True)] * 2


@pytest.mark.parametrize(
    ("script", "best"),
    [
        ([[BLACK, WHITE], [WHITE, WHITE], [WHITE, BLACK]], 2),
        ([[WHITE, 100], [WHITE, 120], [WHITE, 110]], 2),
        ([[WHITE, 100], [WHITE, 100]], 1),
    ],
    ids=["accuracy first", "then loss", "then the earlier"],
)
def test_best_keras_is_of_the_epoch_with_the_highest_accuracy_then_the_lowest_loss(fit_script, run, script, best):
    written = []
    view = View(on_epoch=lambda row: written.append(run.best.stat().st_mtime_ns))
    outcome = fit_script(script, view=view)
    assert outcome.best_epoch == best
    assert [row.epoch for row in outcome.history if row.best][-1] == best
    assert [later != earlier for earlier, later in zip([0, *written], written, strict=False)] == [
        row.best for row in outcome.history
    ]


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_it_stops_when_so_many_epochs_were_no_better(fit_once, patience):
    outcome = fit_once(rate=0.0, epochs=9, patience=patience)
    assert [row.epoch for row in outcome.history] == list(range(1, 1 + patience + 1))
    assert outcome.best_epoch == 1
    assert not outcome.interrupted


def test_it_does_not_stop_while_it_gets_better(fit_once):
    assert len(fit_once(epochs=5, patience=1).history) == 5


def test_a_better_epoch_renews_the_patience(fit_script):
    script = [[100], [90], [90], [110], [90], [90], [90], [200]]
    outcome = fit_script(script, patience=3)
    assert [row.best for row in outcome.history] == [True, False, False, True, False, False, False]


def test_out_of_patience_is_out_of_patience_when_it_is_resumed(fit_once):
    first = fit_once(rate=0.0, epochs=9, patience=2)
    view = View()
    again = fit_once(rate=0.0, epochs=9, patience=2, view=view)
    assert (view.epochs, view.steps) == ([], [])
    assert len(again.history) == len(first.history) == 3


def test_best_and_last_are_the_networks_of_their_epochs(fit_once, run):
    """It learns the wrong thing: what is held back is of the other class."""
    outcome = fit_once(truths=(0, 0, 0), epochs=3)
    assert outcome.best_epoch == 1
    grey = np.full((1, SIZE, SIZE, 3), 128, np.uint8)
    for path, row in ((run.best, outcome.history[0]), (run.last, outcome.history[2])):
        (said,) = keras.saving.load_model(path).predict(grey, verbose=0)[0]
        assert -math.log(1 - said) == pytest.approx(row.val_loss, rel=1e-4)


def kill_after(epoch, killed):
    def kill(row):
        if row.epoch == epoch:
            raise killed

    return View(on_epoch=kill)


def test_a_resumed_fit_goes_on_with_the_next_epoch(fit_once, run, killed):
    with pytest.raises(killed):
        fit_once(epochs=4, view=kill_after(2, killed))
    before = run.history.read_text()
    outcome = fit_once(epochs=4)
    assert [row.epoch for row in outcome.history] == [1, 2, 3, 4]
    assert run.history.read_text().startswith(before)
    assert outcome.best_epoch == 4


def test_a_resumed_fit_of_all_epochs_trains_nothing(fit_once, run):
    fit_once(epochs=2)
    kept = [run.state, run.best, run.history]
    times = [path.stat().st_mtime_ns for path in kept]
    view = View()
    assert len(fit_once(epochs=2, view=view).history) == 2
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert view.steps == []


@pytest.mark.parametrize("truths", [(1, 0, 0), (1, 1, 0), (1, 1, 1, 1, 1, 1, 0)])
def test_an_epoch_that_only_equals_the_best_is_not_the_best_after_a_resume(fit_once, killed, truths):
    with pytest.raises(killed):
        fit_once(rate=0.0, epochs=2, truths=truths, view=kill_after(1, killed))
    outcome = fit_once(rate=0.0, epochs=2, truths=truths)
    assert [row.best for row in outcome.history[1:]] == [False]
    assert outcome.best_epoch == 1


LIVELY = replace(
    STEADY,
    rate=2e-3,
    weight_decay=0.05,
    cosine=True,
    smoothing=0.1,
    average=0.1,
    augmentation=Augmentation(erase=0.5, mixup=0.5),
    stages=(Stage(0.5, 0.5),),
)


def lively_network():
    """Has all that a state has to hold; takes photos of any size."""
    keras.utils.set_random_seed(5)
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(8, 3, strides=4)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    x = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling2D(name="features")(x))
    x = keras.layers.Dense(3, name="logits")(x)
    return keras.Model(image, keras.layers.Activation("softmax", name="probabilities")(x))


@pytest.fixture
def fit_lively(tmp_path, make_store):
    """Fits a lively network for four epochs in a folder."""
    return lambda name, view=None: lively_fit(tmp_path / name, make_store, view or View())


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, make_store):
    """The same, never stopped."""
    return lively_fit(tmp_path_factory.mktemp("lively") / "unbroken", make_store, View())


def lively_fit(folder, make_store, view):
    """Run, network and outcome of four epochs, two of them on smaller photos."""
    store = make_store(np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8))
    network, run = lively_network(), Run(folder)
    held = Held(lambda start, end: store.take([str(i) for i in range(start, end)]), np.array([0, 1, 2] * 2))
    batches = batches_of(store, LIVELY, [0, 1, 2] * 4, 3)
    return run, network, fit(learner_of(network, LIVELY), LIVELY, batches, held, run, Limits(4, 9), view)


def figures_of(run):
    """The figures that do not depend on the clock."""
    return [astuple(row)[:7] for row in read_history(run.history)]


def same_arrays(one, other):
    with np.load(one) as first, np.load(other) as second:
        return set(first) == set(second) and all(np.array_equal(first[name], second[name]) for name in first)


def same_weights(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def assert_same_end(one, other):
    assert figures_of(one[0]) == figures_of(other[0])
    assert same_arrays(one[0].state, other[0].state)
    assert same_weights(one[1], other[1])
    for path in ("weights/best.keras", "weights/last.keras"):
        assert same_weights(*(keras.saving.load_model(run.path / path) for run, *_ in (one, other)))


def test_the_first_epochs_have_smaller_photos_and_the_rate_ends_at_nothing(unbroken):
    _, _, outcome = unbroken
    assert [row.size for row in outcome.history] == [16, 16, 32, 32]
    assert [row.lr for row in outcome.history] == sorted((row.lr for row in outcome.history), reverse=True)
    assert outcome.history[-1].lr == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_killed_after_an_epoch_and_resumed_is_to_the_bit_as_if_never_stopped(fit_lively, unbroken, killed, epoch):
    with pytest.raises(killed):
        fit_lively("killed", kill_after(epoch, killed))
    assert_same_end(fit_lively("killed"), unbroken)


def test_killed_within_an_epoch_costs_that_epoch_and_nothing_else(fit_lively, unbroken, killed):
    view = View()

    def kill():
        if len(view.steps) == 5:
            raise killed

    view.on_step = kill
    with pytest.raises(killed):
        fit_lively("killed", view)
    again = View()
    resumed = fit_lively("killed", again)
    assert [row.epoch for row in again.epochs] == [2, 3, 4]
    assert_same_end(resumed, unbroken)


def test_an_epoch_whose_state_was_not_written_before_a_kill_is_trained_again(fit_lively, unbroken, killed, tmp_path):
    def keep_or_kill(row):
        if row.epoch == 1:
            shutil.copyfile(tmp_path / "killed" / "weights" / "state.npz", tmp_path / "state.npz")
        else:
            raise killed

    with pytest.raises(killed):
        fit_lively("killed", View(on_epoch=keep_or_kill))
    shutil.copyfile(tmp_path / "state.npz", tmp_path / "killed" / "weights" / "state.npz")
    again = View()
    resumed = fit_lively("killed", again)
    assert [row.epoch for row in again.epochs] == [2, 3, 4]
    assert_same_end(resumed, unbroken)


def test_stopped_by_ctrl_c_and_resumed_is_as_if_never_stopped(fit_lively, unbroken):
    view = View(on_step=ctrl_c_at(5))
    run, network, outcome = fit_lively("stopped", view)
    assert outcome.interrupted
    assert len(outcome.history) == 1
    first = read_history(run.history)[0]
    last = keras.saving.load_model(run.last)
    assert same_weights(last, network)
    assert same_weights(last, keras.saving.load_model(run.best))
    assert first.epoch == 1
    assert_same_end(fit_lively("stopped"), unbroken)


def ctrl_c_at(moment, times=1):
    """Presses Ctrl-C when it has been called so often."""
    calls = []

    def press(*_):
        calls.append(None)
        if len(calls) == moment:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return press


def test_ctrl_c_stops_after_the_step_and_keeps_the_whole_epochs(fit_once, run):
    earlier = signal.getsignal(signal.SIGINT)
    view = View(on_step=ctrl_c_at(3))
    outcome = fit_once(view=view)
    assert outcome.interrupted
    assert view.steps == [(1, 2), (2, 2), (1, 2)]
    assert [row.epoch for row in outcome.history] == [row.epoch for row in read_history(run.history)] == [1]
    assert signal.getsignal(signal.SIGINT) is earlier


def test_after_ctrl_c_the_last_network_is_that_of_the_last_whole_epoch(fit_once, run):
    outcome = fit_once(view=View(on_step=ctrl_c_at(4)))
    grey = np.full((1, SIZE, SIZE, 3), 128, np.uint8)
    (said,) = keras.saving.load_model(run.last).predict(grey, verbose=0)[0]
    assert -math.log(said) == pytest.approx(outcome.history[-1].val_loss, rel=1e-4)


def test_ctrl_c_in_the_first_epoch_leaves_no_epoch(fit_once, run):
    outcome = fit_once(view=View(on_step=ctrl_c_at(1)))
    assert outcome.interrupted
    assert outcome.history == read_history(run.history) == []
    assert not run.best.exists()
    assert not run.last.exists()


def test_ctrl_c_between_two_epochs_keeps_the_one_that_is_over(fit_once):
    outcome = fit_once(view=View(on_epoch=ctrl_c_at(2)))
    assert outcome.interrupted
    assert [row.epoch for row in outcome.history] == [1, 2]


def test_a_second_ctrl_c_does_not_wait(fit_once):
    earlier = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit_once(view=View(on_step=ctrl_c_at(1, times=2)))
    assert signal.getsignal(signal.SIGINT) is earlier


def test_nothing_temporary_is_left(fit_once, run):
    fit_once(epochs=2)
    assert sorted(path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()) == [
        "results.csv",
        "weights/best.keras",
        "weights/last.keras",
        "weights/state.npz",
    ]


@pytest.mark.parametrize("keep", [0, 100, -10])
def test_a_damaged_state_is_refused_in_words(fit_once, run, keep):
    fit_once(epochs=1)
    run.state.write_bytes(run.state.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"Expected the state of a training in .*state\.npz, it is damaged"):
        fit_once(epochs=2)


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

    def settle(self): ...

    def save(self, path):
        Path(path).write_bytes(b"")


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
    clock, view = Clock(), View()
    puppet = Puppet(clock, size, steps, step_s)
    recipe = replace(STEADY, rate=1.0, cosine=True, stages=stages)

    def held(start, end):
        clock.now += validation_s
        return np.zeros((end - start, 1))

    limits = Limits(epochs=100_000, patience=100_000, deadline=seconds, clock=clock)
    assume(4 * step_s + steps * step_s + validation_s <= seconds)  # time for a rehearsal and an epoch
    assume(seconds < 20 * steps * step_s)
    run = Run(tmp_path_factory.mktemp("timed"))
    outcome = fit(puppet, recipe, puppet, Held(held, np.array([0])), run, limits, view)
    assert clock.now <= seconds + 2 * validation_s + 1e-6
    assert clock.now >= seconds / 2 - 4 * step_s - steps * step_s - validation_s
    assert outcome.history[-1].lr == pytest.approx(0, abs=1e-9)
    assert len(puppet.rates) == len(outcome.history) * steps
    assert view.expected[-1] == len(outcome.history)
    assert {row.size % 16 for row in outcome.history} == {0}


@pytest.mark.parametrize("seconds", [-5.0, 0.0, 0.1])
def test_a_deadline_that_has_passed_leaves_one_epoch_with_the_whole_schedule(run, seconds):
    clock = Clock()
    puppet = Puppet(clock, 32, steps=10, full_step_s=1)
    recipe = replace(STEADY, rate=1.0, cosine=True)
    held = Held(lambda start, end: np.zeros((end - start, 1)), np.array([0]))
    outcome = fit(puppet, recipe, puppet, held, run, Limits(50, 50, seconds, clock), View())
    assert len(outcome.history) == 1
    assert max(puppet.rates) == pytest.approx(1.0)
    assert puppet.rates[-1] == pytest.approx(0, abs=1e-9)


def test_epochs_and_patience_end_a_training_before_its_deadline(run):
    clock = Clock()
    puppet = Puppet(clock, 32, steps=2, full_step_s=1)
    held = Held(lambda start, end: np.zeros((end - start, 1)), np.array([0]))
    outcome = fit(puppet, STEADY, puppet, held, run, Limits(3, 50, 1e6, clock), View())
    assert len(outcome.history) == 3
    other = Run(run.path / "impatient")
    assert len(fit(puppet, STEADY, puppet, held, other, Limits(9, 2, 1e6, clock), View()).history) == 3


def test_waiting_is_the_share_of_time_in_which_there_are_no_photos(run):
    clock = Clock()
    puppet = Puppet(clock, 32, steps=4, full_step_s=3)
    learn = puppet.step
    held = Held(lambda start, end: np.zeros((end - start, 1)), np.array([0]))

    def slow(*batch):
        clock.now += 1
        return learn(*batch)

    puppet.step = slow
    (row,) = fit(puppet, STEADY, puppet, held, run, Limits(1, 9, clock=clock), View()).history
    assert (row.waiting, row.seconds, row.images_per_s) == (0.75, 16.0, 0.25)


def test_a_rehearsal_leaves_nothing_behind(run, photos, logits_network):
    """An hour is time enough for the two epochs: they are those of a training that has no deadline."""
    held = Held(lambda start, end: np.full((end - start, SIZE, SIZE, 3), 128, np.uint8), np.array([0, 1]))
    recipe = replace(STEADY, rate=0.01, average=0.5, weight_decay=0.1)
    ends = []
    for name, deadline in (("timed", 3600.0), ("free", None)):
        network = logits_network()
        limits = Limits(2, 9, deadline, itertools.count(0, 0.001).__next__)
        batches, target = batches_of(photos, recipe), Run(run.path / name)
        fit(learner_of(network, recipe), recipe, batches, held, target, limits, View())
        ends.append((network, [astuple(row)[:7] for row in read_history(target.history)]))
    assert ends[0][1] == ends[1][1]
    assert same_weights(ends[0][0], ends[1][0])


def test_held_photos_are_asked_for_a_part_at_a_time(run, photos, logits_network):
    asked = []

    def pixels(start, end):
        asked.append((start, end))
        return np.full((end - start, SIZE, SIZE, 3), 128, np.uint8)

    truths = np.array([1] * 1500 + [0] * 500)
    learner, batches = learner_of(logits_network(), STEADY), batches_of(photos, STEADY)
    (row,) = fit(learner, STEADY, batches, Held(pixels, truths), run, Limits(1, 9), View()).history
    assert asked == [(0, 1024), (1024, 2000)]
    assert row.val_accuracy == pytest.approx(0.75)
