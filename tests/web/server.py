"""``hangtag web`` as a process with its own folder."""

import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import httpx

from models.registry.history import CHALLENGER, CHAMPION
from models.registry.registry import Registry, open_registry
from tests.command import HANGTAG, clean_environment
from tests.until import until


class WebServer:
    """A server on a free port of this machine."""

    def __init__(self, folder: Path, *arguments: object, **environment: str) -> None:
        self.folder = folder
        self.corrections = folder / "corrections.csv"
        self.log = folder / "web.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        places = {"--jobs": "jobs", "--registry": "registry", "--corrections": "corrections.csv"}
        own = [word for option, name in places.items() for word in (option, str(folder / name))]
        self._command = [*HANGTAG, "web", "--port", str(self.port), *own, *map(str, arguments)]
        self._environment = clean_environment(**environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs"

    def __enter__(self) -> "WebServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self.folder,
            )
        until(lambda: self._process.poll() is not None or self._answers(), "the server answers")
        assert self._process.poll() is None, self.log.read_text()

    def job_id(self) -> str:
        """The ID in URLs for the job of the server's only result."""
        (link,) = set(re.findall(r'href="/review/([^"/?]+-[0-9a-f]{8})["?]', httpx.get(f"{self.url}/review").text))
        return link

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self, sign: signal.Signals = signal.SIGINT) -> int | None:
        """End the server by a signal, print its log for the report of a failed test, and return its exit status."""
        status = self._end(sign)
        print(f"--- {self.log}\n{self.log.read_text(errors='replace')}")
        return status

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").is_success
        except httpx.TransportError:
            return False

    def _end(self, sign: signal.Signals) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(sign)
        return process.wait(30)


def copy_job(result: Path, folder: Path) -> Path:
    """Copy a result of ``hangtag label`` with its job into a folder, where a test may change it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(f"{result}.job", folder / f"{result.name}.job")
    return Path(shutil.copy(result, folder))


def publish(server: WebServer, model: str, champion: Path, challenger: Path) -> Registry:
    registry = open_registry(str(server.folder / "registry"))
    registry.publish(model, champion, "first", alias=CHAMPION)
    registry.publish(model, challenger, "second", alias=CHALLENGER)
    registry.refuse(model, 2, ("hats lost 7 points.",), {"points": -7.0})
    return registry


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
