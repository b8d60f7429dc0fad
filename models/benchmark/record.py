"""``benchmark.json``: how large, quick and right each of a bundle's models is, and on what machine."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.benchmark.judge import Judging
from models.benchmark.machine import Machine, this_machine
from models.benchmark.measured import Measured
from models.benchmark.turn import BATCH, EDGE_PHOTO

__all__ = ["BENCHMARK_FILE", "BenchmarkRecord", "dump_record", "new_record"]

BENCHMARK_FILE: Final = "benchmark.json"
_SCHEMA_VERSION: Final = 1


class BenchmarkRecord(BaseModel):
    """The contents of ``benchmark.json``, and of ``hangtag benchmark --json``.

    Attributes:
        schema_version: of this format.
        name, version: of the model.
        made_at: when, in UTC.
        machine: where.
        batch: photos a call behind ``images_per_s``.
        edge_photo: height and width of the photo that edge graphs were timed with.
        measured: a record a file.
        judging: how right each file is; none where that was not asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1]
    name: str
    version: str
    made_at: str
    machine: Machine
    batch: int = Field(ge=1)
    edge_photo: Annotated[tuple[int, int], Field(strict=False)]
    measured: Annotated[tuple[Measured, ...], Field(strict=False)]
    judging: Judging | None = None


def new_record(name: str, version: str, measured: Sequence[Measured], judging: Judging | None) -> BenchmarkRecord:
    """What was measured on this machine just now."""
    return BenchmarkRecord(
        schema_version=_SCHEMA_VERSION,
        name=name,
        version=version,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=this_machine(),
        batch=BATCH,
        edge_photo=EDGE_PHOTO,
        measured=tuple(measured),
        judging=judging,
    )


def dump_record(record: BenchmarkRecord) -> bytes:
    """As JSON."""
    return record.model_dump_json(indent=1).encode()
