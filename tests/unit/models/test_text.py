import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text import number_of, numbered, printable, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("Größe 👟 靴", "Größe 👟 靴"),
        ("\x1b[2J\x07\r", r"\x1b[2J\x07\x0d"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("gpj.\u202eexe\u2066", r"gpj.\u202eexe\u2066"),
        ("b\udce9ret \ud800", r"b\xe9ret \ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(("count", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1200, "1,200 rows")])
def test_a_number_agrees_with_its_noun(count: int, said: str) -> None:
    assert number_of(count, "row") == said


def test_an_irregular_noun_has_its_own_plural() -> None:
    assert (number_of(1, "class", "classes"), number_of(3, "class", "classes")) == ("1 class", "3 classes")


ALMOST = st.from_regex(r"[0-9٠]{1,8}(\.json|\.done|-backup)?[~ ]?\.?(bak|json|tmp)?", fullmatch=True)


@pytest.mark.parametrize("name", ["000007.json~", "000007", "7.json", "0000007.json", "-00007.json", "٠٠٠٠٠٧.json"])
def test_what_is_not_exactly_a_number_is_nobodys(name: str) -> None:
    assert numbered([name, "000003.json", "1234567.json"], ".json") == [3, 1234567]


@given(st.lists(ALMOST | st.text()), st.sampled_from([".json", "", ".done"]))
def test_each_number_found_has_its_file(names: list[str], suffix: str) -> None:
    found = numbered(names, suffix)
    assert found == sorted(found)
    assert {f"{number:06d}{suffix}" for number in found} <= set(names)


SECRET = {
    "a user": ("got 'https://me:SECRET@h/a.jpg'; go", "got 'https://h/a.jpg'; go"),
    "a signature": ("at https://h/a.jpg?sig=SECRET, its host", "at https://h/a.jpg?…, its host"),
    "a URL in a query": ("https://h/a?to=https://me:SECRET@b/c&sig=SECRET.", "https://h/a?…."),
    "no scheme": ("//me:SECRET@h/a.jpg#SECRET", "//h/a.jpg?…"),
    "a slash in a password": ("https://me:SEC/RET@h/a.jpg", "https://…"),
    "a question mark in a password": ("https://me:SEC?RET@h/a.jpg", "https://…?…"),
    "a slash after digits of a password": ("https://me:12/SECRET@h/a.jpg", "https://…"),
    "no scheme after another": ("https://a/1.jpg;//me:SECRET@b/2.jpg", "https://a/1.jpg;//b/2.jpg"),
    "a path": ("at '/r/hat.jpg?sv=1&sig=SECRET'; why? a=b", "at '/r/hat.jpg?…'; why? a=b"),
    "a URL after another": ("https://a/1.jpg,https://me:SECRET@b/2.jpg", "https://a/1.jpg,https://b/2.jpg"),
    "a pattern": ("expected redis://HOST:PORT/DATABASE.", "expected redis://HOST:PORT/DATABASE."),
    "several": ("s3://SECRET@b/k redis://:SECRET@h:6379/0? Yes", "s3://b/k redis://h:6379/0? Yes"),
    "none": ("https://h:80/a@2x.jpg, at [::1] a//b@c, what?", "https://h:80/a@2x.jpg, at [::1] a//b@c, what?"),
    "an address": ("http://[2001:db8::7]:80/a", "http://[2001:db8::7]:80/a"),
}


@pytest.mark.parametrize(("text", "shown"), SECRET.values(), ids=SECRET)
def test_no_secret_of_a_url_is_in_a_text_for_people(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
