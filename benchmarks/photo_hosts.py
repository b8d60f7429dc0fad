"""Start and control the process of ``photo_server.py``."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from photo_server import Figures, Health


@dataclass
class PhotoHosts:
    """Hosts that serve photos."""

    places: dict[Health, list[str]]
    process: "subprocess.Popen[str]"

    def url(self, row: int, ill: Health) -> str:
        """Return the URL of a row's photo. Rows go to the hosts in turn; the host ``ill`` replaces the last host."""
        healthy = self.places[Health.HEALTHY]
        turn = row % len(healthy)
        place = self.places[ill][0] if turn == len(healthy) - 1 else healthy[turn]
        return f"http://{place}/{row}.jpg"

    def is_healthy(self, row: int, ill: Health) -> bool:
        """Whether the host of a row is healthy."""
        count = len(self.places[Health.HEALTHY])
        return ill is Health.HEALTHY or row % count != count - 1

    def take_figures(self) -> Figures:
        """Return the figures since the last call."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return Figures(**json.loads(self.process.stdout.readline()))


@contextmanager
def photo_hosts(photos: Path, hosts: int, core: int | None) -> Iterator[PhotoHosts]:
    """Serve a folder's photos during the block, from healthy hosts and one host of each fault.

    The hosts run in one process, on the given core or, without ``core``, on any core.
    """
    command = [sys.executable, str(Path(__file__).with_name("photo_server.py")), "--photos", str(photos)]
    pinned = [] if core is None else ["--core", str(core)]
    process = subprocess.Popen(
        [*command, "--hosts", str(hosts), *pinned], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        places = json.loads(process.stdout.readline())
        yield PhotoHosts({Health(health): named for health, named in places.items()}, process)
    finally:
        process.stdin.close()
        process.wait()
