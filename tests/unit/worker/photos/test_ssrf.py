"""URLs that would make Hangtag ask where it must not: a row each, through everything but a network."""

import pytest

from models.errors import ImageError, ImageFault
from tests.photo_jobs import photo_job, take_all, wanted
from worker.photos.source import photos_of

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
    "http://127.1.2.3/a.jpg", "http://0.0.0.0/a.jpg", "http://10.0.0.1/a.jpg",
    "http://172.16.5.4/a.jpg", "http://192.168.1.1/a.jpg", "http://100.64.0.1/a.jpg",
    "http://169.254.169.254/latest/meta-data/", "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16/a.jpg", "http://192.0.0.192/opc/v1/", "http://224.0.0.1/a.jpg",
    "http://255.255.255.255/a.jpg", "http://[::1]/a.jpg", "http://[::]/a.jpg",
    "http://[0:0:0:0:0:0:0:1]/a.jpg", "http://[::ffff:127.0.0.1]/a.jpg",
    "http://[::ffff:7f00:1]/a.jpg", "http://[::ffff:a9fe:a9fe]/a.jpg", "http://[::127.0.0.1]/a.jpg",
    "http://[fd00:ec2::254]/latest/meta-data/", "http://[fe80::1]/a.jpg",
    "http://[fe80::1%25eth0]/a.jpg", "http://[ff02::1]/a.jpg", "http://[2002:7f00:1::]/a.jpg",
    "http://[2001:0:7f00:1::]/a.jpg", "http://[64:ff9b::7f00:1]/a.jpg", "http://[v1.1]/a.jpg",
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
    source = photos_of(photo_job(tmp_path), lookup=look_up)
    try:
        source.want(wanted(url), {})
        photo = take_all(source, 1)[0]
    finally:
        source.close()
    assert isinstance(photo.outcome, ImageError)
    assert photo.outcome.fault is ImageFault.REFUSED, photo.outcome
    assert photo.downloaded == 0


def test_the_message_names_host_address_and_the_way_out(tmp_path):
    source = photos_of(photo_job(tmp_path), lookup=look_up)
    source.want(wanted("http://private.test:8443/a.jpg"), {})
    said = str(take_all(source, 1)[0].outcome)
    source.close()
    assert "private.test leads to 10.1.2.3, 192.168.0.1" in said
    assert "--allow-host private.test:8443" in said
