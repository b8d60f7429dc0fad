"""What a person asks of ``hangtag train``."""

from dataclasses import dataclass
from pathlib import Path

from models.preprocess import PreprocessSpec
from trainer.arch import Arch
from trainer.learning.balance import Balance

__all__ = ["TrainRequest"]


@dataclass(frozen=True)
class TrainRequest:
    """What a person asks of ``hangtag train``.

    Attributes:
        data: labelled photos.
        run: the folder to leave; must not exist.
        arch: the architecture.
        preprocess: what turns each photo into pixels.
        epochs: at most; none for as many as suit the architecture, or fit into the time.
        batch: photos in a step; none for as many as suit the architecture.
        patience: epochs without a better one before training stops; none for a third of them.
        seed: of splits, weights, order and augmentation.
        cache: where pixels and looks are kept.
        splits: ``splits.csv`` of an earlier training, whose photos stay where they are.
        fix_leaks: whether the training twins of validation and test photos are set aside.
        weights: what the network begins with: ``imagenet``, ``none`` (random ones) or a file; none for what suits it.
        alpha: width of the network, where its architecture has such.
        balance: what is done about classes of unlike sizes; none to choose by how unlike they are.
        time_limit_s: what the whole training may take; its schedule is planned to that.
        folds: how many networks to train besides, each without a part of the training photos; none for as many as
            the number of validation photos asks for.
        tensorboard: whether to leave logs for TensorBoard.
        fold_weights: what the folds' networks begin with where the network itself begins with that of a run, which
            may have learned from these photos: ``imagenet``, ``none`` or a file; none for random ones.
        name: of the model; none for that of the run's folder.
    """

    data: Path
    run: Path
    arch: Arch
    preprocess: PreprocessSpec
    seed: int
    cache: Path
    epochs: int | None = None
    batch: int | None = None
    patience: int | None = None
    splits: Path | None = None
    fix_leaks: bool = False
    weights: str | None = None
    alpha: float | None = None
    balance: Balance | None = None
    time_limit_s: float | None = None
    folds: int | None = None
    tensorboard: bool = False
    fold_weights: str | None = None
    name: str | None = None
