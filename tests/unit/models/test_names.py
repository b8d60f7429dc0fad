import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text import numbered

ALMOST = st.from_regex(r"[0-9٠]{1,8}(\.json|\.done|-backup)?[~ ]?\.?(bak|json|tmp)?", fullmatch=True)


@pytest.mark.parametrize("name", ["000007.json~", "000007", "7.json", "0000007.json", "-00007.json", "٠٠٠٠٠٧.json"])
def test_what_is_not_exactly_a_number_is_nobodys(name: str) -> None:
    assert numbered([name, "000003.json", "1234567.json"], ".json") == [3, 1234567]


@given(st.lists(ALMOST | st.text()), st.sampled_from([".json", "", ".done"]))
def test_each_number_found_has_its_file(names: list[str], suffix: str) -> None:
    found = numbered(names, suffix)
    assert found == sorted(found)
    assert {f"{number:06d}{suffix}" for number in found} <= set(names)
