"""ONNX Runtime's own format (``.ort``), which its mobile build reads, and the list of what that build must contain."""

import contextlib
import io
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

from exporter.load_tensorflow import silent_stderr

__all__ = ["OPERATORS_FILE", "MobileFiles", "to_ort"]

OPERATORS_FILE: Final = "required_operators.config"


@dataclass(frozen=True)
class MobileFiles:
    """What the mobile build needs.

    Attributes:
        models: name (``model.ort``) → contents.
        operators: the operators that the models need, for ``--include_ops_by_config`` when ONNX Runtime is built.
    """

    models: dict[str, bytes]
    operators: bytes


def to_ort(models: Mapping[str, bytes]) -> MobileFiles:
    """Convert ONNX files with ONNX Runtime's own tool.

    Args:
        models: name (``model.onnx``) → contents.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "onnx"), Path(scratch, "ort")
        source.mkdir()
        for name, data in models.items():
            (source / name).write_bytes(data)
        with contextlib.redirect_stdout(io.StringIO()), silent_stderr(), warnings.catch_warnings(action="ignore"):
            convert_onnx_models_to_ort(source, target, [OptimizationStyle.Fixed])
        made = {f"{Path(name).stem}.ort": (target / f"{Path(name).stem}.ort").read_bytes() for name in models}
        (operators,) = target.glob("*.config")
        return MobileFiles(made, _without_comments(operators.read_bytes()))


def _without_comments(config: bytes) -> bytes:
    """They name the folder that the models were converted in."""
    return b"".join(line for line in config.splitlines(keepends=True) if not line.startswith(b"#"))
