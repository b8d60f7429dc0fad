"""One photo: a product in some pose, cloth, colour and light, before something."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from trainer.sample.backdrop import PAPER, choose_backdrop, paint_backdrop
from trainer.sample.chance import pick
from trainer.sample.fabric import cover_body
from trainer.sample.ink import InkMap, print_parts
from trainer.sample.light import cast_shadow, light_photo
from trainer.sample.palette import Colour, Colourway, choose_colourway
from trainer.sample.pose import choose_pose
from trainer.sample.products import PRODUCTS

__all__ = ["Photo", "draw_photo"]

_LONG_SIDE_PX = (190, 421)
_SHORT_SIDE_PX = 160
_ASPECTS = (1.0, 1.0, 6 / 5, 5 / 4, 4 / 3)
_SHADE, _SHINE = 0.32, 0.45
_BLACK: Colour = (0, 0, 0)
_WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True)
class Photo:
    """What the camera saw.

    Attributes:
        image: the photo, RGB.
        coverage: grey, 255 where the product is; the alpha of a cut-out.
    """

    image: Image.Image
    coverage: Image.Image


def draw_photo(rng: np.random.Generator, product: str, *, cut_out: bool = False) -> Photo:
    """Draws one photo of a product, a key of ``PRODUCTS``; a cut-out stands on bare white, without a shadow."""
    size = _choose_size(rng)
    parts = PRODUCTS[product](rng)
    pose = choose_pose(rng, parts, size)
    inks = print_parts(pose.place(parts), size)
    backdrop = PAPER if cut_out else choose_backdrop(rng)
    colours = choose_colourway(rng, backdrop.colour)
    body = cover_body(rng, pose, colours, size)
    scene = paint_backdrop(rng, backdrop, size)
    if not cut_out:
        cast_shadow(rng, scene, inks.coverage)
    lit = light_photo(rng, _compose(scene, body, inks, colours), inks.coverage)
    return Photo(lit, inks.coverage)


def _choose_size(rng: np.random.Generator) -> tuple[int, int]:
    """Chooses a width and a height: square, or lying, or standing."""
    long = int(rng.integers(*_LONG_SIDE_PX))
    short = max(_SHORT_SIDE_PX, round(long / pick(rng, _ASPECTS)))
    return pick(rng, ((long, short), (short, long)))


def _compose(scene: Image.Image, body: Image.Image, inks: InkMap, colours: Colourway) -> Image.Image:
    """Lays the product on the scene, ink by ink."""
    scene.paste(body, mask=inks.coverage)
    _dye(scene, colours.trim, inks.trim)
    _dye(scene, _BLACK, inks.shade.point(lambda value: value * _SHADE))
    _dye(scene, _WHITE, inks.light.point(lambda value: value * _SHINE))
    return scene


def _dye(scene: Image.Image, colour: Colour, mask: Image.Image) -> None:
    """Pastes a colour through a mask, of which only the box that holds anything is gone through."""
    box = mask.getbbox()
    if box is not None:
        scene.paste(colour, box, mask.crop(box))
