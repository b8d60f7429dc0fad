"""The process of ``photo_server.py``, from outside."""

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
        """Where a row's photo is: the hosts take turns, and in place of the last there is one of that health."""
        healthy = self.places[Health.HEALTHY]
        turn = row % len(healthy)
        place = self.places[ill][0] if turn == len(healthy) - 1 else healthy[turn]
        return f"http://{place}/{row}.jpg"

    def is_healthy(self, row: int, ill: Health) -> bool:
        """Whether a row's host is."""
        count = len(self.places[Health.HEALTHY])
        return ill is Health.HEALTHY or row % count != count - 1

    def take_figures(self) -> Figures:
        """What happened since they were last taken."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return Figures(**json.loads(self.process.stdout.readline()))


@contextmanager
def photo_hosts(photos: Path, hosts: int, core: int | None) -> Iterator[PhotoHosts]:
    """Serve a folder's photos as long as the block runs: so many healthy hosts, and one of each other health.

    They are a process of its own on one core of the machine, on any where ``core`` is none.
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
