"""How urgent a job is; a module of its own, since a command's help needs it and loads nothing else."""

from enum import StrEnum


class Priority(StrEnum):
    """Which jobs' chunks are taken first, where several wait."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
