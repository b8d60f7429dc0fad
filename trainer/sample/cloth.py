"""Products to wear, drawn from the front."""

import numpy as np

from trainer.sample.chance import pick, spread
from trainer.sample.curve import Outline, box, ellipse, line, mirrored, ribbon, smooth
from trainer.sample.ink import Ink, Part, Parts, both_sides

__all__ = ["draw_dress", "draw_hat", "draw_t_shirt", "draw_trousers"]


def draw_t_shirt(rng: np.random.Generator) -> Parts:
    """A shirt with short sleeves, a round or pointed neck, and now and then a print on the chest."""
    hem = (spread(rng, 0.44, 0.5), spread(rng, 0.7, 0.92))
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
    depth = spread(rng, 0.14, 0.3)
    round_neck = ellipse((0.0, -0.94), (width, depth), 0.0, 0.5)
    pointed_neck = line((width, -0.95), (0.0, -0.9 + depth), (-width, -0.95))
    front = pick(rng, [round_neck, pointed_neck])
    return [Part(front, Ink.SHADE), Part(ribbon(front, 0.06), Ink.TRIM)]


def _chest_print(rng: np.random.Generator) -> Parts:
    disc = [Part(ellipse((0.0, -0.1), (0.22, 0.22)), Ink.TRIM), Part(ellipse((0.0, -0.1), (0.12, 0.12)), Ink.LIGHT)]
    band = [Part(box(-0.44, -0.2, 0.44, -0.02), Ink.TRIM)]
    pocket = [Part(box(0.1, -0.3, 0.34, -0.02), Ink.SHADE), Part(box(0.1, -0.3, 0.34, -0.24), Ink.TRIM)]
    nothing: Parts = []
    return pick(rng, [disc, band, pocket, nothing, nothing])


def draw_dress(rng: np.random.Generator) -> Parts:
    """A narrow bodice on straps or cap sleeves, a belt, and a skirt that widens to a wavy hem."""
    waist, width = spread(rng, -0.3, -0.12), spread(rng, 0.52, 0.78)
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


def draw_trousers(rng: np.random.Generator) -> Parts:
    """Two legs, narrow to flared, from a waistband with pockets and a fly."""
    hip, spread_at_hem = spread(rng, 0.4, 0.48), spread(rng, 0.4, 0.6)
    leg = spread(rng, 0.26, 0.36)
    outer = smooth([(0.34, -0.95), (hip, -0.6), ((hip + spread_at_hem) / 2, 0.1), (spread_at_hem, 0.96)])
    inner = line((spread_at_hem - leg, 0.96), (0.1, 0.1), (0.03, -0.36), (0.0, -0.4))
    crease = ribbon(line((0.27, -0.35), (spread_at_hem - leg / 2, 0.92)), 0.025)
    pocket = ribbon(smooth([(0.2, -0.8), (0.24, -0.64), (hip - 0.03, -0.56)]), 0.035)
    fly = Part(ribbon(line((0.0, -0.8), (0.0, -0.42)), 0.03), Ink.SHADE)
    band = Part(box(-0.35, -0.97, 0.35, -0.82), Ink.TRIM)
    legs = Part(mirrored(np.concatenate([outer, inner])))
    return [
        legs,
        *both_sides(crease, Ink.SHADE),
        *both_sides(pocket, Ink.SHADE),
        fly,
        band,
        *_turn_ups(rng, spread_at_hem, leg),
    ]


def _turn_ups(rng: np.random.Generator, outer: float, leg: float) -> Parts:
    cuff = box(outer - leg - 0.01, 0.84, outer + 0.01, 0.98)
    nothing: Parts = []
    return pick(rng, [both_sides(cuff, Ink.LIGHT), nothing])


def draw_hat(rng: np.random.Generator) -> Parts:
    """A hat with a wide brim and a band; its crown is dented or round."""
    height, droop = spread(rng, -0.75, -0.5), spread(rng, 0.2, 0.3)
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
