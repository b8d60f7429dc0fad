"""Protects against SSRF: photos are downloaded only from public addresses and from hosts in ``--allow-host``.

An address is checked after the name look-up, and again just before the connection.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Thread
from typing import Final

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from catalogue.urls import Target, allowed_place, place_of
from models.errors import ImageError, ImageFault, JobError

Lookup = Callable[[str], list[str]]
"""Returns the IP addresses of a host name. Raises ``OSError`` without addresses. May block."""
_LOOKUPS_AT_ONCE: Final = 128


def _networks(*lines: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(network) for line in lines for network in line.split())


_NOT_PUBLIC: Final = _networks(
    "0.0.0.0/8 127.0.0.0/8",  # this network, loopback
    "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",  # private
    # carrier-grade NAT, protocols; metadata services of Alibaba, Azure, Oracle
    "100.64.0.0/10 168.63.129.16/32 192.0.0.0/24",
    "169.254.0.0/16",  # link-local; metadata services of most clouds
    "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 198.18.0.0/15 192.88.99.0/24",  # documentation, benchmarks, 6to4
    "224.0.0.0/4 240.0.0.0/4",  # multicast, reserved, broadcast
    "2001::/23 2002::/16",  # protocols; Teredo and 6to4, which contain IPv4 addresses
    "2001:db8::/32 3fff::/20",  # documentation
)
"""IANA's registries of special-purpose addresses, and addresses of clouds' metadata services."""

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
    "fd00:42::42 fd00:100::100:200 fd00:a9fe:a9fe::/48",  # metadata services of Scaleway, Alibaba, Akamai (Linode)
    "fd00:c1::/32 fd00:ec2::/32 fd20:ce::/32",  # metadata services of Oracle, AWS (also for containers), Google
)
"""Link-local, multicast and metadata-service addresses.

``--allow-host`` can allow these addresses by IP, but not by host name.
"""

_LAST_32: Final = 0xFFFFFFFF
_SHORT_PREFIXES: Final = (32, 40, 48, 56, 64)


def is_public(address: str) -> bool:
    """Whether an IP address is public. Checks the IPv4 address of an IPv4-mapped or NAT64 address."""
    ip = _unwrapped(address)
    if any(ip in network for network in _NOT_PUBLIC):
        return False
    return isinstance(ip, IPv4Address) or (ip in _PUBLIC_6 and not _holds_metadata(ip))


class Addresses:
    """Decides which addresses may be contacted. Raises InputError if an allowed host is not ``HOST:PORT``."""

    def __init__(self, allow_hosts: Sequence[str] = ()) -> None:
        self._allowed = frozenset(map(allowed_place, allow_hosts))
        self._approved: set[tuple[str, int]] = set()

    def check_ip_host(self, target: Target) -> None:
        """Refuse a URL whose host is a forbidden IP address. Raises ImageError."""
        try:
            address = ip_address(target.host)
        except ValueError:
            return
        if target.place in self._allowed:
            self._approved.add((str(address), target.port))
        elif not is_public(target.host):
            raise _refused(target.host, target.port, [target.host])

    def allowed(self, host: str, port: int, addresses: Sequence[str]) -> list[str]:
        """The allowed addresses of a host name. Raises ImageError if no address is allowed."""
        named = f"{host}:{port}" in self._allowed
        good = [address for address in addresses if is_public(address) or (named and _allowed_by_name(address))]
        if not good:
            raise _refused_name(host, port, addresses) if named else _refused(host, port, addresses)
        if named:
            self._approved.update((str(ip_address(address)), port) for address in good)
        return good

    def may_connect(self, address: str, port: int) -> bool:
        """Whether a socket may connect to an address. Called just before the socket connects."""
        return is_public(address) or (str(ip_address(address)), port) in self._approved


def _unwrapped(address: str) -> IPv4Address | IPv6Address:
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped:
        return ip.ipv4_mapped
    return IPv4Address(int(ip) & _LAST_32) if ip in _NAT64 else ip


def _allowed_by_name(address: str) -> bool:
    ip = _unwrapped(address)
    if any(ip in network for network in _NEVER_BY_NAME):
        return False
    return isinstance(ip, IPv4Address) or not _holds_metadata(ip)


def _holds_metadata(address: IPv6Address) -> bool:
    return any(held in network for held in _embedded_ipv4(address) for network in _METADATA)


def _embedded_ipv4(address: IPv6Address) -> Iterator[IPv4Address]:
    bits = int(address)
    yield IPv4Address(bits & _LAST_32)  # RFC 6052 with a 96-bit prefix, IPv4-compatible, IPv4-translated
    yield IPv4Address(bits >> 80 & _LAST_32)  # 6to4
    yield IPv4Address(~bits & _LAST_32)  # Teredo
    without_octet_8 = bits >> 64 << 56 | bits & (1 << 56) - 1  # RFC 6052 skips this byte
    for length in _SHORT_PREFIXES:
        yield IPv4Address(without_octet_8 >> 120 - 32 - length & _LAST_32)


def _refused(host: str, port: int, addresses: Sequence[str]) -> ImageError:
    place = place_of(host, port)
    led = "" if list(addresses) == [host] else f" resolves to {', '.join(addresses[:4])} and"
    msg = (
        f"Expected a host with a public address, but {host}{led} is not public; if you trust it, pass "
        f"--allow-host {place}."
    )
    return ImageError(msg, ImageFault.REFUSED)


def _refused_name(host: str, port: int, addresses: Sequence[str]) -> ImageError:
    first = place_of(addresses[0], port)
    msg = (
        f"Expected a host with photos, but {host} resolves to {', '.join(addresses[:4])}: link-local, multicast and "
        "metadata-service addresses are not allowed for host names; if you trust this host, write the address "
        f"into the URL and pass --allow-host {first}."
    )
    return ImageError(msg, ImageFault.REFUSED)


def system_lookup(host: str) -> list[str]:
    """Look a host name up with this machine's resolver."""
    entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


class CheckedResolver(AbstractResolver):
    """Looks up host names in daemon threads, and removes forbidden addresses."""

    def __init__(self, addresses: Addresses, lookup: Lookup, timeout_s: float) -> None:
        self._addresses = addresses
        self._lookup = lookup
        self._timeout_s = timeout_s
        self._turn = asyncio.Semaphore(_LOOKUPS_AT_ONCE)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The allowed addresses of a host. Raises ImageError, JobError, OSError."""
        async with self._turn:
            addresses = await asyncio.wait_for(_in_thread(partial(self._lookup, host)), self._timeout_s)
        return [_result(host, address, port) for address in self._addresses.allowed(host, port, addresses)]

    async def close(self) -> None:
        """Do nothing."""


def checked_socket(addresses: Addresses, info: AddrInfoType) -> socket.socket:
    """Check an address again, and create a socket for it. Raises ImageError."""
    family, kind, protocol, _, where = info
    if not addresses.may_connect(str(where[0]), int(where[1])):
        msg = f"Expected to connect to a checked address, got {where[0]}; nothing was sent there."
        raise ImageError(msg, ImageFault.REFUSED)
    new_socket = socket.socket(family, kind, protocol)
    new_socket.setblocking(False)
    return new_socket


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


async def _in_thread(call: Callable[[], list[str]]) -> list[str]:
    """Like ``asyncio.to_thread``, but a slow name server does not delay the end of the process."""
    answer: Future[list[str]] = Future()

    def run() -> None:
        if not answer.set_running_or_notify_cancel():
            return
        try:
            answer.set_result(call())
        except UnicodeError as error:  # the name is too long for DNS
            answer.set_exception(OSError(str(error)))
        except Exception as error:  # noqa: BLE001 - the waiting task raises this error
            answer.set_exception(error)

    try:
        Thread(target=run, name="hangtag-name", daemon=True).start()
    except RuntimeError as error:
        msg = f"Expected to start a thread for a host name look-up, got {error}; allow more processes (ulimit -u)."
        raise JobError(msg) from error
    return await asyncio.wrap_future(answer)
