"""Laws of splits, for random photos."""

from collections import defaultdict
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.errors import DataError
from tests.unit.trainer.splits.assigning import assign, seeds
from trainer.splits.set_aside import count_leaks


def groups_of(photos):
    groups = defaultdict(set)
    for photo in photos:
        groups[photo.group].add(photo)
    return groups


def whole(photos):
    """The groups with all photos in one split."""
    return {name for name, members in groups_of(photos).items() if len({p.split for p in members}) == 1}


labels = st.sampled_from("abc")
products = st.none() | st.sampled_from("xyz")


def fresh(prefix, size):
    """Up to ``size`` photos with distinct names."""
    return st.lists(st.tuples(labels, products), max_size=size).map(
        lambda rows: [(f"{prefix}{i}", label, None, product) for i, (label, product) in enumerate(rows)]
    )


def some_links(count, size=15):
    places = st.integers(0, count - 1)
    return st.lists(st.tuples(places, places), max_size=size)


BASE = [(f"{label}{i}", label, None, None) for label in "abc" for i in range(5)]


@st.composite
def first_trainings(draw):
    photos = [*BASE, *draw(fresh("old", 12))]
    draw(st.randoms(use_true_random=False)).shuffle(photos)
    return photos, draw(some_links(len(photos), 5)), draw(seeds)


@st.composite
def two_trainings(draw):
    """Photos and links of two trainings; the second lacks some old photos and has new ones."""
    photos, links, seed = draw(first_trainings())
    gone = (
        draw(st.sets(st.sampled_from([p for p in photos if p not in BASE]), max_size=4)) if len(photos) > 15 else set()
    )
    later = [*(photo for photo in photos if photo not in gone), *draw(fresh("new", 12))]
    draw(st.randoms(use_true_random=False)).shuffle(later)
    return photos, links, seed, later, draw(some_links(len(later)))


def tried(*arguments, **options):
    """An assignment, or None if links leave no training photos."""
    try:
        return assign(*arguments, **options)
    except DataError:
        return None


@settings(deadline=None)
@given(first_trainings())
def test_no_group_spans_splits_and_every_photo_comes_out_once(training):
    photos, links, seed = training
    found = tried(photos, links, seed=seed)
    assume(found is not None)
    assert whole(found.photos) == set(groups_of(found.photos))
    assert count_leaks(found.photos).total() == 0
    paths = [p.path for p in found.photos] + [e.path for e in found.set_aside]
    assert sorted(paths) == sorted(Path(name) for name, *_ in photos)
    assert not {e.reason for e in found.set_aside} - {"class_not_trained"}


@settings(deadline=None, max_examples=200)
@given(two_trainings())
def test_a_second_training_moves_no_old_photo_divides_no_group_and_makes_no_leak(trainings):
    photos, links, seed, later, later_links = trainings
    first = tried(photos, links, seed=seed)
    second = first and tried(later, later_links, first.photos, seed=seed + 1)
    assume(second is not None)
    now = {p.path: p for p in second.photos}
    names = {str(name) for name, *_ in later}
    untrained = {e.path for e in second.set_aside if e.reason == "class_not_trained"}
    for old in first.photos:
        assert now[old.path].split is old.split
        assert now[old.path].present == (str(old.path) in names) or old.path in untrained
    for members in groups_of(first.photos).values():
        assert len({now[old.path].group for old in members}) == 1
    for members in groups_of(second.photos).values():
        if any(str(p.path).startswith("new") for p in members):
            assert len({p.split for p in members}) == 1
    used = [p.path for p in second.photos if p.present] + [e.path for e in second.set_aside]
    assert sorted(used) == sorted(Path(name) for name, *_ in later)
