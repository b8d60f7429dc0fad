"""Which machine this is, since when it is running."""

from functools import lru_cache
from pathlib import Path

__all__ = ["boot_id"]


@lru_cache(maxsize=1)
def boot_id() -> str:
    """What tells machines, and the times that one was started, apart: a random UUID of the kernel's."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
