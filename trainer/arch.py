"""The names of the architectures, without the networks: the command line lists them and loads no TensorFlow."""

from enum import StrEnum

__all__ = ["Arch"]


class Arch(StrEnum):
    """A network that can be trained.

    ``cnn`` is our efficient one; ``simple`` is the classic recipe of three convolution blocks.
    """

    CNN = "cnn"
    SIMPLE = "simple"
