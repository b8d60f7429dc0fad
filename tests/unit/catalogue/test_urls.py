import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue.urls import checked_root, checked_url, folder_of, is_elsewhere, is_url, shown, stem_of, suffix_of
from models.errors import InputError

URLS = {
    "https://shop.example/feeds/spring.CSV": ("https://shop.example/feeds", ".csv", "spring"),
    "https://shop.example/spring%20a.tsv?sig=abc#x": ("https://shop.example", ".tsv", "spring a"),
    "http://user:pass@[::1]:8080/a.parquet": ("http://[::1]:8080", ".parquet", "a"),
    "https://shop.example/export?file=a.csv": ("https://shop.example", "", "export"),
    "s3://shop/feeds/what?.txt": ("s3://shop/feeds", ".txt", "what?"),
    "s3://shop/a b#1.jsonl": ("s3://shop", ".jsonl", "a b#1"),
    "s3://shop/photos/": ("s3://shop/photos", "", "photos"),
    "s3://shop": ("s3:/", "", "shop"),
    "https://shop.example": ("https:/", "", "shop.example"),
}


@pytest.mark.parametrize(("url", "parts"), URLS.items(), ids=URLS)
def test_the_parts_of_a_url(url: str, parts: tuple[str, str, str]) -> None:
    assert (folder_of(url), suffix_of(url), stem_of(url)) == parts
    assert is_url(url)
    assert checked_url(url) == url


SECRETS = st.from_regex(r"[a-z0-9:]{1,8}", fullmatch=True).map(lambda text: f"SECRET{text}")


@given(scheme=st.sampled_from(["http", "https"]), user=SECRETS, query=SECRETS, fragment=SECRETS)
def test_no_credential_is_shown(scheme: str, user: str, query: str, fragment: str) -> None:
    url = f"{scheme}://{user}@host:8000/a/b.csv?{query}#{fragment}"
    assert shown(url) == f"{scheme}://host:8000/a/b.csv"
    assert "SECRET" not in folder_of(url) + stem_of(url) + suffix_of(url)
    with pytest.raises(InputError, match="as --image-root") as refusal:
        checked_root(url)
    assert "SECRET" not in str(refusal.value)


REFUSED = (
    "ftp://user:SECRET@host/a.csv", "file:///etc/a.csv", "gopher://x", "s3:///a", "http://",
    "http://u:SECRET@host:99999/c.csv", "http://u:SECRET@host:0/c.csv",
    "http://u:SECRET@host:x/c.csv", "http://u:SECRET@[::1/c.csv", "http://u:SECRET@ho\0st/c.csv",
    "s3://bucket/a\0.csv",
)  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_other_schemes_and_urls_of_nowhere_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="Expected") as refusal:
        checked_url(url)
    assert "SECRET" not in str(refusal.value)


def test_a_scheme_may_be_in_capitals() -> None:
    assert checked_url("HTTPS://Shop.example/A.csv") == "https://Shop.example/A.csv"
    assert checked_root("S3://shop/Photos/") == "s3://shop/Photos"


@pytest.mark.parametrize("cell", ["http://a/b", "HTTPS://a/b", "s3://a/b", "ftp://a/b", "data:image/png;base64,AA=="])
def test_urls_and_data_uris_are_elsewhere(cell: str) -> None:
    assert is_elsewhere(cell)


@pytest.mark.parametrize("cell", ["a.jpg", "/srv/a.jpg", "a/http://b", "data/a.jpg", "c:\\a.jpg", ":", ""])
def test_paths_are_not(cell: str) -> None:
    assert not is_elsewhere(cell)
