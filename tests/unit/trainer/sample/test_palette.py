import numpy as np
import pytest

from trainer.sample.surfaces import WHITE, blend, choose_backdrop, choose_colourway, lightness


@pytest.mark.parametrize("seed", range(200))
def test_a_product_stands_out_from_any_backdrop(seed):
    rng = np.random.default_rng(seed)
    colours = choose_colourway(rng, choose_backdrop(rng).colour)
    ground = lightness(colours.backdrop)
    for share in (0.0, 0.3, 0.7, 1.0):
        assert abs(lightness(blend(colours.body, colours.second, share)) - ground) > 0.33
    assert abs(lightness(colours.trim) - ground) > 0.17
    assert abs(lightness(colours.trim) - lightness(colours.body)) > 0.17


def test_lightness_runs_from_black_to_white():
    assert lightness((0, 0, 0)) == 0
    assert lightness((255, 255, 255)) == pytest.approx(1)
    assert 0.9 < lightness(WHITE) < 1
