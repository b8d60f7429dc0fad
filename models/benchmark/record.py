"""``benchmark.json``: how large, quick and right each of a bundle's models is, and on what machine."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from models.benchmark.child import BATCH, EDGE_PHOTO
from models.benchmark.judge import Judging
from models.benchmark.measure import Measured, Record
from models.process import usable_cores

BENCHMARK_FILE: Final = "benchmark.json"
_CPUINFO: Final = Path("/proc/cpuinfo")
_BOARD: Final = Path("/proc/device-tree/model")
_INSTRUCTIONS: Final = {
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx_int8",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "asimdhp": "fp16",
    "sve": "sve",
}
"""Linux's flag → the usual name, of instructions that decide how fast a network runs."""


class Machine(Record):
    """What speeds depend on, other than the model.

    Attributes:
        cpu: the processor's name, or the board's.
        architecture: ``x86_64``, ``aarch64`` and so on.
        cores: logical ones that this process may use.
        instructions: those that matter to a network.
        system: kernel and its release.
        python, onnxruntime: versions.
    """

    cpu: str
    architecture: str
    cores: int = Field(ge=1)
    instructions: Annotated[tuple[str, ...], Field(strict=False)]
    system: str
    python: str
    onnxruntime: str


class BenchmarkRecord(Record):
    """The contents of ``benchmark.json``, and of ``hangtag benchmark --json``.

    Attributes:
        schema_version: of this format.
        name, version: of the model.
        made_at: when, in UTC.
        machine: where.
        batch: photos a call behind ``images_per_s``.
        edge_photo: height and width of the photo that edge graphs were timed with.
        measured: a record a file.
        judging: accuracy and agreement of each file; None if not asked for.
    """

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
        schema_version=1,
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


def this_machine(cpuinfo: Path = _CPUINFO, board: Path = _BOARD) -> Machine:
    """Describe this machine, as far as it can be told.

    Only Linux has a file ``cpuinfo``. Arm's processors do not give their name, but a small computer's ``board`` does.
    """
    pairs = (line.partition(":") for line in _text(cpuinfo).splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}  # all cores are taken to be like the last
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    return Machine(
        cpu=facts.get("model name") or _text(board).strip("\0\n ") or platform.processor() or "unknown",
        architecture=platform.machine(),
        cores=usable_cores(),
        instructions=tuple(name for flag, name in _INSTRUCTIONS.items() if flag in flags),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        onnxruntime=version("onnxruntime"),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
