"""A registry with one model in two versions that say the same, but have two digests."""

import shutil
from pathlib import Path

from models.registry.registry import Registry, open_registry

__all__ = ["shop_registry"]


def shop_registry(folder: Path, bundle: Path) -> Registry:
    """``shop@1`` is the bundle, and champion; ``shop@2`` is another one.

    Args:
        folder: an empty one, for the registry and what is published.
        bundle: that both are copies of.
    """
    other = folder / "other"
    shutil.copytree(bundle, other)
    (other / "manifest.json").write_text((other / "manifest.json").read_text() + "\n")
    registry = open_registry(str(folder / "registry"))
    for number, each in enumerate((bundle, other), 1):
        assert registry.publish("shop", each, "made").version == number
    registry.promote("shop", 1, "first")
    return registry
