"""Many web hosts on this machine, in one process, that serve photos; some hosts misbehave.

    python benchmarks/photo_server.py --photos PHOTOS --hosts 20 --core 1

Each host has its own address (from 127.0.0.2 on). ``/17.jpg`` is photo 17 with its number after the image's end, so
that all photos differ. Prints a JSON line with ``HOST:PORT`` of each host. Each line on stdin prints a JSON line of
figures and resets the figures. The process ends when stdin ends.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from material import photo_list

SLOW_S: Final = 2.0
_FIRST_ADDRESS: Final = 2
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
_FAULT: Final = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
_END: Final = b"\r\n\r\n"
_FILL: Final = 8


class Health(StrEnum):
    """The state of a host."""

    HEALTHY = "healthy"
    DEAF = "deaf"  # the queue of connections is full, so no client can connect
    SILENT = "silent"  # accepts connections and never answers
    SLOW = "slow"  # 2 s an answer
    FLAKY = "flaky"  # first a 500, then the photo


@dataclass
class Figures:
    """Counts and times since the last reset.

    Attributes:
        healthy: photos that healthy hosts sent.
        others: answers of other hosts.
        first: time of the first request, on the machine's monotonic clock.
        last: time of the last photo of a healthy host.
        busy_s: processor time of this process.
    """

    healthy: int = 0
    others: int = 0
    first: float = 0.0
    last: float = 0.0
    busy_s: float = field(default_factory=time.process_time)


def photo_bytes(photos: list[bytes], row: int) -> bytes:
    """A row's photo: one of ``photos``, with the row's number after the end of the image."""
    return photos[row % len(photos)] + row.to_bytes(8)


class _Hosts:
    def __init__(self, photos: list[bytes]) -> None:
        self.photos = photos
        self.figures = Figures()
        self.asked: set[bytes] = set()

    def answer(self, health: Health, path: bytes, transport: asyncio.Transport) -> None:
        self.figures.first = self.figures.first or time.monotonic()
        if health is Health.SLOW:
            asyncio.get_running_loop().call_later(SLOW_S, self._send, health, path, transport)
        elif health is Health.FLAKY and path not in self.asked:
            self.asked.add(path)
            transport.write(_FAULT)
        elif health is not Health.SILENT:
            self._send(health, path, transport)

    def _send(self, health: Health, path: bytes, transport: asyncio.Transport) -> None:
        photo = photo_bytes(self.photos, int(path[1:].partition(b".")[0]))
        transport.writelines([_HEAD % len(photo), photo])
        if health is Health.HEALTHY:
            self.figures.healthy += 1
            self.figures.last = time.monotonic()
        else:
            self.figures.others += 1

    def take_figures(self) -> Figures:
        done, self.figures = self.figures, Figures()
        self.asked.clear()
        done.busy_s = self.figures.busy_s - done.busy_s
        return done


class _Connection(asyncio.Protocol):
    """Answers the requests of a connection in order; reads only their first line."""

    def __init__(self, health: Health, hosts: _Hosts) -> None:
        self._health = health
        self._hosts = hosts
        self._read = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while _END in self._read:
            request, _, self._read = self._read.partition(_END)
            self._hosts.answer(self._health, request.split(b" ", 2)[1], self._transport)


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--core", type=int)
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    photos = [Path(name).read_bytes() for name in photo_list(arguments.photos)]
    asyncio.run(_serve(_Hosts(photos), arguments.hosts))


async def _serve(hosts: _Hosts, count: int) -> None:
    healths = [*([Health.HEALTHY] * count), *(health for health in Health if health is not Health.HEALTHY)]
    async with contextlib.AsyncExitStack() as stack:
        places: dict[Health, list[str]] = {health: [] for health in Health}
        for number, health in enumerate(healths, start=_FIRST_ADDRESS):
            listener = socket.create_server((f"127.0.0.{number}", 0), backlog=0 if health is Health.DEAF else 128)
            places[health].append("{}:{}".format(*listener.getsockname()))
            if health is Health.DEAF:
                stack.enter_context(_filled(listener))
            else:
                await stack.enter_async_context(await _start(listener, health, hosts))
        print(json.dumps(places), flush=True)
        await _tell_figures(hosts)


async def _start(listener: socket.socket, health: Health, hosts: _Hosts) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(lambda: _Connection(health, hosts), sock=listener)


@contextlib.contextmanager
def _filled(listener: socket.socket) -> Iterator[None]:
    """Fill a listener's queue, so that new clients wait."""
    waiting = [socket.socket() for _ in range(_FILL)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
    yield
    for one in (*waiting, listener):
        one.close()


async def _tell_figures(hosts: _Hosts) -> None:
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        print(json.dumps(asdict(hosts.take_figures())), flush=True)


if __name__ == "__main__":
    main()
