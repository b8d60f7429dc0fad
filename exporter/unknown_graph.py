"""The unknown score in TensorFlow's operations, for the graph that is converted."""

import numpy as np
import tensorflow as tf

from models.statistics.out_of_distribution import SHORTEST, DistanceHead

__all__ = ["distance", "energy"]


def energy(logits: tf.Tensor) -> tf.Tensor:
    """:func:`models.statistics.out_of_distribution.energy` of class logits.

    Args:
        logits: ``(batch, classes)``; of a sigmoid ``(batch, 1)``, whose other class has the logit 0.

    Returns:
        ``float32 (batch,)``.
    """
    columns = tf.concat([tf.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits
    largest = tf.reduce_max(columns, axis=1, keepdims=True)
    total = largest[:, 0] + tf.math.log(tf.reduce_sum(tf.exp(columns - largest), axis=1))
    return tf.reduce_mean(columns, axis=1) - total


def distance(features: tf.Tensor, head: DistanceHead) -> tf.Tensor:
    """:meth:`models.statistics.out_of_distribution.DistanceHead.score` of features.

    The nearest centre is found by expanding the square, which needs no ``(batch, C, K)`` tensor but loses digits where
    distances are small beside coordinates; its distance is then computed by subtraction, which loses none. So that few
    are lost in the search either, coordinates count from the middle of the centres.

    Args:
        features: ``float32 (batch, D)``.
        head: its arrays.

    Returns:
        ``float32 (batch,)``.
    """
    length = tf.sqrt(tf.reduce_sum(features * features, axis=1, keepdims=True))
    offsets = features / tf.maximum(length, SHORTEST) - head.mean
    middle = head.centres.mean(axis=0, dtype=np.float64)
    centres = (head.centres - middle).astype(np.float32)
    place = offsets @ head.within - middle.astype(np.float32)
    lengths = np.square(centres, dtype=np.float64).sum(axis=1).astype(np.float32)
    nearest = tf.argmin(lengths - 2.0 * (place @ centres.T), axis=1)
    score = _square(place - tf.gather(centres, nearest))
    return score - _square(offsets @ head.overall) if head.overall.shape[1] else score


def _square(difference: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(difference * difference, axis=1)
