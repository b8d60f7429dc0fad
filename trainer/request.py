"""What a person asks of ``hangtag train``."""

from dataclasses import dataclass
from pathlib import Path

from models.preprocess import PreprocessSpec
from trainer.arch import Arch

__all__ = ["TrainRequest"]


@dataclass(frozen=True)
class TrainRequest:
    """What a person asks of ``hangtag train``.

    Attributes:
        data: labelled photos.
        run: the folder to leave; must not exist.
        arch: the architecture.
        preprocess: what turns each photo into pixels.
        epochs: at most.
        batch: photos in a step.
        patience: epochs without a better one before training stops.
        seed: of splits, weights, order and augmentation.
        cache: where pixels and looks are kept.
        splits: ``splits.csv`` of an earlier training, whose photos stay where they are.
        fix_leaks: whether the training twins of validation and test photos are set aside.
    """

    data: Path
    run: Path
    arch: Arch
    preprocess: PreprocessSpec
    epochs: int
    batch: int
    patience: int
    seed: int
    cache: Path
    splits: Path | None = None
    fix_leaks: bool = False
