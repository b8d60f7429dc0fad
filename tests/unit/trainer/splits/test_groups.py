from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.dataset import Split
from trainer.splits.assign import group_photos
from trainer.splits.assigned import Candidate

TRAIN, VAL, TEST = Split


def asking(sha256, split=None, *, product=None, group=None):
    return Candidate(Path(sha256), "hat", sha256, product, split, group)


def together(candidates, links=()):
    """Groups as sets of places, and the bridging places."""
    found, bridges = group_photos(candidates, links)
    groups = {}
    for place, group in found.items():
        groups.setdefault(group, set()).add(place)
    assert not found.keys() & bridges
    return sorted(map(sorted, groups.values())), bridges


@pytest.mark.parametrize(
    ("candidates", "links", "groups"),
    [
        pytest.param([], [], [], id="none at all"),
        pytest.param([asking("1"), asking("2")], [], [[0], [1]], id="strangers"),
        pytest.param([asking("1"), asking("2"), asking("3")], [(0, 2)], [[0, 2], [1]], id="linked"),
        pytest.param([asking("1"), asking("1")], [], [[0, 1]], id="one content"),
        pytest.param(
            [asking("1", product="x"), asking("2"), asking("3", product="x")], [], [[0, 2], [1]], id="one product"
        ),
        pytest.param(
            [asking(name, TRAIN, group=group) for name, group in ("1g", "2g", "3h")], [], [[0, 1], [2]],
            id="one earlier group",
        ),
        pytest.param(
            [asking("1", TRAIN), asking("2", TEST), asking("3", TEST)], [(0, 1)], [[0, 1], [2]], id="a given leak"
        ),
        pytest.param([asking("1", TRAIN), asking("1")], [], [[0, 1]], id="a new copy of a photo in place"),
        pytest.param(
            [asking("f" * 64, TEST, group="0123456789abcdef"), asking("0123456789abcdef" + "0" * 48)], [], [[0, 1]],
            id="the content that an earlier group is named after",
        ),
    ],
)  # fmt: skip
def test_what_belongs_together(candidates, links, groups):
    assert together(candidates, links) == (groups, {})


OLD = (asking("8", TRAIN, product="x"), asking("9", TEST, product="y"))


@pytest.mark.parametrize(
    ("new", "links", "groups", "bridging"),
    [
        pytest.param([asking("1")], [(2, 0), (2, 1)], [[0], [1]], {2}, id="a link to each"),
        pytest.param([asking("8", product="y")], [], [[0], [1]], {2}, id="the content of one, the product of another"),
        pytest.param(
            [asking("1"), asking("2")], [(0, 2), (2, 3), (3, 1)], [[0], [1]], {2, 3}, id="a picture seen twice is one"
        ),
        pytest.param(
            [asking("2", product="z"), asking("1", product="z")],
            [(0, 2), (1, 3)],
            [[0], [1, 3]],
            {2},
            id="and first is the smallest content",
        ),
        pytest.param(
            [asking("1", product="z"), asking("2", product="z"), asking("3", product="z")],
            [(2, 0), (2, 1)],
            [[0], [1], [3, 4]],
            {2},
            id="a product holds together without a photo that is set aside",
        ),
        pytest.param([asking("1", VAL), asking("2")], [(0, 2), (2, 3)], [[0, 2], [1]], {3}, id="into a given leak"),
        pytest.param([asking("1"), asking("2")], [(2, 0), (3, 0)], [[0, 2, 3], [1]], set(), id="no bridge"),
    ],
)
def test_what_would_join_two_splits_is_set_aside(new, links, groups, bridging):
    found, bridges = together([*OLD, *new], links)
    assert (found, set(bridges)) == (groups, bridging)


candidates = st.lists(
    st.builds(
        asking,
        st.sampled_from("123456789"),
        st.none() | st.sampled_from(Split),
        product=st.none() | st.sampled_from("xyz"),
    ),
    min_size=1,
    max_size=12,
)


@st.composite
def linked(draw):
    found = draw(candidates)
    places = st.integers(0, len(found) - 1)
    return found, draw(st.lists(st.tuples(places, places), max_size=12))


@settings(deadline=None)
@given(linked())
def test_linked_photos_in_use_are_in_one_group(case):
    found, links = case
    groups, _ = group_photos(found, links)
    for one in range(len(found)):
        for other in range(one):
            bound = (
                {(one, other), (other, one)} & set(links)
                or found[one].sha256 == found[other].sha256
                or found[one].product == found[other].product is not None
            )
            if bound and one in groups and other in groups:
                assert groups[one] == groups[other]
