"""Which process and which machine this is, so that another process can tell whether it still lives."""

import json
import os
import socket
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Self

from pydantic import TypeAdapter

__all__ = ["Owner", "boot_id"]


@lru_cache(maxsize=1)
def boot_id() -> str:
    """The kernel's random UUID of this boot: tells machines, and boots of one machine, apart."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True)
class Owner:
    """A process, named so that other processes and machines can recognise it.

    Attributes:
        host: the machine's name, for people.
        machine: tells machines, boots and containers apart; a process number is unique only within one of these.
        started: clock ticks from the machine's boot to the process's start, since process numbers are reused.
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
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: it is not what another process of this version wrote.
        """
        return _OWNER.validate_json(text, strict=True)


_OWNER: Final = TypeAdapter(Owner)


@lru_cache(maxsize=1)
def _machine() -> str:
    return f"{boot_id()}/{Path('/proc/self/ns/pid').readlink()}"


def _start_of(pid: int) -> int | None:
    """Field 22 of proc(5)'s ``stat``; ``None`` if the process is gone, or only its remains are there."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])
