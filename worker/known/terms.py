"""What must be the same for the results of one job to be those of another."""

from dataclasses import asdict, dataclass
from typing import Self

from models.preprocess import VERSION as PREPROCESS_VERSION
from worker.job import JobOptions, JobSpec, ModelPin

__all__ = ["Terms"]


@dataclass(frozen=True)
class Terms:
    """What decides a photo's result besides its bytes.

    Attributes:
        digest: of the model.
        variant: of the model.
        precision: the target that rules.
        top_k: how many classes are named.
        preprocess_version: of ``models/preprocess.py``.
        threshold: what was asked for in the place of a promise.
        unpromised: whether an earlier Hangtag labeled rows though nothing was promised.
    """

    digest: str
    variant: str
    precision: float | None
    top_k: int
    preprocess_version: str
    threshold: float | None = None
    unpromised: bool = False

    @classmethod
    def of(cls, spec: JobSpec) -> Self:
        """Those of a job."""
        return cls._made(spec.model, spec.options, spec.preprocess_version)

    @classmethod
    def of_new(cls, model: ModelPin, options: JobOptions) -> Self:
        """Those of a job that is just being made."""
        return cls._made(model, options, PREPROCESS_VERSION)

    @classmethod
    def _made(cls, model: ModelPin, options: JobOptions, version: str) -> Self:
        return cls(
            model.digest,
            model.variant,
            model.precision,
            options.top_k,
            version,
            model.threshold,
            model.unpromised,
        )

    def changes_from(self, earlier: "Terms") -> str:
        """What differs, in words; nothing where all is the same."""
        words = {
            "digest": "the model",
            "variant": "--variant",
            "precision": "--precision",
            "top_k": "--top-k",
            "preprocess_version": "preprocessing",
            "threshold": "--threshold",
            "unpromised": "what is labeled without a promise",
        }
        before, now = asdict(earlier), asdict(self)
        return " and ".join(words[name] for name in words if before[name] != now[name])
