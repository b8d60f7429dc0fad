"""The classes of the sample catalogue, by the name of their folder."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from trainer.sample.cloth import draw_dress, draw_hat, draw_t_shirt, draw_trousers
from trainer.sample.home import draw_clock, draw_cushion, draw_lamp, draw_vase
from trainer.sample.ink import Parts

__all__ = ["PRODUCTS"]

PRODUCTS: Mapping[str, Callable[[np.random.Generator], Parts]] = MappingProxyType(
    {
        "clock": draw_clock,
        "cushion": draw_cushion,
        "dress": draw_dress,
        "hat": draw_hat,
        "lamp": draw_lamp,
        "t-shirt": draw_t_shirt,
        "trousers": draw_trousers,
        "vase": draw_vase,
    }
)
