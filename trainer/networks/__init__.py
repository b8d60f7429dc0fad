"""The networks: each takes pixels ``(batch, S, S, 3)`` in 0..255 and gives probabilities.

Two classes: one sigmoid unit, ``(batch, 1)``, the probability of the second class. More: softmax, ``(batch, classes)``.
In every architecture layers are named ``features`` (``(batch, D)``, after pooling), ``logits`` and ``probabilities``.
"""
