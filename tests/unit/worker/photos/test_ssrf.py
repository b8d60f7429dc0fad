"""URLs that would make Hangtag ask where it must not: a row each, through everything but a network."""

import pytest

from models.errors import ImageError, ImageFault
from tests.photo_jobs import outcome_of

NAMES = {
    "metadata.google.internal": ["169.254.169.254"],
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1"],
    "loop.test": ["127.0.0.1"],
    "loop.test.": ["127.0.0.1"],
    "private.test": ["10.1.2.3", "192.168.0.1"],
    "six.test": ["fd00::1"],
    "mapped.test": ["::ffff:10.0.0.1"],
    "linklocal.test": ["fe80::1%2"],
    "zero.test": ["0.0.0.0"],  # noqa: S104 - nothing is bound
    "xn--mller-kva.test": ["127.0.0.1"],
    "loop_back.test": ["127.0.0.1"],
}
CASES = [
    "http://127.0.0.1/a.jpg", "http://127.0.0.1:6379/a.jpg", "https://127.0.0.1/a.jpg",
    "http://169.254.169.254/latest/meta-data/", "http://100.100.100.200/latest/meta-data/",
    "http://[0:0:0:0:0:0:0:1]/a.jpg", "http://[::ffff:127.0.0.1]/a.jpg",
    "http://[::ffff:7f00:1]/a.jpg", "http://[fe80::1%25eth0]/a.jpg", "http://[v1.1]/a.jpg",
    "http://2130706433/a.jpg", "http://017700000001/a.jpg", "http://0x7f000001/a.jpg",
    "http://0x7f.0.0.1/a.jpg", "http://0177.0.0.1/a.jpg", "http://127.1/a.jpg",
    "http://127.0.0.1./a.jpg", "http://127.0.0.1%00.shop.test/a.jpg",
    "http://%31%32%37.0.0.1/a.jpg", "http://①②⑦.⓪.⓪.①/a.jpg", "http://127。0。0。1/a.jpg",
    "http://localhost/a.jpg", "http://LOCALHOST:80/a.jpg", "http://localhost./a.jpg",
    "http://ｌｏｃａｌｈｏｓｔ/a.jpg", "http://loop.test/a.jpg", "http://loop.test./a.jpg",
    "http://loop_back.test/a.jpg", "http://müller.test/a.jpg", "http://private.test:8443/a.jpg",
    "http://six.test/a.jpg", "http://mapped.test/a.jpg", "http://linklocal.test/a.jpg",
    "http://zero.test/a.jpg", "http://metadata.google.internal/computeMetadata/v1/",
    "http://shop.test@127.0.0.1/a.jpg", "http://127.0.0.1@8.8.8.8/a.jpg",
    "http://user:secret@8.8.8.8/a.jpg", "http://8.8.8.8\\@127.0.0.1/a.jpg",
    "http://127.0.0.1#@8.8.8.8/a.jpg", "http://127.0.0.1?@8.8.8.8/a.jpg",
    "http://127.0.0.1:80:80/a.jpg", "http://127.0.0.1:0/a.jpg", "http://127.0.0.1:99999/a.jpg",
    "http:///127.0.0.1/a.jpg", "http://", "http:127.0.0.1/a.jpg", "http:/127.0.0.1/a.jpg",
    "http://shop.test\r\nHost: 127.0.0.1/a.jpg", "http://shop.test/a.jpg HTTP/1.1\r\nX: y",
    "http://shop.test/\x00", "http://" + "a" * 64 + ".test/a.jpg", "http://-a.test/a.jpg",
    "http://a..test/a.jpg", "http://127.0.0.1/" + "a" * 9000, "file:///etc/passwd",
    "FILE:///etc/passwd", "file:/etc/passwd", " file:///etc/passwd", "ftp://127.0.0.1/a.jpg",
    "gopher://127.0.0.1:6379/_INFO", "dict://127.0.0.1:11211/stats", "ldap://127.0.0.1/",
    "jar:http://127.0.0.1!/a.jpg", "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info", "s3://", "s3://bucket", "s3://bucket/",
    "s3://127.0.0.1:80@bucket/key", "s3://arn:aws:s3:::bucket/key", "s3://BUCKET/key",
]  # fmt: skip


def look_up(host: str) -> list[str]:
    if host not in NAMES:
        message = f"Nobody should ask for {host!r}."
        raise AssertionError(message)
    return NAMES[host]


@pytest.mark.parametrize("url", CASES, ids=[f"{number}" for number in range(len(CASES))])
def test_it_is_refused(url, tmp_path):
    outcome = outcome_of(tmp_path, url, lookup=look_up)
    assert isinstance(outcome, ImageError)
    assert outcome.fault is ImageFault.REFUSED, outcome


def test_the_message_names_host_address_and_the_way_out(tmp_path):
    said = str(outcome_of(tmp_path, "http://private.test:8443/a.jpg", lookup=look_up))
    assert "private.test leads to 10.1.2.3, 192.168.0.1" in said
    assert "--allow-host private.test:8443" in said
