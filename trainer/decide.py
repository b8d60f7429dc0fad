"""Chooses options that the user did not set (fit, epochs, folds). A time limit may change epochs and folds."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa

from models.errors import InputError
from models.fit import Fit
from models.text import number_of
from pages.text import rough_duration
from trainer.data.dataset import Split
from trainer.learning.recipe import MANY_PHOTOS, mean_cost, recipe_for
from trainer.learning.training import pace_here, recipe_of
from trainer.learning.training_step import Pace
from trainer.networks.architectures import PRESETS
from trainer.networks.build import weights_file
from trainer.request import Arch, Balance, NamedWeights, NetworkChoice, Preset, TrainRequest, parse_weights
from trainer.run import RunArgs
from trainer.splits.prepare import Prepared

Measure: TypeAlias = Callable[[RunArgs], Pace]
_PACKAGES: Final = ("hangtag", "tensorflow", "keras", "numpy", "pillow")
_CV_FOLDS: Final = 5
_FOLDS: Final = 2
_ENOUGH_HELD: Final = 1_500
"""With this many validation photos, or as many as training photos, folds are not needed."""
_FEWEST_EPOCHS: Final = 12
"""From random weights, folds with fewer epochs than this learn too little to prove a precision."""
_ONE_SHAPE: Final = 0.1
"""Photos have the same shape if their aspect ratios differ from the median by at most this fraction."""
_NEARLY_ALL: Final = 0.9
_LITTLE_WHITE: Final = 0.1
"""Photos are stretched only if padding would leave at least this fraction of the square white."""
_MOST_EVEN: Final = 3.0
"""Photos are weighted by class if the largest class has more than this many times the photos of the smallest."""
_MORE_EPOCHS: Final = 3
"""If a time limit leaves time to spare, the usual number of epochs is multiplied by at most this factor."""
_WORTH_FORETELLING: Final = 100
"""The speed of fine-tuning is not measured if there are fewer steps than this."""
_JUDGING: Final = 0.4
"""The time to predict a photo, divided by the time to train on it."""
_SAVING_S: Final = 0.5
"""Seconds to save a network after each epoch."""


def choose_fit(requested: Fit | None, statistics: pa.Table) -> tuple[Fit, str | None]:
    """Choose padding or stretching to a square. Also returns a note for the user if Hangtag stretches photos.

    Photos of the same shape are stretched: stretching distorts all of them equally.
    """
    if requested is not None or not len(statistics):
        return requested or Fit.PAD, None
    shapes = np.divide(statistics["width"], statistics["height"])
    median = float(np.median(shapes))
    alike, white = float(np.mean(np.abs(shapes / median - 1) <= _ONE_SHAPE)), 1 - min(median, 1 / median)
    if alike < _NEARLY_ALL or white < _LITTLE_WHITE:
        return Fit.PAD, None
    note = (
        f"Photos are stretched to a square. For {alike:.0%} of the photos, the width is about {median:.2f} × the "
        f"height. Padding would make {white:.0%} of the square white; use --fit pad to keep the shape"
    )
    return Fit.STRETCH, note


def choose_balance(counts: Sequence[int], wished: Balance | None) -> tuple[Balance, str | None]:
    """Choose the balance of classes. Also returns a note for the user if photos get weights."""
    present = [count for count in counts if count]
    ratio = max(present, default=1) / min(present, default=1)
    if wished is not None or ratio <= _MOST_EVEN:
        return wished or Balance.NONE, None
    return Balance.WEIGHTS, (
        f"Photos of rare classes get larger weights, because the largest class has {ratio:.1f} times the photos of "
        "the smallest; for equal weights: --balance none"
    )


def decide(
    request: TrainRequest,
    name: str,
    choice: NetworkChoice,
    fit: Fit,
    prepared: Prepared,
    parents: Mapping[str, str] | None,
) -> tuple[RunArgs, str | None]:
    """Choose the settings of the run ``name``, ignoring the time limit.

    Also returns a note for the user on rare classes.
    """
    weights = str(choice.weights.resolve() if isinstance(choice.weights, Path) else choice.weights)
    recipe = recipe_for(choice.arch, pretrained=choice.weights is not NamedWeights.NONE)
    learned = Counter(photo.label for photo in prepared.of(Split.TRAIN))
    counts = [learned[name] for name in prepared.classes]
    batch = request.batch or recipe.batch_of(learned.total())
    fold_weights = _fold_weights(request, choice.arch, weights)
    from_head = recipe.head_first and fold_weights is None
    epochs = _epochs(request, recipe.epochs_of(learned.total(), batch), from_head=from_head)
    begin_with_head = recipe_for(choice.arch, pretrained=(fold_weights or weights) != NamedWeights.NONE).head_first
    # the usual epochs of a pretrained network are too few for folds from random weights
    in_vain = not begin_with_head and (epochs < _FEWEST_EPOCHS or (choice.arch.is_transfer and bool(fold_weights)))
    folds, cv = _folds(request, prepared, in_vain=in_vain)
    balance, balanced = choose_balance(counts, request.balance)
    chosen = {
        "name": request.name or name,
        "data": request.data.resolve(),
        "splits": request.splits and request.splits.resolve(),
        "arch": choice.arch,
        "alpha": choice.alpha,
        "weights": weights,
        "image_size": choice.size,
        "fit": fit,
        "epochs": epochs,
        "batch": batch,
        "balance": balance,
        "folds": folds,
        "fold_weights": fold_weights,
        "taxonomy": request.taxonomy and request.taxonomy.resolve(),
        "parents": parents,
    }
    args = RunArgs(
        **dict(request) | chosen,
        cv=cv,
        classes=prepared.classes,
        weights_sha256=_sha256(choice),
        made_with={package: version(package) for package in _PACKAGES},
    )
    return args, balanced


def check_weights(args: RunArgs) -> None:
    """Raise an InputError if the file of initial weights changed after the run began."""
    choice = NetworkChoice(args.arch, args.image_size, parse_weights(args.weights), args.alpha)
    if _sha256(choice) != args.weights_sha256:
        msg = f"Expected the run's initial weights ({args.weights}), but the file has changed; train again."
        raise InputError(msg)


def _sha256(choice: NetworkChoice) -> str | None:
    file = weights_file(choice)
    if file is None:
        return None
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _fold_weights(request: TrainRequest, arch: Arch, weights: str) -> str | None:
    """Initial weights of the folds, which must not come from a training on these photos."""
    if Path(weights).suffix != ".keras":
        return None
    return request.fold_weights or (NamedWeights.IMAGENET if arch.is_lite else NamedWeights.NONE).value


def _epochs(request: TrainRequest, usual: int, *, from_head: bool) -> int:
    preset = request.preset or Preset.GOOD
    if request.epochs is not None:
        return request.epochs
    if from_head and preset is Preset.QUICK:
        return 0
    return max(1, round(usual * PRESETS[preset].length))


def _folds(request: TrainRequest, prepared: Prepared, *, in_vain: bool) -> tuple[int, bool]:
    """Choose the number of folds, and whether to cross-validate.

    The default is 5 folds for few photos, 2 folds if validation photos are few and fewer than training photos, and
    otherwise 0.
    """
    held, learned = (len(prepared.of(split)) for split in (Split.VAL, Split.TRAIN))
    few, folds = held + learned < MANY_PHOTOS, request.folds
    if folds is None:
        enough = held >= min(_ENOUGH_HELD, learned)
        folds = 0 if in_vain else _CV_FOLDS if few else 0 if enough else _FOLDS
    return folds, folds > 0 and few


def frozen_args(request: TrainRequest, args: RunArgs) -> RunArgs:
    """Return a copy of ``args`` that trains only a head, without fine-tuning."""
    folds = _CV_FOLDS if request.folds is None else request.folds
    return args.model_copy(update={"epochs": 0, "best_epoch": 0, "folds": folds, "cv": folds > 0})


def plan(
    request: TrainRequest, args: RunArgs, prepared: Prepared, seconds: float | None, measure: Measure = pace_here
) -> tuple[RunArgs, str | None]:
    """Choose the epochs and folds that fit into the time limit. Also returns a note if either was reduced.

    ``args``: the settings without a time limit. ``seconds``: the time left for training all networks. None means no
    limit. ``measure`` returns the training speed.
    """
    if seconds is None:
        return args, None
    args, pace = _timed(args, measure)
    usual, held = args.epochs, len(prepared.of(Split.VAL))
    fitting, without_folds = _epochs_in(seconds, args, prepared, pace), False
    if args.folds and fitting < min(usual, max(_FEWEST_EPOCHS, usual // 2)):
        args, without_folds = args.model_copy(update={"folds": 0, "cv": False}), True
        fitting = _epochs_in(seconds, args, prepared, pace)
    epochs = max(1, min(fitting, usual if request.epochs else usual * _MORE_EPOCHS))
    room = [f"{epochs} of the usual {number_of(usual, 'epoch')}"] if epochs < usual else []
    if without_folds:
        room.append(f"no folds: promises are based only on {number_of(held, 'validation photo')}")
    return _fitted(args, epochs, f"room for {' and '.join(room)}" if room else None)


def plan_finetuning(
    args: RunArgs, prepared: Prepared, seconds: float | None, measure: Measure = pace_here
) -> tuple[RunArgs, str | None]:
    """Plan the fine-tuning that follows the fitting of the head; see :func:`plan`.

    Chooses 0 epochs if there is no time for half of the usual epochs. Keeps all folds: with fewer folds, a
    promise would be based on fewer photos.
    """
    usual = args.epochs
    steps = math.ceil(len(prepared.of(Split.TRAIN)) / args.batch) * usual
    if seconds is None:
        return _timed(args, measure)[0] if steps >= _WORTH_FORETELLING else args, None
    fitting = 0
    if seconds > 0:
        args, pace = _timed(args, measure)
        fitting = min(usual, _epochs_in(seconds, args, prepared, pace))
    if 2 * fitting < usual:
        quick = PRESETS[Preset.QUICK].size_of(args.arch, pretrained=True)
        more = f"; --preset quick trains the head on larger photos ({quick} px)" if args.image_size < quick else ""
        return _fitted(args, 0, f"no time to fine-tune: the run keeps the head on pretrained features{more}")
    few = f"time for {fitting} of the usual {number_of(usual, 'epoch')}" if fitting < usual else None
    return _fitted(args, fitting, few)


def _timed(args: RunArgs, measure: Measure) -> tuple[RunArgs, Pace]:
    pace = measure(args)
    return args.model_copy(update={"photos_per_s": pace.photos_per_s}), pace


def _fitted(args: RunArgs, epochs: int, left: str | None) -> tuple[RunArgs, str | None]:
    args = args.model_copy(update={"epochs": epochs, "short_of_time": args.short_of_time or left is not None})
    return args, left and f"A time limit of {rough_duration(args.time_limit_s or 0)} leaves {left}"


def foretold_s(args: RunArgs, prepared: Prepared) -> float | None:
    """Estimate the training time of all networks, in seconds. None if the speed was not measured."""
    if not args.photos_per_s:
        return None
    return _photos_of_epoch(args, prepared) / args.photos_per_s * args.epochs * (1 + args.cost_of_folds)


def _epochs_in(seconds: float, args: RunArgs, prepared: Prepared, pace: Pace) -> int:
    recipe = recipe_of(args)
    epoch_s = _photos_of_epoch(args, prepared) / pace.photos_per_s + _SAVING_S
    begin_s = pace.compile_s * (1 + len(recipe.stages)) + (epoch_s if recipe.head_first else 0.0)
    return int((seconds - begin_s * (1 + args.folds)) / (epoch_s * (1 + args.cost_of_folds)))


def _photos_of_epoch(args: RunArgs, prepared: Prepared) -> float:
    learned, held = (len(prepared.of(split)) for split in (Split.TRAIN, Split.VAL))
    return learned * mean_cost(0.0, recipe_of(args).stages) + held * _JUDGING
