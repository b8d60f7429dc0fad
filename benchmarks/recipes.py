"""What changes of ``cnn``'s recipe bring: photos held back, judged by log loss, Brier score and accuracy.

    python benchmarks/recipes.py photos/ --size 64 --seeds 0 1 --change '{}' --change '{"augmentation": {"erase": 0}}' \
        --change '{"stages": [[0.35, 0.5], [0.7, 0.75]]}' --change '{"fit": "crop"}'

Each change trains on half of the training photos for half of the recipe's epochs, so that photos and steps keep their
proportion; a change of the stages or the size gets as many epochs as cost the same. The photos are those of a train
folder; its other half and the validation folder judge. The test split is never looked at. At half the size a training
costs a quarter: what it says of augmentation holds, what it says of sizes is a hint.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exporter.load_tensorflow import load_tensorflow
from models.fit import Fit
from models.preprocess import PreprocessSpec
from trainer.data.dataset import Split, read_dataset
from trainer.request import Arch

SHARE = 0.5
"""Of the recipe's epochs, and of the training photos."""


def main() -> None:
    """Train each way with each seed, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="train, validation and test folders of class folders")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--change", action="append", type=json.loads, metavar="JSON", help="fields of the recipe")
    asked = parser.parse_args()
    load_tensorflow()
    for seed in asked.seeds:
        for change in asked.change or [{}]:
            began = time.monotonic()
            found = _trained(asked.photos, asked.size, dict(change), seed)
            print(json.dumps({"seed": seed, **change, **found, "seconds": round(time.monotonic() - began)}), flush=True)


def _trained(folder: Path, size: int, change: dict[str, Any], seed: int) -> dict[str, float]:
    import keras

    from models.process import default_cache
    from models.statistics.calibration import class_logits
    from trainer.data.photo_cache import PixelStore
    from trainer.learning.batches import Batches
    from trainer.learning.loop import Limits, ValidationPhotos, fit
    from trainer.learning.recipe import Stage, class_weights, recipe_for
    from trainer.learning.training import depth_groups
    from trainer.learning.training_step import Learner, has_bfloat16
    from trainer.networks.build import build_network
    from trainer.networks.choice import NamedWeights
    from trainer.run import Run
    from trainer.splits.prepare import decode_all

    usual = recipe_for(Arch.CNN, pretrained=False)
    store = PixelStore(default_cache(), PreprocessSpec(size=size, fit=Fit(change.pop("fit", Fit.PAD))))
    augmentation = replace(usual.augmentation, **change.pop("augmentation", {}))
    stages = tuple(Stage(*pair) for pair in change.pop("stages", ((one.until, one.scale) for one in usual.stages)))
    recipe = replace(usual, augmentation=augmentation, stages=stages, bfloat16=has_bfloat16(), **change)
    epochs = round(recipe.epochs * SHARE * _cost(usual.stages) / _cost(stages))

    photos, _ = decode_all([one for one in read_dataset(folder).photos if one.split is not Split.TEST], store)
    classes = sorted({photo.label for photo, _ in photos})
    sha256s = np.array([sha256 for _, sha256 in photos])
    labels = np.array([classes.index(photo.label) for photo, _ in photos], np.intp)
    learned = np.array([photo.split is Split.TRAIN and int(sha256, 16) % 2 == 0 for photo, sha256 in photos])

    keras.utils.set_random_seed(seed)
    network = build_network(Arch.CNN, size, len(classes), weights=NamedWeights.NONE, alpha=None)
    weights = class_weights(np.bincount(labels[learned], minlength=len(classes)).tolist())
    learner = Learner(network, recipe, depth_groups(network, 1), weights)
    batches = Batches(
        store, list(sha256s[learned]), labels[learned], classes=len(classes), batch=recipe.batch, seed=seed,
        augmentation=augmentation,
    )  # fmt: skip
    one = ValidationPhotos(lambda start, end: store.take(sha256s[start:end]), labels[:1])
    with tempfile.TemporaryDirectory() as run:
        fit(learner, recipe, batches, one, Run(Path(run)), Limits(epochs, epochs), _Silent())
    truth = labels[~learned]
    logits = class_logits(learner.logits(store.take(sha256s[~learned]))).astype(np.float64)
    return {"epochs": epochs, "learned": int(learned.sum()), "judged": len(truth), **_judged(logits, truth)}


def _cost(stages: Any) -> float:  # noqa: ANN401
    """The mean cost of an epoch; one of photos of full size costs 1."""
    ends = [*((stage.until, stage.scale) for stage in stages), (1.0, 1.0)]
    begins = [0.0, *(until for until, _ in ends)]
    return sum((until - begin) * scale**2 for (until, scale), begin in zip(ends, begins, strict=False))


def _judged(logits: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> dict[str, float]:
    logs = logits - logits.max(axis=1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    wrong = np.exp(logs) - np.eye(logits.shape[1])[truth]
    return {
        "log_loss": round(float(-logs[np.arange(len(truth)), truth].mean()), 4),
        "brier": round(float((wrong**2).sum(axis=1).mean()), 4),
        "accuracy": round(float((logs.argmax(axis=1) == truth).mean()), 4),
    }


class _Silent:
    def step(self, done: int, total: int) -> None: ...

    def epoch(self, figures: object, epochs: int) -> None: ...


if __name__ == "__main__":
    main()
