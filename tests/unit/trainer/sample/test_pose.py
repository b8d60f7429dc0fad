import numpy as np
import pytest

from trainer.sample.photo import choose_pose
from trainer.sample.products import PRODUCTS


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
