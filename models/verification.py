"""What a verification finds, as plain records."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

__all__ = ["Aspect", "Check", "Verification"]


class Aspect(StrEnum):
    """What is looked at."""

    FILES = "files"
    LABELS = "labels"
    MODEL = "model"
    METADATA = "metadata"
    PROMISE = "promise"
    GOLDEN = "golden samples"
    ANSWER = "answer"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        aspect: what was looked at.
        subject: the file (or files) it was looked at in.
        sound: none where it could not be looked at, since something else is wrong.
        detail: what was found; of what is not sound, what is wrong and what to do.
    """

    aspect: Aspect
    subject: str
    sound: bool | None
    detail: str


@dataclass(frozen=True)
class Verification:
    """All that was found.

    Attributes:
        path: the bundle, or the lone file.
        model: ``name/version``; none where nothing could be read of it.
        digest: SHA-256 of the bundle's manifest, or of the lone file: compare it with that of the machine that exported
            it, for who changes every file of a bundle can make one that agrees with itself.
        checks: in the order in which they were made.
        unlisted: files in the bundle's folder that its manifest does not name, so that nothing is known of them.
    """

    path: Path
    model: str | None
    digest: str
    checks: tuple[Check, ...]
    unlisted: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.sound is False)

    @property
    def sound(self) -> bool:
        """Whether no check failed."""
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "path": str(self.path),
            "model": self.model,
            "digest": self.digest,
            "sound": self.sound,
            "checks": [
                {"check": c.aspect, "subject": c.subject, "sound": c.sound, "detail": c.detail} for c in self.checks
            ],
            "unlisted": list(self.unlisted),
        }
