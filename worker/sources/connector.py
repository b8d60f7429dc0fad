"""Connections to public addresses only, but for the hosts that a person allows."""

import ipaddress
import socket
from collections.abc import Sequence

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from models.errors import InputError

__all__ = ["check_host", "checked_connector"]


def checked_connector(allow_hosts: Sequence[str] | None) -> TCPConnector:
    """A connector that connects to the addresses which were checked, after names are resolved."""
    return TCPConnector(resolver=_PublicResolver(allow_hosts or ()), use_dns_cache=False)


def check_host(url: URL, allow_hosts: Sequence[str] | None) -> None:
    """Refuse a URL whose host is written as an address that is not public; names are checked when they are resolved.

    Raises:
        InputError: it is.
    """
    try:
        address = ipaddress.ip_address(url.host or "")
    except ValueError:
        return
    _check(str(address), f"{url.host}:{url.port}", allow_hosts or ())


class _PublicResolver(AbstractResolver):
    def __init__(self, allow_hosts: Sequence[str]) -> None:
        self._allow_hosts = allow_hosts
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for address in found:
            _check(address["host"], f"{host}:{port}", self._allow_hosts)
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _check(address: str, asked: str, allow_hosts: Sequence[str]) -> None:
    known = ipaddress.ip_address(address)
    mapped = known.ipv4_mapped if isinstance(known, ipaddress.IPv6Address) else None
    public = known.is_global and not known.is_multicast and (mapped is None or mapped.is_global)
    if not public and asked not in allow_hosts:
        msg = f"Expected a public address, {asked} is at {address}; pass --allow-host {asked} if that is meant."
        raise InputError(msg)
