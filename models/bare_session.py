"""A session as Hangtag has it everywhere, of NumPy and ONNX Runtime alone: a benchmark's bare process loads no more."""

import os
from typing import TYPE_CHECKING, Final

from models.telemetry import refuse_telemetry

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["bare_session"]

_QUIET: Final = 3


def bare_session(data: bytes, threads: int) -> "ort.InferenceSession":
    """Load an ONNX file on the CPU; ONNX Runtime's own errors are let through.

    Args:
        data: its bytes, in ONNX's format or in ONNX Runtime's own (``.ort``).
        threads: how many threads one call may use.
    """
    refuse_telemetry()
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights that lie in a file of their own have no SHA-256: where they are looked for, there are none.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
