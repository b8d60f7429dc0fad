"""A shop with fake retrainings."""

from pathlib import Path

import pytest

from tests.paper_cycle import PaperShop, photo_rows


@pytest.fixture
def shop(tmp_path: Path) -> PaperShop:
    """With a champion of 30 photos, and three new ones."""
    shop = PaperShop(tmp_path)
    shop.put(photo_rows(0, 30))
    shop.publish_champion()
    shop.put(photo_rows(0, 33))
    return shop
