"""Logs for TensorBoard."""

from pathlib import Path
from typing import Final

import tensorflow as tf

from trainer.learning.fit import FitView
from trainer.learning.history import EpochFigures

__all__ = ["TensorBoardView"]

_SCALAR: Final = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class="DATA_CLASS_SCALAR"
)
"""Says that a number is to be drawn as a curve; ``tf.summary.scalar`` would want TensorBoard installed to say it."""


class TensorBoardView:
    """Tells another view, and writes each epoch's figures to a folder that ``tensorboard --logdir`` reads.

    Args:
        view: is told all the same.
        folder: for the logs.
    """

    def __init__(self, view: FitView, folder: Path) -> None:
        self._view = view
        self._writer = tf.summary.create_file_writer(str(folder))

    def step(self, done: int, total: int) -> None:
        """A step of the running epoch is done."""
        self._view.step(done, total)

    def epoch(self, figures: EpochFigures, epochs: int) -> None:
        """An epoch is done."""
        with self._writer.as_default(step=figures.epoch):
            for split in ("train", "val"):
                for what in ("loss", "accuracy"):
                    _write(f"{what}/{split}", getattr(figures, f"{split}_{what}"))
            _write("learning_rate", figures.lr)
            _write("images_per_s", figures.images_per_s)
            _write("waiting", figures.waiting)
        self._writer.flush()
        self._view.epoch(figures, epochs)


def _write(name: str, value: float) -> None:
    tf.summary.write(name, tf.constant(value, tf.float32), metadata=_SCALAR)
