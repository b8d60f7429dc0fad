"""What many browsers follow by server-sent events: read once for all of them, until the server ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Broadcast(Generic[T]):
    """Reads something in a thread every second as long as anybody listens, once for all who do.

    Args:
        read: called in a thread.
        every_s: seconds between its calls.
    """

    def __init__(self, read: Callable[[], T], every_s: float = 1.0) -> None:
        self._read = read
        self._every_s = every_s
        self._listeners: set[asyncio.Queue[T | Exception | None]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nobody listens and nothing is read."""
        return not self._listeners and (self._task is None or self._task.done())

    async def listen(self) -> AsyncIterator[T]:
        """What is read from now on, until the broadcast ends; who is slow gets the newest only.

        Raises:
            Exception: what reading has raised.
        """
        queue: asyncio.Queue[T | Exception | None] = asyncio.Queue(maxsize=1)
        self._listeners.add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            while (came := await queue.get()) is not None:
                if isinstance(came, Exception):
                    raise came
                yield came
        finally:
            self._listeners.discard(queue)

    def end(self) -> None:
        """Let go of everybody who listens."""
        self._send(None)
        self._listeners.clear()

    async def _run(self) -> None:
        while self._listeners:
            try:
                self._send(await asyncio.to_thread(self._read))
            except Exception as error:  # noqa: BLE001 - all who listen raise it
                self._send(error)
            await asyncio.sleep(self._every_s)

    def _send(self, came: T | Exception | None) -> None:
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(came)


class Broadcasts(Generic[T]):
    """The broadcasts that somebody listens to, by name. All methods are called on the event loop."""

    def __init__(self) -> None:
        self._open: dict[str, Broadcast[T]] = {}

    def listen(self, name: str, read: Callable[[], T]) -> AsyncIterator[T]:
        """Join a broadcast, or begin it."""
        for idle in [name for name, open_one in self._open.items() if open_one.is_idle]:
            del self._open[idle]
        return self._open.setdefault(name, Broadcast(read)).listen()

    def end(self) -> None:
        """End those that are open: the server ends, and would wait for them."""
        for broadcast in self._open.values():
            broadcast.end()
