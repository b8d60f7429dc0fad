"""A misbehaving web server in a thread: tests choose its answers byte for byte."""

import asyncio
import socket
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from threading import Event, Thread


@dataclass(frozen=True)
class Request:
    """A request, with its connection and time."""

    path: str
    headers: dict[str, str]
    connection: int
    at: float


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def whole(body: bytes = b"photo", status: str = "200 OK", headers: str = "", length: int | None = None) -> Answer:
    """A correct answer, or an answer with a wrong length."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n{headers}\r\n"

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + body)

    return answer


@dataclass
class NastyServer:
    """Gives the answers set for a path in turn, and then repeats the last.

    Attributes:
        port: on 127.0.0.1.
        requests: all requests so far.
        connections: number of connections so far.
        most_at_once: the most requests at the same time.
    """

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    most_at_once: int = 0
    _answers: dict[str, Iterator[Answer]] = field(default_factory=dict)
    _default: Answer = field(default_factory=whole)
    _in_hand: int = 0
    _gates: list[Event] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.place}{path}"

    def on(self, path: str, *answers: Answer) -> str:
        self._answers[path] = chain(answers[:-1], repeat(answers[-1]))
        return self.url(path)

    def otherwise(self, answer: Answer) -> None:
        self._default = answer

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def counts(self) -> Counter[str]:
        return Counter(request.path for request in self.requests)

    def gate(self, then: Answer | None = None) -> tuple[Answer, Event]:
        opened = Event()
        self._gates.append(opened)

        async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
            while not opened.is_set():
                await asyncio.sleep(0.005)
            await (then or whole())(request, writer)

        return answer, opened

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                await self._answer(await _request(reader, number), writer)
        writer.close()
        self._writers.discard(writer)

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        self._in_hand += 1
        self.most_at_once = max(self.most_at_once, self._in_hand)
        try:
            told = self._answers.get(request.path)
            await (next(told) if told else self._default)(request, writer)
            await writer.drain()
        finally:
            self._in_hand -= 1

    async def hang_up(self) -> None:
        """Close all connections and wait until they are gone."""
        for gate in self._gates:
            gate.set()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for writer in self._writers:
            writer.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _request(reader: asyncio.StreamReader, connection: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(first.split(" ")[1], headers, connection, time.monotonic())


def redirect(to: str, status: str = "302 Found") -> Answer:
    return whole(b"", status, f"Location: {to}\r\n")


def chunked_and_cut() -> Answer:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nphoto\r\n5\r\nph")
        await writer.drain()
        writer.close()

    return answer


def cut() -> Answer:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await whole(b"ph", length=5)(request, writer)
        await writer.drain()
        writer.close()

    return answer


def says(text: bytes) -> Answer:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()
        writer.close()

    return answer


def endless(piece: bytes, pause_s: float, head: str = "") -> Answer:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        while not writer.is_closing():
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(pause_s)

    return answer


def silence() -> Answer:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        while not writer.transport.is_closing():
            await asyncio.sleep(0.01)

    return answer


@contextmanager
def open_nasty_server(tls: ssl.SSLContext | None = None) -> Iterator[NastyServer]:
    server = NastyServer()
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        listener = await asyncio.start_server(server.speak, "127.0.0.1", 0, ssl=tls)
        server.port = listener.sockets[0].getsockname()[1]
        end = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), end))
        await end.wait()
        listener.close()
        await server.hang_up()

    thread = Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    loop, end = started.result()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


@contextmanager
def dead_port() -> Iterator[int]:
    """A port of this machine that never answers: its queue of new connections is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for filler in fillers:
                filler.close()
