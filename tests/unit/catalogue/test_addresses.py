"""Allowed addresses, names and URLs."""

import re
import socket

import pytest

from catalogue.addresses import Addresses, checked_socket, is_public
from catalogue.urls import check_allow_hosts, parse_url
from models.errors import ImageError, ImageFault, InputError
from tests.photo_jobs import outcome_of

PUBLIC = [
    "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.169.0.1", "223.255.255.255",
    "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip
NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 - no socket binds to it
    "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.255.255.254", "168.63.129.16", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1",
    "::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1",
    "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1%2", "fec0::1", "ff02::1",
    "2a01:4f8::a9fe:a9fe", "2a01:4f8:a9fe:a9fe::", "2a01:4f8::6464:64c8",  # with an operator's own NAT64 prefix
]  # fmt: skip


def test_only_addresses_of_the_internet_are_public():
    assert [address for address in PUBLIC + NOT_PUBLIC if is_public(address)] == PUBLIC
    addresses = ["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1111"]
    assert Addresses().allowed("shop.test", 80, addresses) == ["8.8.8.8", "2606:4700::1111"]


def test_an_allowed_name_may_lead_into_a_private_network_and_no_other_name_or_port():
    addresses = Addresses(["photos.internal:8080"])
    assert not addresses.may_connect("10.0.0.1", 8080)
    for address in ("10.0.0.1", "fd12:3456:789a::1", "fc00::1", "fd00:1::7", "64:ff9b:1::10.0.0.1"):
        assert addresses.allowed("photos.internal", 8080, [address]) == [address]
        assert addresses.may_connect(address, 8080)
        assert not addresses.may_connect(address, 8081)
    for host, port in (("photos.internal", 80), ("a.photos.internal", 8080), ("internal", 8080)):
        with pytest.raises(ImageError, match=f"--allow-host {host}:{port}"):
            addresses.allowed(host, port, ["10.0.0.1"])


METADATA = [
    "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.23", "169.254.42.42",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23",
    "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1", "fd00:100::100:200",
    "fe80::a9fe:a9fe",
]  # fmt: skip
WRAPPED = [
    "::ffff:169.254.169.254", "::ffff:0:169.254.169.254", "::169.254.169.254",
    "64:ff9b::169.254.169.254", "64:ff9b::100.100.100.200", "64:ff9b:1::168.63.129.16",
    "64:ff9b:1:a9fe:a9:fe00::", "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1",
    "2001:0:808:808::5601:5601", "fd12:3456:789a::a9fe:a9fe", "fd12:3456:a9fe:a9fe::",
    "fd12:3456:789a:a9fe:a9:fe00::", "fd12:3456:789a:bca9:fe:a9fe::", "fd12:3456:78a9:fea9:fe::",
    "fd12:3456:789a:bcde:a9:fea9:fe00:0",
]  # fmt: skip
"""IPv4-mapped, translated, compatible, NAT64 with each length of a prefix, 6to4, Teredo's server and client."""


@pytest.mark.parametrize("address", [*METADATA, *WRAPPED, "fe80::1", "0.1.2.3", "::", "224.0.0.1", "ff02::1"])
def test_an_allowed_name_never_leads_to_metadata(address):
    addresses = Addresses(["photos.internal:80"])
    with pytest.raises(ImageError, match=r"photos\.internal .* --allow-host \[?" + re.escape(address)) as caught:
        addresses.allowed("photos.internal", 80, [address])
    assert caught.value.fault is ImageFault.REFUSED
    assert not addresses.may_connect(address, 80)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_is_allowed_by_its_own_address_only(address):
    place = f"[{address}]:80" if ":" in address else f"{address}:80"
    addresses = Addresses([place, "photos.internal:80"])
    addresses.check_ip_host(parse_url(f"http://{place}/latest/"))
    assert addresses.may_connect(address, 80)
    with pytest.raises(ImageError):
        addresses.allowed("photos.internal", 80, [address])


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "[::1]", "[fd00:0::7]"])
def test_an_address_is_refused_with_what_would_allow_it_and_nothing_else(host):
    target = parse_url(f"http://{host}:8080/a.csv")
    with pytest.raises(ImageError, match="pass --allow-host") as refusal:
        Addresses().check_ip_host(target)
    allowed = Addresses([str(refusal.value).partition("--allow-host ")[2].split()[0].rstrip(".")])
    allowed.check_ip_host(target)
    assert allowed.may_connect(target.host, 8080)
    with pytest.raises(ImageError, match=":8081"):
        allowed.check_ip_host(parse_url(f"http://{host}:8081/a.csv"))


def test_a_socket_goes_to_checked_addresses_only():
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))
    with pytest.raises(ImageError, match=r"127\.0\.0\.1"):
        checked_socket(Addresses(), info)
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("8.8.8.8", 80))
    with checked_socket(Addresses(), info) as checked:
        assert checked.gettimeout() == 0.0


NO_HOSTS = [
    "", "photos.internal", "photos.internal:", "photos.internal:0", "photos.internal:65536",
    "photos.internal:http", "http://photos.internal:80", "photos.internal:80/a",
    "a@photos.internal:80", "*.internal:80", "10.0.0.0/8:80", "::1:80", "[::1]",
    "[fe80::1%25eth0]:80", "0x7f000001:80", "2130706433:80", "127.1:80", " photos.internal:80",
]  # fmt: skip


def test_exact_hosts_with_ports_can_be_allowed_and_nothing_else():
    check_allow_hosts(["photos.internal:8080", "LOCALHOST:1", "10.0.0.1:80", "[::1]:65535", "müller.test:80"])
    for host in NO_HOSTS:
        with pytest.raises(InputError, match="HOST:PORT"):
            check_allow_hosts([host])


NAMES = {
    "metadata.google.internal": ["169.254.169.254"],
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1"],
    "loop.test.": ["127.0.0.1"],
    "private.test": ["10.1.2.3", "192.168.0.1"],
    "six.test": ["fd00::1"],
    "mapped.test": ["::ffff:10.0.0.1"],
    "linklocal.test": ["fe80::1%2"],
    "zero.test": ["0.0.0.0"],  # noqa: S104 - no socket binds to it
    "xn--mller-kva.test": ["127.0.0.1"],
    "loop_back.test": ["127.0.0.1"],
}
CASES = [
    "http://127.0.0.1/a.jpg", "http://127.0.0.1:6379/a.jpg", "https://127.0.0.1/a.jpg",
    "http://169.254.169.254/latest/meta-data/", "http://[0:0:0:0:0:0:0:1]/a.jpg", "http://[::ffff:127.0.0.1]/a.jpg",
    "http://[::ffff:7f00:1]/a.jpg", "http://[fe80::1%25eth0]/a.jpg", "http://[v1.1]/a.jpg",
    "http://2130706433/a.jpg", "http://017700000001/a.jpg", "http://0x7f000001/a.jpg",
    "http://0x7f.0.0.1/a.jpg", "http://0177.0.0.1/a.jpg", "http://127.1/a.jpg",
    "http://127.0.0.1./a.jpg", "http://127.0.0.1%00.shop.test/a.jpg",
    "http://%31%32%37.0.0.1/a.jpg", "http://①②⑦.⓪.⓪.①/a.jpg", "http://127。0。0。1/a.jpg",
    "http://LOCALHOST:80/a.jpg", "http://localhost./a.jpg",
    "http://ｌｏｃａｌｈｏｓｔ/a.jpg", "http://loop.test./a.jpg",
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
def test_a_url_that_would_make_hangtag_ask_where_it_must_not_is_refused(url, tmp_path):
    outcome = outcome_of(tmp_path, url, lookup=look_up)
    assert isinstance(outcome, ImageError)
    assert outcome.fault is ImageFault.REFUSED, outcome
    if "private.test" in url:
        assert "private.test resolves to 10.1.2.3, 192.168.0.1" in str(outcome)
