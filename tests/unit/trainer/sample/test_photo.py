from collections import Counter

import numpy as np
import pytest

from trainer.sample.chance import Stream, deal
from trainer.sample.photo import choose_pose
from trainer.sample.products import PRODUCTS
from trainer.sample.surfaces import blend, choose_backdrop, choose_colourway, lightness


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("size", [(200, 200), (300, 225), (180, 240)])
def test_a_product_fills_its_frame_and_stays_inside(product, size):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        parts = PRODUCTS[product](rng)
        placed = choose_pose(rng, parts, size).place(parts)
        points = np.concatenate([part.outline for part in placed])
        assert (points >= 0).all()
        assert (points <= size).all()
        assert (np.ptp(points, axis=0) / size).max() > 0.7


def test_fabric_undoes_the_pose():
    rng = np.random.default_rng(1)
    parts = PRODUCTS["vase"](rng)
    pose = choose_pose(rng, parts, (200, 160))
    across, down = pose.fabric((200, 160))
    assert across.shape == down.shape == (160, 200)
    assert np.array([across[50, 70], down[50, 70]]) @ pose.matrix + pose.offset == pytest.approx([70, 50], abs=1e-3)


@pytest.mark.parametrize("seed", range(0, 200, 4))
def test_a_product_stands_out_from_any_backdrop(seed):
    rng = np.random.default_rng(seed)
    colours = choose_colourway(rng, choose_backdrop(rng).colour)
    ground = lightness(colours.backdrop)
    for share in (0.0, 0.3, 0.7, 1.0):
        assert abs(lightness(blend(colours.body, colours.second, share)) - ground) > 0.33
    assert abs(lightness(colours.trim) - ground) > 0.17
    assert abs(lightness(colours.trim) - lightness(colours.body)) > 0.17


def test_a_deal_is_exact_over_whole_decks_and_shuffled_within():
    deck = tuple("aab")
    dealt = [deal(deck, 7, Stream.CLASS_DECK, i) for i in range(300)]
    assert Counter(dealt) == {"a": 200, "b": 100}
    assert len({tuple(dealt[i : i + 3]) for i in range(0, 300, 3)}) == 3
