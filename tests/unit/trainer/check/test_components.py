from hypothesis import given
from hypothesis import strategies as st

from trainer.check.near import joined


@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=30))
def test_joined_is_the_smallest_equivalence_that_holds_the_links(links):
    groups = joined(15, links).tolist()
    assert all(groups[one] == groups[other] for one, other in links)
    assert len(set(groups)) >= 15 - len({tuple(sorted(link)) for link in links if link[0] != link[1]})
    assert [groups.index(group) for group in sorted(set(groups))] == sorted(
        groups.index(group) for group in set(groups)
    )
