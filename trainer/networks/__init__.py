"""The networks, which take pixels ``(batch, S, S, 3)`` in 0..255 and return probabilities.

For two classes, one sigmoid unit ``(batch, 1)`` gives the probability of the second class. For more classes, softmax
gives ``(batch, classes)``. Every architecture has layers named ``features`` (``(batch, D)``, after pooling), ``logits``
and ``probabilities``.
"""
