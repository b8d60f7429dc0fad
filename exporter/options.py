"""Checks the options of an export, and imports TensorFlow without its log messages."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.errors import InputError, MissingExtraError
from models.manifest import AUTO, FLOAT32, INT8

Advance = Callable[[str, int, int], None]
"""Progress callback: (step, done, total)."""


@dataclass(frozen=True)
class ExportOptions:
    """The models to make in addition to ``model.onnx``.

    Raises InputError if options contradict each other.

    Attributes:
        int8: make an 8-bit variant, which is published only if it is faster and almost as accurate.
        edge: for each variant, make a graph that takes one photo of any size.
        max_drop: points of accuracy that int8 or an edge graph may lose.
        default_variant: ``float32`` or ``int8``; ``auto``: see :func:`exporter.proof.choose_default`.
    """

    int8: bool = False
    edge: bool = False
    max_drop: float = 0.5
    default_variant: str = AUTO

    def __post_init__(self) -> None:
        variants = [AUTO, FLOAT32, *[INT8] * self.int8]
        if self.default_variant not in variants:
            msg = f"Expected one of {', '.join(variants)} as --default-variant, got {self.default_variant}."
            raise InputError(msg)


def check_free(place: Path) -> None:
    """Raise InputError if ``place`` exists, because a bundle is never overwritten."""
    if os.path.lexists(place):
        msg = f"{place} exists, and a bundle is never overwritten; pass another --out, or delete it."
        raise InputError(msg)


def check_place(place: Path) -> None:
    """Raise InputError if ``place`` exists or is not writable. Creates no folder."""
    check_free(place)
    try:
        there = next(folder for folder in place.absolute().parents if os.path.lexists(folder))
        tempfile.TemporaryDirectory(prefix=".bundle.", dir=there).cleanup()
    except OSError as error:
        msg = f"{place.parent} is not writable: the system answered {error.strerror}; pass another --out."
        raise InputError(msg) from error


def load_tensorflow() -> None:
    """Import TensorFlow, tf2onnx and onnx without log messages. Raises MissingExtraError."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silent_stderr():
        try:
            import onnx  # noqa: F401
            import tensorflow as tf
            import tf2onnx  # noqa: F401
        except ImportError as error:
            msg = f"To train, export or evaluate a run, install TensorFlow ({error}): pip install 'hangtag[train]'."
            raise MissingExtraError(msg) from error
        tf.constant(0)
        tf.get_logger().setLevel("ERROR")


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Discard the output of C++ code to file descriptor 2. Python's exceptions are unchanged."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
