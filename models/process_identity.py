"""Which process and which machine this is, so that another process can tell whether it still lives."""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Self

from pydantic import TypeAdapter


@lru_cache(maxsize=1)
def boot_id() -> str:
    """The kernel's random UUID of this boot: tells machines, and boots of one machine, apart."""
    if sys.platform == "darwin":
        return _printed("sysctl", "-n", "kern.bootsessionuuid")
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True)
class Owner:
    """A process, named so that other processes and machines can recognise it.

    Attributes:
        host: the machine's name, for people.
        machine: tells machines, boots and containers apart; a process number is unique only within one of these.
        started: when the process started, since process numbers are reused: clock ticks since the machine's boot (on
            macOS seconds since 1970).
    """

    host: str
    machine: str
    pid: int
    started: int

    @classmethod
    def this(cls) -> Self:
        """The process that asks."""
        pid = os.getpid()
        return cls(socket.gethostname(), _machine(), pid, _start_of(pid) or 0)

    @property
    def same_machine(self) -> bool:
        """Whether it is, or was, on this machine and in this container, so that we can see if it runs."""
        return self.machine == _machine()

    @property
    def known_dead(self) -> bool:
        """Whether it has surely ended; false for a process on another machine, since nobody can tell."""
        return self.same_machine and _start_of(self.pid) != self.started

    def to_json(self) -> str:
        """For other processes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Owner":
        """The inverse of :meth:`to_json`; ValueError if it is not what another process of this version wrote."""
        return _OWNER.validate_json(text, strict=True)


_OWNER: Final = TypeAdapter(Owner)


@lru_cache(maxsize=1)
def _machine() -> str:
    if sys.platform == "darwin":  # it has no namespaces
        return boot_id()
    return f"{boot_id()}/{Path('/proc/self/ns/pid').readlink()}"


def _start_of(pid: int) -> int | None:
    """When a process started; ``None`` if it is gone, or only its remains are there."""
    return _start_by_ps(pid) if sys.platform == "darwin" else _start_by_stat(pid)


def _start_by_ps(pid: int) -> int | None:
    state, _, started = _printed("ps", "-o", "stat=,lstart=", "-p", str(pid)).partition(" ")
    if not state or state.startswith("Z"):
        return None
    return int(time.mktime(time.strptime(started.strip(), "%a %b %d %H:%M:%S %Y")))


def _printed(*command: str) -> str:
    """What a program of the system prints in plain English; empty if it fails."""
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout.strip()


def _start_by_stat(pid: int) -> int | None:
    """Field 22 of proc(5)'s ``stat``."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])
