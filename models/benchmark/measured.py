"""What was measured of one ONNX file."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Measured", "Speed"]

Figure = Annotated[float, Field(gt=0.0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Speed(_Record):
    """How quick a file is with so many threads.

    Attributes:
        threads: of one call.
        p50_ms: milliseconds of a call with one photo: the median.
        p95_ms: milliseconds within which 95 of 100 such calls end.
        images_per_s: photos a second in batches of 32, of all threads together; none for an edge graph, which takes
            one photo a call.
    """

    threads: int = Field(ge=1)
    p50_ms: Figure
    p95_ms: Figure
    images_per_s: Figure | None

    @property
    def images_per_s_per_core(self) -> float | None:
        """Photos a second for each thread."""
        return None if self.images_per_s is None else self.images_per_s / self.threads


class Measured(_Record):
    """One ONNX file.

    Attributes:
        variant: ``float32``, ``int8``, ``float16``.
        file: its name.
        edge: whether it takes one whole photo a call and resizes inside.
        bytes: its size.
        load_ms: milliseconds to read it, from the disk's cache, and make it ready, with one thread: the median.
        peak_memory_mb: most memory (10⁶ bytes) of a bare process that loads it and labels photos one by one.
        baseline_memory_mb: how much of that the process held before: Python, NumPy and ONNX Runtime.
        speeds: for one thread, then for all.
    """

    variant: str
    file: str
    edge: bool
    bytes: int = Field(ge=1)
    load_ms: Figure
    peak_memory_mb: Figure
    baseline_memory_mb: Figure
    speeds: Annotated[tuple[Speed, ...], Field(min_length=1, strict=False)]
