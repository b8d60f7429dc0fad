"""The addresses of hosts, each checked, and sockets that go to checked addresses only."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Final

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from catalogue.addresses import Addresses
from models.errors import ImageError, ImageFault, JobError

Lookup = Callable[[str], list[str]]
"""Host name → IP addresses; raises ``OSError`` if there are none. May block."""

_AT_ONCE: Final = 128


def system_lookup(host: str) -> list[str]:
    """Resolve a host name as this machine does."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedNames(AbstractResolver):
    """Resolves names in threads that nobody waits for at exit, and leaves out addresses that are not allowed."""

    def __init__(self, addresses: Addresses, lookup: Lookup, timeout_s: float) -> None:
        self._addresses = addresses
        self._lookup = lookup
        self._timeout_s = timeout_s
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host that are allowed.

        Raises:
            ImageError: ``refused``: there are addresses, but none is allowed.
            JobError: this machine cannot start more threads.
            OSError: there are no addresses, or no name server answers.
        """
        async with self._turn:
            found = await asyncio.wait_for(_in_thread(partial(self._lookup, host)), self._timeout_s)
        return [_result(host, address, port) for address in self._addresses.usable(host, port, found)]

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""


def checked_socket(addresses: Addresses, info: AddrInfoType) -> socket.socket:
    """A socket for an allowed address: the second check, however the address was found.

    Raises:
        ImageError: ``refused``: the address is not allowed.
    """
    family, kind, protocol, _, where = info
    if not addresses.may_connect(str(where[0]), int(where[1])):
        msg = f"Expected to connect to an address that was checked, got {where[0]}; nothing was sent there."
        raise ImageError(msg, ImageFault.REFUSED)
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


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
    """Like ``asyncio.to_thread``, whose threads hold up the end of the process for as long as a name server is slow."""
    answer: Future[list[str]] = Future()

    def run() -> None:
        if not answer.set_running_or_notify_cancel():
            return
        try:
            answer.set_result(call())
        except UnicodeError as error:  # of a name that is too long for DNS
            answer.set_exception(OSError(str(error)))
        except Exception as error:  # noqa: BLE001 - whoever waits for the answer raises it
            answer.set_exception(error)

    try:
        Thread(target=run, name="hangtag-name", daemon=True).start()
    except RuntimeError as error:
        msg = f"Expected to start a thread that looks up a host name, got {error}; allow more processes (ulimit -u)."
        raise JobError(msg) from error
    return await asyncio.wrap_future(answer)
