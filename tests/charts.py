"""Drawn size charts: photos without a product."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_SIDE = 240


def draw_charts(folder: Path, count: int, seed: int) -> list[Path]:
    folder.mkdir(parents=True)
    return [_draw(folder / f"{number}.png", np.random.default_rng((seed, number))) for number in range(count)]


def _draw(path: Path, rng: np.random.Generator) -> Path:
    paper, ink = (tuple(rng.integers(low, high, 3).tolist()) for low, high in ((215, 256), (0, 110)))
    image = Image.new("RGB", (_SIDE, _SIDE), paper)
    draw = ImageDraw.Draw(image)
    rows, columns = rng.integers(4, 9, 2).tolist()
    left, top = rng.integers(4, 30, 2).tolist()
    wide, high = (_SIDE - 2 * left) // columns, (_SIDE - 2 * top) // rows
    for row in range(rows):
        for column in range(columns):
            place = (left + column * wide, top + row * high)
            draw.rectangle((*place, place[0] + wide, place[1] + high), outline=ink)
            draw.text((place[0] + 4, place[1] + 4), str(rng.integers(20, 200)), fill=ink)
    image.save(path)
    return path
