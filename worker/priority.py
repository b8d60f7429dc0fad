"""How urgent a job is."""

from enum import StrEnum

__all__ = ["Priority"]


class Priority(StrEnum):
    """Which jobs' chunks are taken first, where several wait."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
