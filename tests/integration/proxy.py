"""A TCP proxy for a port of this machine that can simulate a failing network."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

_BYTES = 65_536


@dataclass(frozen=True, eq=False)
class _Link:
    """A connection from a client through to the server.

    Attributes:
        dead: both ends stay open, but no data passes, nor the close of an end.
    """

    client: socket.socket
    server: socket.socket
    dead: Event = field(default_factory=Event)

    def pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_BYTES):
                if not self.dead.is_set():
                    sink.sendall(data)
        if not self.dead.is_set():
            self.cut()

    def cut(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.client.close()
        self.server.close()


class Proxy:
    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[_Link] = []
        self._threads: list[Thread] = []
        self._lock = Lock()
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def go_silent(self) -> None:
        """Keep every connection open and drop its bytes both ways: half-open TCP. New connections work."""
        with self._lock:
            for link in self._links:
                link.dead.set()

    def cut(self) -> None:
        with self._lock:
            for link in self._links:
                link.cut()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()
        for link in self._links:
            link.close()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._take(self._listener.accept()[0])

    def _take(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server_port))
        except OSError:
            client.close()
            return
        link = _Link(client, server)
        with self._lock:
            self._links.append(link)
        self._start(link.pump, client, server)
        self._start(link.pump, server, client)

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


@contextmanager
def open_proxy(server_port: int) -> Iterator[Proxy]:
    proxy = Proxy(server_port)
    try:
        yield proxy
    finally:
        proxy.close()
