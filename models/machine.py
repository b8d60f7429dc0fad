"""What a model's speed depends on, other than the model: the processor and its instructions."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from models.process import usable_cores

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


@dataclass(frozen=True)
class Machine:
    """A machine, as far as it can be told: its processor, cores that this process may use, instructions, versions."""

    cpu: str
    cores: int
    instructions: tuple[str, ...]
    system: str
    python: str
    onnxruntime: str


def this_machine(cpuinfo: Path = _CPUINFO, board: Path = _BOARD) -> Machine:
    """Describe this machine.

    Only Linux has a file ``cpuinfo``. Arm's processors do not give their name, but a small computer's ``board`` does.
    """
    pairs = (line.partition(":") for line in _text(cpuinfo).splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}  # all cores are taken to be like the last
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    return Machine(
        cpu=facts.get("model name") or _text(board).strip("\0\n ") or platform.processor() or "unknown",
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
