"""Connections that a forked process has from its parent, and has no use for."""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["let_go_of_connections"]


def let_go_of_connections() -> None:
    """Let go of the parent's network connections, in a process that was just forked.

    As long as a child holds a connection that the parent has lost, the kernel goes on telling the parent's event loop
    of it: a worker whose process had been replaced used up half a core from the next restart of Redis on (Celery 5.7).
    The numbers stay taken, so that whoever thinks of them as a connection closes nothing else.
    """
    with Path(os.devnull).open("rb") as nowhere:
        for entry in list(Path("/proc/self/fd").iterdir()):
            if _is_connection(int(entry.name)):
                os.dup2(nowhere.fileno(), int(entry.name))


def _is_connection(descriptor: int) -> bool:
    with suppress(OSError):  # the one that listed these
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            with socket.socket(fileno=os.dup(descriptor)) as held:
                return held.family in {socket.AF_INET, socket.AF_INET6}
    return False
