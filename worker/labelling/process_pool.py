"""A process pool that feeds each process one line at a time; a dead process is replaced, and its lines given again.

The protocol: a process says ``{"ready": true}`` as a JSON line, then answers each line it is given with one JSON line,
and ends when its stdin closes. ``{"refused": message}`` ends the whole. A process that has room for more than the lines
it has in hand says ``{"more": true}``, and names the line that it answers under ``line``; with others still in hand it
gets a line for each time that it says so, and none for its answers: what it has no use for yet is work for others.
"""

import json
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self, TextIO, cast

from models.errors import ExitCode, JobError
from models.process import python_command, python_environment

__all__ = ["Death", "ProcessPool", "take_streams"]

_MAX_FALSE_STARTS: Final = 3
_LOG_TAIL: Final = 2000
_PIECE: Final = 65_536


class Death(NamedTuple):
    """A process that ended with lines in hand.

    Attributes:
        lines: in the order in which it was given them.
        status: exit status; minus the signal's number where a signal ended it.
        log: the end of what it wrote to stderr.
    """

    lines: tuple[str, ...]
    status: int
    log: str


class _Child:
    """A running process, and the lines it has in hand."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.lines: list[str] = []
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        pipe, environment = subprocess.PIPE, python_environment()
        with log.open("xb") as file:  # a link that somebody laid there would empty another file
            self.process = subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=file, env=environment)
        self._text = b""
        self._input = cast("IO[bytes]", self.process.stdin)
        self.replies = cast("IO[bytes]", self.process.stdout)

    def give(self, line: str) -> None:
        """Hand it a line; that it has just died is noticed when its stdout closes."""
        self.lines.append(line)
        with suppress(BrokenPipeError):
            self._input.write(f"{line}\n".encode())

    def messages(self) -> list[dict[str, Any]] | None:
        """The complete messages that it has just sent; None when it is gone."""
        piece = os.read(self.replies.fileno(), _PIECE)
        *lines, self._text = (self._text + piece).split(b"\n")
        return [json.loads(line) for line in lines] if piece else None

    def answered(self, message: dict[str, Any]) -> str:
        """Remove and return the line that a message answers."""
        line = str(message.get("line", self.lines[0]))
        self.lines.remove(line)
        return line

    def end(self) -> None:
        """Kill it if it still runs, and wait until it is gone."""
        self.process.kill()
        self.process.wait()
        self.replies.close()
        with suppress(BrokenPipeError):
            self._input.close()


class ProcessPool:
    """Processes that run one module of ours.

    Args:
        module: what to run, with its arguments.
        workers: how many at once.
        logs: folder for what they write to stderr.
        on_reply: called with each line and the answer to it.
        on_death: called when a process dies; says whether its lines are to be given to another process. May raise.
    """

    def __init__(
        self,
        module: tuple[str, ...],
        workers: int,
        logs: Path,
        on_reply: Callable[[str, dict[str, Any]], None],
        on_death: Callable[[Death], bool],
    ) -> None:
        self._command = python_command(*module)
        self._workers = workers
        self._logs = logs
        self._on_reply = on_reply
        self._on_death = on_death
        self._waiting: deque[str] = deque()
        self._children: list[_Child] = []
        self._selector = selectors.DefaultSelector()
        self._started = 0
        self._false_starts = 0
        self.deaths = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for child in self._children:
            child.end()
        self._selector.close()

    def run(self, lines: Iterable[str]) -> None:
        """Run until every line is answered, or ``on_death`` raises.

        Raises:
            JobError: a process cannot start.
        """
        self._waiting.extend(lines)
        for _ in range(min(self._workers, len(self._waiting))):
            self._start()
        while self._children:
            for key, _ in self._selector.select():
                self._listen(key.data)

    def _start(self) -> None:
        child = _Child(self._command, self._logs / f"process-{self._started}.log")
        self._started += 1
        self._children.append(child)
        self._selector.register(child.replies, selectors.EVENT_READ, child)

    def _listen(self, child: _Child) -> None:
        messages = child.messages()
        if messages is None:
            self._bury(child)
            return
        for message in messages:
            self._take(child, message)
        if messages and not child.lines:
            self._dismiss(child)

    def _take(self, child: _Child, message: dict[str, Any]) -> None:
        if "refused" in message:
            error = JobError(str(message["refused"]))
            error.exit_code = ExitCode(message["exit_code"])
            raise error
        self._false_starts = 0
        if child.lines and "more" not in message:
            self._on_reply(child.answered(message), message)
        if self._waiting and ("more" in message or not child.lines):
            child.give(self._waiting.popleft())

    def _dismiss(self, child: _Child) -> None:
        self._selector.unregister(child.replies)
        self._children.remove(child)
        child.end()

    def _bury(self, child: _Child) -> None:
        status = child.process.wait()  # it has closed its stdout
        self._dismiss(child)
        log = child.log.read_text(errors="replace")[-_LOG_TAIL:].strip()
        if not child.lines:
            self._false_start(status, log)
            return
        self.deaths += 1
        if self._on_death(Death(tuple(child.lines), status, log)):
            self._waiting.extendleft(reversed(child.lines))
        if self._waiting:
            self._start()

    def _false_start(self, status: int, log: str) -> None:
        """Count a process that died before it was ready: one may be the kernel's doing, several in a row are not."""
        self._false_starts += 1
        if self._false_starts >= _MAX_FALSE_STARTS:
            msg = f"A process ended as it started (status {status}): {log or 'it printed nothing'}"
            raise JobError(msg)
        self._start()


def take_streams() -> TextIO:
    """Keep stdout for replies and stderr for Python, and send whatever C libraries print to nowhere.

    libtiff prints a line for every odd tag of every file; a plugin that prints must not mix with the replies.

    Returns:
        The pipe to the command, a line at a time.
    """
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    return replies
