"""A process pool that sends each process one line at a time, and replaces dead processes.

A process prints ``{"ready": true}``, answers each line of its stdin with a JSON line, and ends when its stdin closes.
The pool may send a greeting line before "ready". If a process prints ``{"refused": message}``, the pool
ends. A process may print ``{"more": true}`` to request another line before its next answer. Each answer then repeats
its line in the field ``line``. A process that has answered all its lines gets a new line.
"""

import gc
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, NoReturn, Self, TextIO, cast

from models.errors import ExitCode, JobError
from models.process import python_command, python_environment

LABELLING: Final = ("worker.labelling.local",)
"""The module that labelling processes run."""

_MAX_FALSE_STARTS: Final = 3
_LOG_TAIL: Final = 2000
_FORKS_WITH_US: Final = "jemalloc_bg_thd"
"""Name of a thread in pyarrow's memory allocator, which does not make forks unsafe."""
_PIECE: Final = 65_536


class Death(NamedTuple):
    """A process that died before it answered ``lines``. ``status``: exit status or -signal. ``log``: last lines."""

    lines: tuple[str, ...]
    status: int
    log: str


class _Fork:
    """Runs ``main`` in a forked process. Implements the part of ``Popen`` that the pool uses."""

    def __init__(self, main: Callable[[], int], log: IO[bytes]) -> None:
        requests, self.stdin = _pipe()
        self.stdout, answers = _pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns about jemalloc's thread
            try:
                self.pid = os.fork()
            except OSError:
                for end in (requests, self.stdin, self.stdout, answers):
                    end.close()
                raise
        if self.pid == 0:
            _become(main, (requests.fileno(), answers.fileno(), log.fileno()))
        requests.close()
        answers.close()
        self._status: int | None = None

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            if self._status is None:
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for the process to end; returns its exit status, or -signal."""
        if self._status is None:
            self._status = 0
            with suppress(ChildProcessError):  # if SIGCHLD is ignored, the system stores no status
                self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status


def _may_fork() -> bool:
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return False
    with suppress(OSError):  # a thread may end before its name is read
        others = [task for task in tasks.iterdir() if task.name != str(os.getpid())]
        return all((task / "comm").read_text().strip() == _FORKS_WITH_US for task in others)
    return False


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    read, write = os.pipe()
    return os.fdopen(read, "rb", buffering=0), os.fdopen(write, "wb", buffering=0)


def _become(main: Callable[[], int], streams: tuple[int, int, int]) -> NoReturn:
    """Run ``main`` in a fork with new standard streams; exits with its status."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
        # close inherited pipes, so that their readers get EOF
        os.closerange(len(streams), os.sysconf("SC_OPEN_MAX"))
        sys.stdin = os.fdopen(0, closefd=False)
        status = main()
    except BaseException:  # noqa: BLE001 - the parent's exception handlers must not run here
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


class _Child:
    """A running process. ``lines``: lines without an answer. ``number``: processes started before."""

    def __init__(self, start: Callable[[IO[bytes]], "subprocess.Popen[bytes] | _Fork"], number: int) -> None:
        self.lines: list[str] = []
        self.number = number
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - the log is closed when the process ends
        try:
            self.process = start(self.log)
        except OSError:
            self.log.close()
            raise
        self._text = b""
        self._input = cast("IO[bytes]", self.process.stdin)
        self.replies = cast("IO[bytes]", self.process.stdout)

    def give(self, line: str) -> None:
        self.lines.append(line)
        self.tell(line)

    def tell(self, line: str) -> None:
        """Send a line. :meth:`messages` detects a dead process."""
        with suppress(BrokenPipeError):
            self._input.write(f"{line}\n".encode())

    def messages(self) -> list[dict[str, Any]] | None:
        """Read the process's new messages; None if the process has ended."""
        piece = os.read(self.replies.fileno(), _PIECE)
        *lines, self._text = (self._text + piece).split(b"\n")
        return [json.loads(line) for line in lines] if piece else None

    def answered(self, message: dict[str, Any]) -> str:
        line = str(message.get("line", self.lines[0]))
        self.lines.remove(line)
        return line

    def end(self, logs: Path | None) -> str:
        """Kill the process, and store its log; returns the log's last lines."""
        self.process.kill()
        self.process.wait()
        self.replies.close()
        with suppress(BrokenPipeError):
            self._input.close()
        with self.log as log:
            if logs:
                with suppress(OSError):  # a full disk must not hide another error
                    _keep(log, logs / f"process-{self.number}.log")
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL))
            return log.read().decode(errors="replace").strip()


def _keep(log: IO[bytes], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    log.seek(0)
    with file.open("xb") as kept:  # mode "x" never writes through a symbolic link
        shutil.copyfileobj(log, kept)


class ProcessPool:
    """A pool of processes that run one Python module. Leaving the ``with`` block ends the processes."""

    def __init__(self, module: tuple[str, ...], workers: int) -> None:
        self._command = python_command(*module)
        self._workers = workers
        self._logs: Path | None = None
        self._greeting = ""
        self._waiting: deque[str] = deque()
        self._children: list[_Child] = []
        self._selector = selectors.DefaultSelector()
        self._started = 0
        self._false_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for child in self._children:
            child.process.kill()
        while self._children:
            self._children.pop().end(self._logs)
        self._selector.close()

    def fork(self, main: Callable[[], int], most: int) -> None:
        """Fork at most ``most`` processes that run ``main``. Forks have the parent's imports.

        If a fork is unsafe or fails, :meth:`run` starts new processes instead.
        """
        if not _may_fork():
            return
        gc.freeze()  # garbage collection in a fork would copy shared memory
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a new fork does not ignore Ctrl-C yet
        try:
            with suppress(OSError):
                for _ in range(min(self._workers, most)):
                    self._start(partial(_Fork, main))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            gc.unfreeze()

    def run(
        self,
        lines: Iterable[str],
        on_reply: Callable[[str, dict[str, Any]], None],
        on_death: Callable[[Death], bool],
        greeting: str = "",
        logs: Path | None = None,
    ) -> None:
        """Send all lines, and wait for their answers. A pool runs only once.

        If ``on_death`` returns True, another process gets the dead process's lines. If it raises, the run
        stops. ``greeting``: first line sent to each process. ``logs``: folder for the processes' stderr.
        """
        self._waiting.extend(lines)
        self._on_reply, self._on_death = on_reply, on_death
        self._greeting, self._logs = greeting, logs
        for child in self._children[len(self._waiting) :]:
            self._dismiss(child)
        for child in self._children:
            self._greet(child)
        for _ in range(min(self._workers, len(self._waiting)) - len(self._children)):
            self._greet(self._start())
        while self._children:
            for key, _ in self._selector.select():
                self._listen(key.data)

    def _open(self, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        pipe, environment = subprocess.PIPE, python_environment()
        return subprocess.Popen(self._command, bufsize=0, stdin=pipe, stdout=pipe, stderr=log, env=environment)

    def _start(self, start: "Callable[[IO[bytes]], _Fork] | None" = None) -> _Child:
        child = _Child(start or self._open, self._started)
        self._started += 1
        self._children.append(child)
        self._selector.register(child.replies, selectors.EVENT_READ, child)
        return child

    def _greet(self, child: _Child) -> None:
        if self._greeting:
            child.tell(self._greeting)

    def _listen(self, child: _Child) -> None:
        messages = child.messages()
        if messages is None:
            self._replace(child)
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

    def _dismiss(self, child: _Child) -> str:
        self._selector.unregister(child.replies)
        self._children.remove(child)
        return child.end(self._logs)

    def _replace(self, child: _Child) -> None:
        status = child.process.wait()  # the process has closed its stdout
        log = self._dismiss(child)
        if child.lines:
            if self._on_death(Death(tuple(child.lines), status, log)):
                self._waiting.extendleft(reversed(child.lines))
        else:
            self._false_starts += 1
            if self._false_starts >= _MAX_FALSE_STARTS:  # the kernel may kill one process, but not several in a row
                msg = f"A process ended at its start (status {status}): {log or 'it printed nothing'}"
                raise JobError(msg)
        if self._waiting or not child.lines:
            self._greet(self._start())


def take_streams() -> TextIO:
    """Return stdout for replies. Python can still write to stderr; output of C libraries is discarded."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    return replies
