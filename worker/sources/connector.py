"""Connections for catalogues, to the addresses that photos may come from, too."""

from functools import partial

from aiohttp import TCPConnector
from yarl import URL

from worker.photos.address import Addresses
from worker.photos.names import CheckedNames, checked_socket, system_lookup
from worker.photos.target import parse_url
from worker.sources.address import shown

__all__ = ["check_host", "checked_connector"]


def checked_connector(addresses: Addresses, timeout_s: float) -> TCPConnector:
    """A connector to addresses that are checked once names are resolved, and again before each connection.

    Args:
        addresses: which may be connected to.
        timeout_s: for finding the addresses of a name.
    """
    names = CheckedNames(addresses, system_lookup, timeout_s)
    return TCPConnector(resolver=names, use_dns_cache=False, socket_factory=partial(checked_socket, addresses))


def check_host(url: URL, addresses: Addresses) -> None:
    """Refuse a URL whose host is written as an address that is not public; names are checked when they are resolved.

    Raises:
        ImageError: ``refused``: it is, or its host is neither a name nor an address.
    """
    addresses.check_literal(parse_url(shown(str(url))))
