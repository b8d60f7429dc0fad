"""The resident memory of a process on Linux; imports only the standard library, so that it adds no memory."""

from pathlib import Path


def resident_mb(which: str, pid: int | None = None) -> float:
    """Megabytes (10⁶ bytes) of this or another process: ``VmRSS`` is the current value, ``VmHWM`` the peak."""
    lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:")) * 1024 / 1e6
