"""An ONNX file that Hangtag exported, loaded on the CPU."""

import onnxruntime as ort

from models.bare_session import bare_session
from models.errors import BundleError
from models.manifest import METADATA_KEY, ModelMetadata, parse_metadata

__all__ = ["open_session", "read_metadata"]


def open_session(data: bytes, source: str, threads: int) -> ort.InferenceSession:
    """Load an ONNX file.

    Args:
        data: its bytes, in ONNX's format or in ONNX Runtime's own (``.ort``).
        source: its path, for messages.
        threads: how many threads one call may use.

    Raises:
        BundleError: it is no model.
    """
    try:
        return bare_session(data, threads)
    except Exception as error:  # ONNX Runtime's errors share no class of their own
        msg = f"Expected an ONNX model in {source}, ONNX Runtime refused it ({error}); export it again."
        raise BundleError(msg) from error


def read_metadata(session: ort.InferenceSession, source: str) -> ModelMetadata:
    """What an ONNX file says of itself.

    Args:
        session: of the file.
        source: its path, for messages.

    Raises:
        BundleError: Hangtag did not export it, or it disagrees with itself.
    """
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        msg = f"Expected a model that Hangtag exported in {source}, it carries no {METADATA_KEY} metadata."
        raise BundleError(msg)
    metadata = parse_metadata(text, source)
    outputs = {output.name: output.shape for output in session.get_outputs()}
    columns = outputs.get("probabilities", [0])[-1]
    if columns != len(metadata.labels):
        msg = f"{source} gives {columns} probabilities, but names {len(metadata.labels)} labels; export it again."
        raise BundleError(msg)
    if metadata.unknown and "unknown" not in outputs:
        msg = f"{source} has a limit for unknown photos, but gives no score for them; export it again."
        raise BundleError(msg)
    return metadata
