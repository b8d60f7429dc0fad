"""TensorFlow, loaded when a command needs it, without the thirty lines it prints to say that there is no GPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import MissingExtraError


def load_tensorflow() -> None:
    """Import TensorFlow, tf2onnx and onnx quietly; a GPU is used if there is one. Raises MissingExtraError."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silent_stderr():
        try:
            import onnx  # noqa: F401
            import tensorflow as tf
            import tf2onnx  # noqa: F401
        except ImportError as error:
            msg = f"Training, exporting and evaluating runs need TensorFlow ({error}); pip install 'hangtag[train]'."
            raise MissingExtraError(msg) from error
        tf.constant(0)
        tf.get_logger().setLevel("ERROR")


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Discard what C++ code writes to file descriptor 2; Python's exceptions are untouched."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
