"""An ONNX file that Hangtag exported, loaded on the CPU."""

from typing import TYPE_CHECKING

from models.bare_session import bare_session
from models.errors import BundleError
from models.manifest import METADATA_KEY, ModelMetadata, parse_metadata

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ["open_session", "read_metadata"]


def open_session(data: bytes, source: str, threads: int) -> "ort.InferenceSession":
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


def read_metadata(session: "ort.InferenceSession", source: str) -> ModelMetadata:
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
    _check_input(session, metadata, source)
    outputs = {output.name: output.shape for output in session.get_outputs()}
    columns = (outputs.get("probabilities") or [0])[-1]  # a lone number has no columns
    if columns != len(metadata.labels):
        msg = f"{source} gives {columns} probabilities, but names {len(metadata.labels)} labels; export it again."
        raise BundleError(msg)
    if metadata.unknown and "unknown" not in outputs:
        msg = f"{source} has a limit for unknown photos, but gives no score for them; export it again."
        raise BundleError(msg)
    return metadata


def _check_input(session: "ort.InferenceSession", metadata: ModelMetadata, source: str) -> None:
    """A batch of squares of the size that the metadata names, or one photo of any size."""
    found = [(given.name, given.type, given.shape) for given in session.get_inputs()]
    size = metadata.preprocess.size
    name, kind, shape = found[0] if len(found) == 1 else ("", "", [])
    takes_squares = shape[1:] == [size, size, 3]
    if (name, kind) != ("image", "tensor(uint8)") or not (takes_squares or _any_size(shape)):
        msg = (
            f"Expected one input image, uint8 [batch, {size}, {size}, 3] or [height, width, 3], in {source}, "
            f"got {found}; export it again."
        )
        raise BundleError(msg)


def _any_size(shape: list[int | str | None]) -> bool:
    return len(shape) == len(("height", "width", "channels")) and not any(isinstance(side, int) for side in shape[:2])
