"""What is kept of a training after each epoch."""

import io
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np

from models.errors import InputError
from models.whole_file import replace_file, replacing
from trainer.learning.learner import State

__all__ = ["read_state", "save_network", "write_state"]


def save_network(network: keras.Model, path: Path) -> None:
    """Write a ``.keras`` file, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, path.suffix) as temporary:
        network.save(temporary)


def write_state(path: Path, state: State) -> None:
    """Write ``state.npz``, whole."""
    buffer = io.BytesIO()
    np.savez(buffer, **state)  # type: ignore[arg-type]
    replace_file(path, buffer.getvalue())


def read_state(path: Path) -> State:
    """Read ``state.npz``.

    Raises:
        InputError: it is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        msg = f"Expected the state of a training in {path}, it is damaged ({error}); train anew."
        raise InputError(msg) from error
