"""Photos to be assigned."""

from pathlib import Path

from hypothesis import strategies as st

from trainer.data.dataset import LabeledPhoto, Split
from trainer.splits.assign import assign_splits
from trainer.splits.assigned import match_earlier

TRAIN, VAL, TEST = Split
seeds = st.integers(0, 2**32)


def assign(photos, links=(), earlier=(), seed=0, **options):
    """Photos as (name, label), (name, label, split) or (name, label, split, product); the name is also the content."""
    labeled = [LabeledPhoto(Path(name), *rest) for name, *rest in photos]
    candidates = match_earlier(labeled, [str(photo.path) for photo in labeled], earlier)
    return assign_splits(candidates, links, seed, **options)
