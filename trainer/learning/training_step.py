"""A training step, the running average of the weights, and the saved state to resume from."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from models.errors import InputError
from models.whole_file import replacing
from trainer.learning.recipe import Recipe

_TIMED: Final = 4


class Learner:
    """Trains a network, and keeps a running average of its weights (Polyak & Juditsky 1992).

    The network ends in layers named ``logits`` and ``probabilities``. ``groups``: trainable variables,
    one group for each factor in ``depth_rates``. ``class_weights`` are ``float32 (classes,)``.
    """

    def __init__(
        self,
        network: keras.Model,
        recipe: Recipe,
        groups: Sequence[Sequence[keras.Variable]],
        class_weights: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.network = network
        self._recipe = recipe
        self._logits = keras.Model(network.inputs, network.get_layer("logits").output)
        paired = zip(groups, recipe.depth_rates, strict=True)
        self._optimizers = [(_optimizer(recipe, group), times, group) for group, times in paired if group]
        self._binary = self._logits.output_shape[-1] == 1
        loss = keras.losses.BinaryCrossentropy if self._binary else keras.losses.CategoricalCrossentropy
        self._losses = loss(from_logits=True, label_smoothing=recipe.smoothing, reduction=None)
        self._class_weights = None if class_weights is None else tf.constant(class_weights)
        self._averaged = [v for v in network.variables if v.dtype == "float32"] if recipe.average else []
        self._average = [tf.Variable(v.value, trainable=False) for v in self._averaged]
        self._steps = 0
        self._step = tf.function(self._one_step, reduce_retracing=False, autograph=False)
        answer = partial(self._logits, training=False)
        self._answer = tf.function(answer, reduce_retracing=True, autograph=False)

    def step(self, pixels: tf.Tensor, targets: tf.Tensor, rate: float, share: float) -> tuple[tf.Tensor, tf.Tensor]:
        """Train on a batch. Returns the mean loss and accuracy before the step.

        Pixels are ``float32 (batch, s, s, 3)`` in 0..255, targets ``float32 (batch, units)``. ``share``: the
        training progress that this step adds, 0 to 1.
        """
        self._steps += 1
        keep = 0.0
        if self._recipe.average:
            young = (1.0 + self._steps) / (10.0 + self._steps)
            keep = min(young, math.exp(-share / self._recipe.average))
        loss, right = self._step(pixels, targets, tf.constant(rate, tf.float32), tf.constant(keep, tf.float32))
        return loss, right

    def logits(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The network's logits ``float32 (n, units)`` for pixels ``uint8 (n, S, S, 3)``."""
        return np.asarray(self._answer(tf.cast(pixels, tf.float32)), np.float32)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Replace the network's weights by their running average inside the ``with`` block."""
        own = [v.numpy() for v in self._averaged]
        self._give(self._average)
        try:
            yield
        finally:
            self._give(own)

    def use_average(self) -> None:
        """Replace the network's weights by their running average."""
        self._give(self._average)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Copy all variables that a resumed training needs."""
        arrays = {f"v{i}": np.array(variable.numpy()) for i, variable in enumerate(self._variables())}
        return {"steps": np.array(self._steps), **arrays}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore a state. Raises InputError if the state is from another network."""
        arrays = self._variables()
        if any(f"v{i}" not in state or state[f"v{i}"].shape != tuple(v.shape) for i, v in enumerate(arrays)):
            msg = "The saved state is from another network; train again."
            raise InputError(msg)
        for i, variable in enumerate(arrays):
            variable.assign(state[f"v{i}"])
        self._steps = int(state["steps"])

    def _one_step(
        self, pixels: tf.Tensor, targets: tf.Tensor, rate: tf.Tensor, keep: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = self._logits(pixels, training=True)
            losses = self._losses(targets, logits)
            if self._class_weights is not None:
                shares = tf.concat([1.0 - targets, targets], axis=1) if self._binary else targets
                losses *= tf.linalg.matvec(shares, self._class_weights)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, [[v.value for v in group] for _, _, group in self._optimizers])
        for (optimizer, times, group), group_gradients in zip(self._optimizers, gradients, strict=True):
            optimizer.learning_rate.assign(rate * times)
            optimizer.apply(group_gradients, group)
        for average, own in zip(self._average, self._averaged, strict=True):
            average.assign(keep * average + (1.0 - keep) * own.value)
        binary, categorical = keras.metrics.binary_accuracy, keras.metrics.categorical_accuracy
        right = binary(targets, logits, threshold=0.0) if self._binary else categorical(targets, logits)
        return loss, tf.reduce_mean(right)

    def _give(self, values: Sequence[Any]) -> None:
        for variable, value in zip(self._averaged, values, strict=True):
            variable.assign(value)

    def _variables(self) -> list[Any]:
        of_optimizers = (variable for optimizer, _, _ in self._optimizers for variable in optimizer.variables)
        return [*self.network.variables, *of_optimizers, *self._average]


def _optimizer(recipe: Recipe, variables: Sequence[keras.Variable]) -> keras.Optimizer:
    optimizer = keras.optimizers.AdamW(recipe.rate, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(variables)
    return optimizer


@dataclass(frozen=True)
class Pace:
    """The training speed with full-size photos, and the seconds to compile the network for another photo size."""

    photos_per_s: float
    compile_s: float


def measure_pace(learner: Learner, size: int, batch: int, clock: Callable[[], float] = time.perf_counter) -> Pace:
    """Measure training speed by the fastest of four steps, after a first step that compiles the network.

    The steps train on noise ``(batch, size, size, 3)``, so do not use the network afterwards.
    """
    chance, seconds = np.random.default_rng(0), []
    pixels = tf.constant(chance.uniform(0.0, 255.0, (batch, size, size, 3)).astype(np.float32))
    targets = tf.zeros((batch, learner.network.output_shape[-1]))
    for _ in range(1 + _TIMED):
        began = clock()
        float(learner.step(pixels, targets, 0.0, 0.0)[0])  # float() waits for the result
        seconds.append(clock() - began)
    first, *steps = seconds
    return Pace(batch / min(steps), first - min(steps))


def save_network(network: keras.Model, path: Path) -> None:
    """Write a ``.keras`` file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, path.suffix) as temporary:
        network.save(temporary)
