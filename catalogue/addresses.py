"""The addresses that photos may be fetched from (SSRF): public ones, and those of hosts that a person named."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from catalogue.cells import AUTHORITY, Target, canonical_host, place_of
from models.errors import ImageError, ImageFault, InputError


def _networks(*lines: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(network) for line in lines for network in line.split())


_NOT_PUBLIC: Final = _networks(
    "0.0.0.0/8 127.0.0.0/8",  # this network, loopback
    "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",  # private
    "100.64.0.0/10 168.63.129.16/32 192.0.0.0/24",  # carriers' NAT, protocols; metadata of Alibaba, Azure, Oracle
    "169.254.0.0/16",  # link-local; metadata of most clouds
    "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 198.18.0.0/15 192.88.99.0/24",  # documentation, benchmarks, 6to4
    "224.0.0.0/4 240.0.0.0/4",  # multicast, reserved, broadcast
    "2001::/23 2002::/16",  # protocols; Teredo and 6to4, which hold IPv4 addresses
    "2001:db8::/32 3fff::/20",  # documentation
)
"""IANA's registries of special-purpose addresses, and clouds' metadata."""

_PUBLIC_6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_METADATA: Final = _networks(
    "169.254.169.254 169.254.170.2 169.254.170.23",  # AWS, Azure, Google, Oracle and most others; containers and pods
    "100.100.100.200 168.63.129.16 192.0.0.192",  # Alibaba, Azure, Oracle
    "169.254.0.23 169.254.42.42",  # Tencent, Scaleway
)
_NEVER_BY_NAME: Final = _networks(
    "0.0.0.0/8 100.100.100.200 168.63.129.16 169.254.0.0/16 192.0.0.0/24 224.0.0.0/3",
    "::/128 fe80::/10 ff00::/8",  # unspecified, link-local, multicast
    "fd00:42::42 fd00:100::100:200 fd00:a9fe:a9fe::/48",  # metadata of Scaleway, Alibaba, Akamai (Linode)
    "fd00:c1::/32 fd00:ec2::/32 fd20:ce::/32",  # metadata of Oracle, AWS (of its containers, too), Google
)
"""Metadata, link-local, multicast: whoever allowed a host name did not mean that it may lead here."""

_LAST_32: Final = 0xFFFFFFFF
_SHORT_PREFIXES: Final = (32, 40, 48, 56, 64)


def is_public(address: str) -> bool:
    """Whether an IP address is public. An IPv6 address that wraps an IPv4 address counts as that."""
    found = _unwrapped(address)
    if any(found in network for network in _NOT_PUBLIC):
        return False
    return isinstance(found, IPv4Address) or (found in _PUBLIC_6 and not _holds_metadata(found))


def check_allow_hosts(hosts: Sequence[str]) -> None:
    """Refuse what is not ``HOST:PORT``.

    Raises:
        InputError: one of them is not; the message names it.
    """
    for host in hosts:
        _canonical(host)


class Addresses:
    """The addresses that we may connect to.

    Raises:
        InputError: one of them is something else.
    """

    def __init__(self, allow_hosts: Sequence[str] = ()) -> None:
        self._allowed = frozenset(map(_canonical, allow_hosts))
        self._approved: set[tuple[str, int]] = set()

    def check_literal(self, target: Target) -> None:
        """Refuse a URL whose host is an IP address that may not be connected to; names are left to :meth:`usable`.

        Raises:
            ImageError: ``refused``.
        """
        try:
            address = ip_address(target.host)
        except ValueError:
            return
        if target.place in self._allowed:
            self._approved.add((str(address), target.port))
        elif not is_public(target.host):
            raise _refused(target.host, target.port, [target.host])

    def usable(self, host: str, port: int, addresses: Sequence[str]) -> list[str]:
        """The addresses of a name that may be connected to; at least one.

        Raises:
            ImageError: ``refused``: there are none.
        """
        named = f"{host}:{port}" in self._allowed
        good = [address for address in addresses if is_public(address) or (named and _may_be_named(address))]
        if not good:
            raise _never_by_name(host, port, addresses) if named else _refused(host, port, addresses)
        if named:
            self._approved.update((str(ip_address(address)), port) for address in good)
        return good

    def may_connect(self, address: str, port: int) -> bool:
        """Whether a socket may connect to an address; checked again just before it connects."""
        return is_public(address) or (str(ip_address(address)), port) in self._approved


def _unwrapped(address: str) -> IPv4Address | IPv6Address:
    found = ip_address(address)
    if isinstance(found, IPv4Address):
        return found
    if found.ipv4_mapped:
        return found.ipv4_mapped
    return IPv4Address(int(found) & _LAST_32) if found in _NAT64 else found


def _may_be_named(address: str) -> bool:
    found = _unwrapped(address)
    if any(found in network for network in _NEVER_BY_NAME):
        return False
    return isinstance(found, IPv4Address) or not _holds_metadata(found)


def _holds_metadata(address: IPv6Address) -> bool:
    return any(held in network for held in _held(address) for network in _METADATA)


def _held(address: IPv6Address) -> Iterator[IPv4Address]:
    """Every IPv4 address that an IPv6 address may embed, whatever prefix a translator (RFC 6052) uses."""
    bits = int(address)
    yield IPv4Address(bits & _LAST_32)  # a prefix of 96 bits; IPv4-compatible and IPv4-translated ones, too
    yield IPv4Address(bits >> 80 & _LAST_32)  # 6to4
    yield IPv4Address(~bits & _LAST_32)  # Teredo
    without_octet_8 = bits >> 64 << 56 | bits & (1 << 56) - 1  # which RFC 6052 skips
    for length in _SHORT_PREFIXES:
        yield IPv4Address(without_octet_8 >> 120 - 32 - length & _LAST_32)


def _canonical(text: str) -> str:
    found = AUTHORITY.fullmatch(text)
    host = found and canonical_host(found)
    if not found or not host or not found[3] or not 0 < int(found[3]) < 65536:  # noqa: PLR2004 - all ports there are
        msg = (
            f"Expected --allow-host HOST:PORT with one exact host, such as photos.internal:8080 or [fd00::7]:443, "
            f"got {text!r}."
        )
        raise InputError(msg)
    return place_of(host, int(found[3]))


def _refused(host: str, port: int, addresses: Sequence[str]) -> ImageError:
    place = place_of(host, port)
    led = "" if list(addresses) == [host] else f" leads to {', '.join(addresses[:4])} and"
    msg = f"Expected a host with a public address, {host}{led} is not one; if you trust it, pass --allow-host {place}."
    return ImageError(msg, ImageFault.REFUSED)


def _never_by_name(host: str, port: int, addresses: Sequence[str]) -> ImageError:
    first = place_of(addresses[0], port)
    msg = (
        f"Expected a host of photos, {host} leads to {', '.join(addresses[:4])}: no name may lead to a cloud's "
        "metadata, link-local or multicast addresses; if you trust it, write the address itself into the URL and pass "
        f"--allow-host {first}."
    )
    return ImageError(msg, ImageFault.REFUSED)
