"""Arrays in ``.npz`` files, which are whole or absent and hold no pickled objects."""

import io
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from models.errors import InputError
from models.whole_file import replace_file


def write_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write arrays under their names."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    replace_file(path, buffer.getvalue())


def read_arrays(path: Path, what: str, *names: str, advice: str = "train again") -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of these names; all arrays if none is named. Raises InputError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names or arrays.files}
    except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError, BadZipFile) as error:
        msg = f"Expected {what} in {path}, it is damaged or gone ({error!r}); {advice}."
        raise InputError(msg) from error
