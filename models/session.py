"""ONNX files on the CPU, through ONNX Runtime.

:func:`bare_session` loads only ONNX Runtime and NumPy, because benchmarks measure its memory.
"""

import os
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Final

from models.errors import BundleError

if TYPE_CHECKING:
    import onnxruntime as ort

    from models.manifest import ModelMetadata

_QUIET: Final = 3


def refuse_telemetry() -> None:
    """Keep ONNX Runtime from sending usage data, and from writing a device id and usage data to the user's cache.

    Call this before ONNX Runtime is imported and reads the environment. ``disable_telemetry_events`` can be called only
    after the import, which is too late. Variables that the user has set are not changed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def load_runtime() -> ModuleType:
    """Import ONNX Runtime without its telemetry."""
    refuse_telemetry()
    return import_module("onnxruntime")


def bare_session(data: bytes, threads: int) -> "ort.InferenceSession":
    """Load an ONNX file for calls on ``threads`` threads. Raises ONNX Runtime's own errors."""
    ort = load_runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Never load weights from separate files, because they have no SHA-256. This folder cannot exist.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def open_session(data: bytes, source: str, threads: int) -> "ort.InferenceSession":
    """Load an ONNX file. Errors name the path ``source``. Raises BundleError."""
    try:
        return bare_session(data, threads)
    except Exception as error:  # ONNX Runtime's errors have no base class
        msg = f"Expected an ONNX model in {source}, but ONNX Runtime refused it ({error}); export the model again."
        raise BundleError(msg) from error


def read_metadata(session: "ort.InferenceSession", source: str) -> "ModelMetadata":
    """Read the metadata of an ONNX file. Errors name the path ``source``. Raises BundleError."""
    from models.manifest import METADATA_KEY, ModelMetadata, parse_file  # benchmarks must not load Pydantic

    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        msg = f"Expected {source} to be a model that Hangtag exported, found no {METADATA_KEY} metadata."
        raise BundleError(msg)
    metadata = parse_file(ModelMetadata, text, source)
    _check_input(session, metadata.preprocess.size, source)
    outputs = {output.name: output.shape for output in session.get_outputs()}
    columns = (outputs.get("probabilities") or [0])[-1]  # a scalar has no columns
    if columns != len(metadata.labels):
        msg = (
            f"{source} gives {columns} probabilities, but its metadata list {len(metadata.labels)} labels; "
            "export the model again."
        )
        raise BundleError(msg)
    if metadata.unknown and "unknown" not in outputs:
        msg = f"{source} has a limit for unknown photos, but no score; export the model again."
        raise BundleError(msg)
    return metadata


def _check_input(session: "ort.InferenceSession", size: int, source: str) -> None:
    inputs = [(value.name, value.type, value.shape) for value in session.get_inputs()]
    name, kind, shape = inputs[0] if len(inputs) == 1 else ("", "", [])
    takes_squares = shape[1:] == [size, size, 3]
    takes_photo = len(shape) == len(("height", "width", "channels")) and not any(isinstance(s, int) for s in shape[:2])
    if (name, kind) != ("image", "tensor(uint8)") or not (takes_squares or takes_photo):
        msg = (
            f"Expected one input image, uint8 [batch, {size}, {size}, 3] or [height, width, 3], in {source}, "
            f"got {inputs}; export the model again."
        )
        raise BundleError(msg)
