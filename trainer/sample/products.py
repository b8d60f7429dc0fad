"""The classes of the sample catalogue, by the name of their folder."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from trainer.sample.chance import pick
from trainer.sample.shapes import (
    Ink,
    Outline,
    Part,
    Parts,
    both_sides,
    box,
    ellipse,
    line,
    mirrored,
    ribbon,
    rotation,
    smooth,
)


def _t_shirt(rng: np.random.Generator) -> Parts:
    """A shirt with short sleeves, a round or pointed neck, and now and then a print on the chest."""
    hem = (rng.uniform(0.44, 0.5), rng.uniform(0.7, 0.92))
    cuff = pick(rng, [line((1.0, -0.36), (0.76, -0.1)), line((0.96, -0.2), (0.72, 0.0))])
    shoulder, armpit = (0.5, -0.84), (0.46, -0.34)
    side = np.concatenate([line((0.0, -0.92), (0.2, -0.94), shoulder), cuff, line(armpit, (0.44, 0.2), hem)])
    seam = ribbon(smooth([shoulder, (0.43, -0.6), armpit]), 0.025)
    sleeve_ends = both_sides(ribbon(cuff - 0.02, 0.07), Ink.TRIM)
    folds = both_sides(ribbon(smooth([(0.4, -0.25), (0.3, 0.1), (0.36, 0.5)]), 0.025), Ink.SHADE)
    shirt = [Part(mirrored(side)), *sleeve_ends, *both_sides(seam, Ink.SHADE), *folds]
    return [*shirt, *_collar(rng, 0.21), *_chest_print(rng)]


def _collar(rng: np.random.Generator, width: float) -> Parts:
    """The inside of the back, seen through the neck, and the trim along its edge."""
    depth = rng.uniform(0.14, 0.3)
    round_neck = ellipse((0.0, -0.94), (width, depth), 0.0, 0.5)
    pointed_neck = line((width, -0.95), (0.0, -0.9 + depth), (-width, -0.95))
    front = pick(rng, [round_neck, pointed_neck])
    return [Part(front, Ink.SHADE), Part(ribbon(front, 0.06), Ink.TRIM)]


def _chest_print(rng: np.random.Generator) -> Parts:
    disc = [Part(ellipse((0.0, -0.1), (0.22, 0.22)), Ink.TRIM), Part(ellipse((0.0, -0.1), (0.12, 0.12)), Ink.LIGHT)]
    band = [Part(box(-0.44, -0.2, 0.44, -0.02), Ink.TRIM)]
    pocket = [Part(box(0.1, -0.3, 0.34, -0.02), Ink.SHADE), Part(box(0.1, -0.3, 0.34, -0.24), Ink.TRIM)]
    return pick(rng, [disc, band, pocket, [], []])


def _dress(rng: np.random.Generator) -> Parts:
    """A narrow bodice on straps or cap sleeves, a belt, and a skirt that widens to a wavy hem."""
    waist, width = rng.uniform(-0.3, -0.12), rng.uniform(0.52, 0.78)
    bodice = [(0.32, -0.62), (0.27, -0.45), (0.22, waist)]
    skirt = [(0.42, 0.25), (width, 0.92)]
    hem = [(width * at, 0.92 + 0.05 * (i % 2)) for i, at in enumerate((0.75, 0.5, 0.25, 0.0))]
    right = np.concatenate([line((0.0, -0.62)), smooth([*bodice, *skirt]), smooth(hem)])
    belt = Part(box(-0.24, waist - 0.05, 0.24, waist + 0.05), Ink.TRIM)
    pleats = [both_sides(_pleat(at, waist, width), Ink.SHADE) for at in (0.2, 0.6)]
    return [*_shoulders(rng), Part(mirrored(right)), *pleats[0], *pleats[1], belt]


def _pleat(at: float, waist: float, width: float) -> Outline:
    return ribbon(smooth([(0.2 * at, waist), (0.4 * at, 0.3), (width * at, 0.9)]), 0.03)


def _shoulders(rng: np.random.Generator) -> Parts:
    straps = both_sides(ribbon(smooth([(0.27, -0.58), (0.24, -0.8), (0.16, -0.98)]), 0.07), Ink.TRIM)
    cap = line((0.12, -0.98), (0.3, -0.96), (0.52, -0.72), (0.36, -0.6), (0.3, -0.5), (0.12, -0.6))
    return pick(rng, [straps, both_sides(cap, Ink.BODY)])


def _trousers(rng: np.random.Generator) -> Parts:
    """Two legs, narrow to flared, from a waistband with pockets and a fly."""
    hip, spread_at_hem = rng.uniform(0.4, 0.48), rng.uniform(0.4, 0.6)
    leg = rng.uniform(0.26, 0.36)
    outer = smooth([(0.34, -0.95), (hip, -0.6), ((hip + spread_at_hem) / 2, 0.1), (spread_at_hem, 0.96)])
    inner = line((spread_at_hem - leg, 0.96), (0.1, 0.1), (0.03, -0.36), (0.0, -0.4))
    crease = ribbon(line((0.27, -0.35), (spread_at_hem - leg / 2, 0.92)), 0.025)
    pocket = ribbon(smooth([(0.2, -0.8), (0.24, -0.64), (hip - 0.03, -0.56)]), 0.035)
    fly = Part(ribbon(line((0.0, -0.8), (0.0, -0.42)), 0.03), Ink.SHADE)
    band = Part(box(-0.35, -0.97, 0.35, -0.82), Ink.TRIM)
    legs = Part(mirrored(np.concatenate([outer, inner])))
    lines = [*both_sides(crease, Ink.SHADE), *both_sides(pocket, Ink.SHADE), fly]
    return [legs, *lines, band, *_turn_ups(rng, spread_at_hem, leg)]


def _turn_ups(rng: np.random.Generator, outer: float, leg: float) -> Parts:
    cuff = box(outer - leg - 0.01, 0.84, outer + 0.01, 0.98)
    return pick(rng, [both_sides(cuff, Ink.LIGHT), []])


def _hat(rng: np.random.Generator) -> Parts:
    """A hat with a wide brim and a band; its crown is dented or round."""
    height, droop = rng.uniform(-0.75, -0.5), rng.uniform(0.2, 0.3)
    brim = [Part(ellipse((0.0, 0.4), (1.0, droop))), Part(_under_brim(droop), Ink.SHADE)]
    dented, bowler = [(0.0, height + 0.06), (0.28, height), (0.46, -0.3)], [(0.0, height), (0.34, height + 0.12)]
    crown = smooth([*pick(rng, [dented, bowler]), (0.54, 0.2), (0.52, 0.42), (0.0, 0.52)])
    dent = ribbon(smooth([(-0.12, height + 0.12), (0.0, height + 0.25), (0.02, -0.1)]), 0.05)
    return [*brim, Part(mirrored(crown)), Part(dent, Ink.SHADE), Part(_hat_band(), Ink.TRIM)]


def _under_brim(droop: float) -> Outline:
    return ribbon(ellipse((0.0, 0.4), (0.96, droop - 0.03), 0.03, 0.47), 0.05)


def _hat_band() -> Outline:
    top = smooth([(0.0, 0.16), (0.3, 0.12), (0.5, 0.02)])
    end_and_bottom = smooth([(0.5, 0.0), (0.54, 0.22), (0.52, 0.4), (0.3, 0.49), (0.0, 0.52)])
    return mirrored(np.concatenate([top, end_and_bottom]))


def _lamp(rng: np.random.Generator) -> Parts:
    """A table lamp: a shade on a slim pole or a round belly, with a foot."""
    top, wide, edge = rng.uniform(0.22, 0.4), rng.uniform(0.56, 0.72), rng.uniform(-0.2, -0.02)
    cone = line((top, -0.95), (wide, edge))
    dome = smooth([(0.0, -0.95), (wide * 0.6, -0.82), (wide * 0.95, -0.4), (wide, edge)])
    shade = Part(mirrored(pick(rng, [cone, cone, dome])))
    rim = Part(ribbon(line((-wide, edge - 0.03), (wide, edge - 0.03)), 0.06), Ink.TRIM)
    glow = Part(line((-0.3, edge - 0.1), (-top * 0.6, -0.85), (-top * 0.2, -0.85), (-0.08, edge - 0.1)), Ink.LIGHT)
    return [*_lamp_stand(rng, edge), shade, glow, rim]


def _lamp_stand(rng: np.random.Generator, edge: float) -> Parts:
    foot_width = rng.uniform(0.3, 0.44)
    foot = smooth([(0.05, 0.8), (foot_width * 0.7, 0.86), (foot_width, 0.96)])
    pole = box(-0.05, edge - 0.1, 0.05, 0.9)
    belly = smooth([(0.06, edge), (0.1, 0.1), (0.34, 0.42), (0.26, 0.74), (0.14, 0.86)])
    shine = ribbon(smooth([(-0.16, 0.3), (-0.2, 0.45), (-0.14, 0.62)]), 0.05)
    slim = [Part(pole, Ink.TRIM), Part(ellipse((0.0, 0.3), (0.11, 0.09)), Ink.SHADE)]
    full = [Part(pole, Ink.SHADE), Part(mirrored(belly), Ink.TRIM), Part(shine, Ink.LIGHT)]
    return [*pick(rng, [slim, full]), Part(mirrored(foot), Ink.TRIM)]


def _vase(rng: np.random.Generator) -> Parts:
    """A turned vase, with or without handles, bands and flowers."""
    lip, neck = rng.uniform(0.2, 0.34), rng.uniform(0.13, 0.2)
    belly, foot = rng.uniform(0.42, 0.58), rng.uniform(0.2, 0.3)
    low = rng.uniform(0.15, 0.45)
    profile = smooth([(lip, -0.6), (neck, -0.36), (belly, low), (foot * 1.1, 0.86), (foot, 0.96)])
    opening = ellipse((0.0, -0.6), (lip, 0.07))
    mouth = [Part(opening, Ink.SHADE), Part(ribbon(opening, 0.035), Ink.TRIM)]
    gleam = smooth([(-belly * 0.45, low - 0.25), (-belly * 0.62, low), (-belly * 0.5, low + 0.25)])
    shine = Part(ribbon(gleam, 0.07), Ink.LIGHT)
    band = Part(ribbon(smooth([(-neck - 0.02, -0.32), (0.0, -0.28), (neck + 0.02, -0.32)]), 0.07), Ink.TRIM)
    base = Part(box(-foot, 0.9, foot, 0.97), Ink.SHADE)
    return [*_vase_dressing(rng, lip, belly), Part(mirrored(profile)), shine, band, base, *mouth]


def _vase_dressing(rng: np.random.Generator, lip: float, belly: float) -> Parts:
    handle = ribbon(smooth([(lip * 0.7, -0.48), (belly + 0.06, -0.4), (belly + 0.08, -0.1), (belly * 0.8, 0.1)]), 0.07)
    handles = both_sides(handle, Ink.TRIM)
    return pick(rng, [handles, [], _flowers(rng)])


def _flowers(rng: np.random.Generator) -> Parts:
    parts: Parts = []
    for lean in (-0.42, 0.05, 0.45):
        head = (lean + rng.uniform(-0.06, 0.06), rng.uniform(-1.3, -1.05))
        stem = ribbon(smooth([(lean * 0.2, -0.55), (lean * 0.6, -0.85), head]), 0.045)
        parts += [Part(stem, Ink.SHADE), *_flower(head)]
    return parts


def _flower(centre: tuple[float, float]) -> Parts:
    around = ellipse(centre, (0.12, 0.12))[:-1:8]
    petals = [Part(ellipse((float(x), float(y)), (0.09, 0.09)), Ink.TRIM) for x, y in around]
    return [*petals, Part(ellipse(centre, (0.07, 0.07)), Ink.LIGHT)]


def _cushion(rng: np.random.Generator) -> Parts:
    """A plump oblong with pointed corners, piping, and a button, a cross seam or tassels."""
    height, pinch = rng.uniform(0.58, 0.82), rng.uniform(0.06, 0.12)
    edge = _pillow(0.95, height, pinch)
    corners = [(x * 0.97, y * height) for x in (-1, 1) for y in (-1, 1)]
    tassels = [Part(ellipse(at, (0.09, 0.09)), Ink.TRIM) for at in corners]
    button = [*_creases(height), Part(ellipse((0.0, 0.0), (0.09, 0.09)), Ink.TRIM)]
    panel = [Part(ribbon(_pillow(0.66, height * 0.68, pinch * 0.6), 0.07), Ink.TRIM)]
    piping = Part(ribbon(edge, 0.06), Ink.TRIM)
    return [Part(edge), piping, *pick(rng, [tassels, button, panel])]


def _pillow(width: float, height: float, pinch: float) -> Outline:
    """A box whose sides bow inward, so that the corners stand out."""
    top = smooth([(-width, -height), (-width / 2, -height + pinch), (width / 2, -height + pinch), (width, -height)])
    right = smooth([(width, -height), (width - pinch, -height / 2), (width - pinch, height / 2), (width, height)])
    return np.concatenate([top, right, -top, -right])


def _creases(height: float) -> Parts:
    """Folds that run in from the corners."""
    corners = [line((x * 0.8, y * height * 0.8), (x * 0.5, y * height * 0.5)) for x in (-1, 1) for y in (-1, 1)]
    return [Part(ribbon(corner, 0.04), Ink.SHADE) for corner in corners]


def _clock(rng: np.random.Generator) -> Parts:
    """A round clock for the wall, or one with bells and feet for the bedside."""
    hour = rng.uniform(0.0, 1.0)
    rim = rng.uniform(0.1, 0.16)
    face = [Part(ellipse((0.0, 0.0), (0.82, 0.82)), Ink.TRIM), Part(ellipse((0.0, 0.0), (0.82 - rim, 0.82 - rim)))]
    ticks = [Part(_spoke(at / 12, 0.5, 0.62, 0.07 if at % 3 == 0 else 0.035), Ink.TRIM) for at in range(12)]
    hands = [Part(_spoke(hour, -0.08, 0.34, 0.09), Ink.TRIM), Part(_spoke(hour * 12 % 1, -0.1, 0.52, 0.06), Ink.TRIM)]
    hub = Part(ellipse((0.0, 0.0), (0.08, 0.08)), Ink.TRIM)
    return [*pick(rng, [_bells(), []]), *face, *ticks, *hands, hub]


def _spoke(turn: float, start: float, stop: float, width: float) -> Outline:
    """A bar from ``start`` to ``stop`` away from the middle, ``turn`` of the way round from twelve."""
    return ribbon(line((0.0, -start), (0.0, -stop)), width) @ rotation(turn)


def _bells() -> Parts:
    feet = [Part(_spoke(turn, 0.7, 1.05, 0.13), Ink.SHADE) for turn in (0.4, 0.6)]
    stems = [Part(_spoke(turn, 0.7, 0.95, 0.08), Ink.SHADE) for turn in (0.9, 0.1)]
    dome = ellipse((0.0, -0.92), (0.28, 0.26), 0.5, 1.0)
    return [*feet, *stems, *(Part(dome @ rotation(turn)) for turn in (-0.1, 0.1))]


PRODUCTS: Mapping[str, Callable[[np.random.Generator], Parts]] = MappingProxyType(
    {
        "clock": _clock,
        "cushion": _cushion,
        "dress": _dress,
        "hat": _hat,
        "lamp": _lamp,
        "t-shirt": _t_shirt,
        "trousers": _trousers,
        "vase": _vase,
    }
)
DEPARTMENTS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("dress", "hat", "t-shirt", "trousers"), "clothing"),
        **dict.fromkeys(("clock", "cushion", "lamp", "vase"), "home"),
    }
)
"""Class → its parent, in a tree of two levels."""
