from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.fit import Fit
from tests.unit.trainer.run_files import ARGS
from trainer.data.dataset import Split
from trainer.decide import choose_balance, choose_fit, decide, foretold_s, frozen_args, plan, plan_finetuning
from trainer.learning.training import new_network, pace_here
from trainer.learning.training_step import Pace
from trainer.request import Arch, Balance, NamedWeights, NetworkChoice, Preset, TrainRequest
from trainer.run import RunArgs
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.prepare import Prepared

CNN = NetworkChoice(Arch.CNN, 64, NamedWeights.NONE)
PORTRAITS = [(30, 40)] * 18


def prepared(learned: int = 1_600, held: int = 200, classes: tuple[str, ...] = ("hat", "vase")) -> Prepared:
    splits = [Split.TRAIN] * learned + [Split.VAL] * held
    photos = [
        AssignedPhoto(Path(f"{i}.jpg"), classes[i % len(classes)], split, str(i), str(i))
        for i, split in enumerate(splits)
    ]
    return Prepared(photos, [], classes, ())


def decided(data: Prepared, choice: NetworkChoice = CNN, **options: object) -> RunArgs:
    return decide(TrainRequest(data=Path("photos"), **options), "shop", choice, Fit.PAD, data, None)[0]


@pytest.mark.parametrize(
    ("shapes", "requested", "fit"),
    [
        ([*PORTRAITS, *[(40, 30)] * 2], None, Fit.STRETCH),
        ([*PORTRAITS[1:], *[(40, 30)] * 3], None, Fit.PAD),
        ([(38, 40)] * 20, None, Fit.PAD),
        ([*PORTRAITS, *[(40, 30)] * 2], Fit.PAD, Fit.PAD),
        ([(40, 40)] * 20, Fit.CROP, Fit.CROP),
        ([], None, Fit.PAD),
    ],
    ids=["nearly all portraits", "too many landscapes", "nearly squares", "pad", "crop", "none"],
)
def test_photos_of_one_shape_are_stretched_unless_somebody_says_otherwise(shapes, requested, fit):
    widths, heights = zip(*shapes, strict=True) if shapes else ((), ())
    chosen, note = choose_fit(requested, pa.table({"width": widths, "height": heights}))
    assert chosen is fit
    assert bool(note) == (fit is Fit.STRETCH)
    assert note is None or ("90%" in note and "25%" in note)


def test_open_options_are_decided_and_given_ones_stay():
    args = decided(prepared())
    assert (args.name, args.arch, args.image_size, args.weights) == ("shop", Arch.CNN, 64, "none")
    assert (args.epochs, args.batch, args.balance, args.folds, args.cv) == (60, 64, Balance.NONE, 2, False)
    assert args.data == Path("photos").resolve()
    asked = {"name": "hats", "epochs": 5, "batch": 8, "balance": Balance.WEIGHTS, "folds": 3, "seed": 7}
    args = decided(prepared(), **asked)
    assert {name: getattr(args, name) for name in asked} == asked


@pytest.mark.parametrize(
    ("learned", "held", "options", "folds", "full"),
    [
        (1_349, 150, {}, 5, True),
        (1_350, 150, {}, 2, False),
        (1_350, 150, {"folds": 4}, 4, False),
        (300, 40, {"folds": 3, "epochs": 2}, 3, True),
        (300, 40, {"folds": 0}, 0, False),
        (300, 40, {"epochs": 11}, 0, False),
    ],
)
def test_with_few_photos_folds_are_trained_in_full(learned, held, options, folds, full):
    args = decided(prepared(learned, held), **options)
    assert (args.folds, args.cv) == (folds, full)


@pytest.mark.parametrize(
    ("arch", "fold_weights", "folds", "begins"),
    [
        (Arch.MOBILENET, None, 0, "none"),
        (Arch.MOBILENET, "imagenet", 2, "imagenet"),
        (Arch.MOBILENET, "none", 0, "none"),
        (Arch.EFFICIENTNET_LITE0, None, 2, "imagenet"),
    ],
)
def test_folds_do_not_begin_with_the_weights_of_a_run(tmp_path, arch, fold_weights, folds, begins):
    """Folds are too short for random weights if the network needs pretrained ones; from a head, few epochs suffice."""
    (tmp_path / "best.keras").write_bytes(b"PK weights")
    args = decided(prepared(), NetworkChoice(arch, 64, tmp_path / "best.keras"), fold_weights=fold_weights)
    assert (args.folds, args.fold_weights) == (folds, begins)
    assert args.weights == str(tmp_path / "best.keras")
    assert args.weights_sha256


@pytest.fixture
def body(tmp_path):
    (tmp_path / "body.weights.h5").write_bytes(b"weights")
    return NetworkChoice(Arch.MOBILENET, 64, tmp_path / "body.weights.h5")


@pytest.mark.parametrize(
    ("options", "ends", "folds", "folds_of_heads"),
    [
        ({}, False, 2, 5),
        ({"preset": Preset.QUICK}, True, 2, 5),
        ({"epochs": 0, "folds": 3}, True, 3, 3),
        ({"epochs": 2, "folds": 0}, False, 0, 0),
    ],
)
def test_a_pretrained_network_has_a_head_first_that_five_folds_judge(body, options, ends, folds, folds_of_heads):
    args = decided(prepared(), body, **options)
    assert (args.begins_frozen, args.is_frozen, args.folds) == (True, ends, folds)
    head = frozen_args(TrainRequest(data=Path("photos"), **options), args)
    assert (head.is_frozen, head.folds, head.cv) == (True, folds_of_heads, folds_of_heads > 0)


@pytest.mark.parametrize("choice", [CNN, NetworkChoice(Arch.MOBILENET, 64, NamedWeights.NONE)])
def test_a_network_that_begins_from_nothing_learns_in_epochs(choice):
    args = decided(prepared(), choice, preset=Preset.QUICK)
    assert args.epochs > 0
    assert not args.begins_frozen


def test_rare_classes_weigh_more_and_a_note_says_so():
    rare = prepared(40, 4, classes=("hat", "hat", "hat", "hat", "vase"))
    rare = replace(rare, classes=("hat", "vase"))
    args, note = decide(TrainRequest(data=Path()), "shop", CNN, Fit.PAD, rare, None)
    assert args.balance is Balance.WEIGHTS
    assert "4.0 times" in note


REQUEST = TrainRequest(data=Path("photos"))


def planned(seconds: float | None, request: TrainRequest = REQUEST, **changes: object):
    """Plan with 1,000 photos a second, and 2 s to compile for each of three sizes."""
    timed = []

    def measure(args: RunArgs) -> Pace:
        timed.append(args)
        return Pace(1_000.0, 2.0)

    args = ARGS.model_copy(update={"time_limit_s": seconds} | changes)
    if args.begins_frozen:
        return *plan_finetuning(args, prepared(), seconds, measure), timed
    return *plan(request, args, prepared(), seconds, measure), timed


def test_without_a_time_limit_and_with_few_steps_nothing_is_timed():
    args, note, timed = planned(None, epochs=10)
    assert (args.epochs, note, timed) == (10, None, [])


@pytest.mark.parametrize(
    ("seconds", "epochs", "folds"), [(600.0, 120, 2), (130.0, 50, 2), (80.0, 28, 2), (60.0, 32, 0), (1.0, 1, 0)]
)
def test_folds_are_left_out_if_the_network_gets_less_than_half_of_its_epochs(seconds, epochs, folds):
    """40 epochs are usual; a fast machine trains up to three times as many."""
    args, note, timed = planned(seconds, folds=2)
    assert len(timed) == 1
    assert args.folds == folds
    assert args.epochs == epochs
    assert args.short_of_time == (note is not None) == (epochs < 40)
    assert note is None or ("no folds" in note) == (folds == 0)


@pytest.mark.parametrize(("seconds", "epochs"), [(600.0, 40), (130.0, 40), (80.0, 23), (50.0, 0), (-1.0, 0)])
def test_a_fitted_head_stays_if_fine_tuning_gets_less_than_half_of_its_epochs(seconds, epochs):
    """More epochs than usual would only overfit; after the time limit, no step is timed."""
    args, note, timed = planned(seconds, folds=2, arch=Arch.MOBILENET, weights="imagenet")
    assert (args.epochs, args.short_of_time, len(timed)) == (epochs, epochs < 40, seconds > 0)
    assert (note is None) == (epochs == 40)
    assert (
        bool(epochs) or "keeps the head on pretrained features; --preset quick trains the head on larger photos" in note
    )


def test_a_long_fine_tuning_is_foretold():
    """1,600 photos an epoch and 200 to judge, at 1,000 a second, and a third of that for each half of a fold."""
    args, note, timed = planned(None, folds=2, arch=Arch.MOBILENET, weights="imagenet")
    assert (args.epochs, note, len(timed)) == (40, None, 1)
    assert foretold_s(args, prepared()) == pytest.approx(1.68 * 40 * 4 / 3)
    args, _, timed = planned(None, folds=2, arch=Arch.MOBILENET, weights="imagenet", epochs=3)
    assert (timed, foretold_s(args, prepared())) == ([], None)


def test_timing_leaves_nothing_behind():
    args = ARGS.model_copy(update={"arch": Arch.SIMPLE, "image_size": 16, "batch": 8})
    before = new_network(args).get_weights()
    assert pace_here(args).photos_per_s > 0
    assert all((one == other).all() for one, other in zip(before, new_network(args).get_weights(), strict=True))


@pytest.mark.parametrize("counts", [[], [0, 0], [5], [30, 10], [30, 10, 0], [10, 10]])
def test_classes_within_a_ratio_of_three_are_left_alone(counts):
    assert choose_balance(counts, None) == (Balance.NONE, None)


@pytest.mark.parametrize("counts", [[31, 10], [1000, 900, 1], [31, 10, 0]])
def test_beyond_it_photos_are_weighed(counts):
    balance, note = choose_balance(counts, None)
    assert balance is Balance.WEIGHTS
    assert note


@given(st.lists(st.integers(0, 1000)), st.sampled_from(Balance))
def test_a_wish_is_obeyed_without_a_word(counts, wished):
    assert choose_balance(counts, wished) == (wished, None)
