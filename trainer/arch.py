"""The names of the architectures, without the networks: the command line lists them and loads no TensorFlow."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["Arch"]


class Arch(StrEnum):
    """A network that can be trained.

    ``cnn`` is our efficient one; ``simple`` is the classic recipe of three convolution blocks. The others are families
    of ``keras.applications``, which can start from what they learned on ImageNet.
    """

    CNN = "cnn"
    SIMPLE = "simple"
    MOBILENET = "mobilenet"
    MOBILENET_V2 = "mobilenet_v2"
    MOBILENET_V3_SMALL = "mobilenet_v3_small"
    MOBILENET_V3_LARGE = "mobilenet_v3_large"
    EFFICIENTNET_V2_B0 = "efficientnet_v2_b0"
    RESNET50_V2 = "resnet50_v2"
    VGG16 = "vgg16"
    CONVNEXT_TINY = "convnext_tiny"

    @property
    def is_transfer(self) -> bool:
        """Whether there are ImageNet weights to start from."""
        return self not in {Arch.CNN, Arch.SIMPLE}

    @property
    def alphas(self) -> tuple[float, ...]:
        """The width multipliers that have ImageNet weights; none where the architecture has one width only."""
        return _ALPHAS.get(self, ())

    @property
    def min_size(self) -> int:
        """The smallest side of the input, in pixels."""
        return 32 if self.is_transfer else 16

    @property
    def min_exported_size(self) -> int:
        """The smallest side of an input that the network can be exported with."""
        return _MIN_EXPORTED_SIZES.get(self, self.min_size)


_ALPHAS: Final[Mapping[Arch, tuple[float, ...]]] = MappingProxyType(
    {
        Arch.MOBILENET: (0.25, 0.5, 0.75, 1.0),
        Arch.MOBILENET_V2: (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
        Arch.MOBILENET_V3_SMALL: (0.75, 1.0),
        Arch.MOBILENET_V3_LARGE: (0.75, 1.0),
    }
)
_MIN_EXPORTED_SIZES: Final[Mapping[Arch, int]] = MappingProxyType({Arch.CONVNEXT_TINY: 64})
"""Of a smaller photo, the last maps of ConvNeXt are one pixel: tf2onnx converts the norms of such maps wrongly."""
