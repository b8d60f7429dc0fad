"""How urgent a job is; apart, since the command line's help needs it and should load nothing else."""

from enum import StrEnum

__all__ = ["Priority"]


class Priority(StrEnum):
    """Which jobs' chunks are taken first, where several wait."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
