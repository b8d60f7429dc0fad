"""The machine that something was measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Machine", "this_machine", "usable_cores"]

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
"""Linux's flag → the name that ONNX Runtime's and Arm's papers use, of what makes a network quick or slow."""


class Machine(BaseModel):
    """What speeds depend on besides the model.

    Attributes:
        cpu: the processor's name, or the board's.
        architecture: ``x86_64``, ``aarch64`` and so on.
        cores: logical ones that this process may use.
        instructions: those that matter to a network.
        system: kernel and its release.
        python, onnxruntime: versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    cpu: str
    architecture: str
    cores: int = Field(ge=1)
    instructions: Annotated[tuple[str, ...], Field(strict=False)]
    system: str
    python: str
    onnxruntime: str


def this_machine(cpuinfo: Path = _CPUINFO, board: Path = _BOARD) -> Machine:
    """Look at this machine.

    Args:
        cpuinfo: what Linux says of the processor; elsewhere there is no such file, and no instructions are named.
        board: what a small computer calls itself: Arm's processors do not say their name.
    """
    said = _facts(_text(cpuinfo))
    flags = set(said.get("flags", said.get("Features", "")).split())
    return Machine(
        cpu=said.get("model name") or _text(board).strip("\0\n ") or platform.processor() or "unknown",
        architecture=platform.machine(),
        cores=usable_cores(),
        instructions=tuple(name for flag, name in _INSTRUCTIONS.items() if flag in flags),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        onnxruntime=version("onnxruntime"),
    )


def usable_cores() -> int:
    """How many logical cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _facts(cpuinfo: str) -> dict[str, str]:
    """Key → value; all cores are taken to be like the last."""
    pairs = (line.partition(":") for line in cpuinfo.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
