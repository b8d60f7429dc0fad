"""Where a person wants a result, and whether it can be written there."""

import os
from pathlib import Path

import pyarrow as pa

from models.errors import InputError
from worker.merging.writers import OUTPUT_SUFFIXES

__all__ = ["check_columns", "check_output"]


def check_output(output: Path, *, excel_safe: bool = False) -> None:
    """Refuse an output that cannot be written.

    Raises:
        InputError: its ending is not one we write, or no .csv where that is for spreadsheets; its folder does not
            exist, or cannot be written in.
    """
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        msg = f"Expected an output that ends in {', '.join(OUTPUT_SUFFIXES)}, got {output}."
        raise InputError(msg)
    if excel_safe and output.suffix.lower() != ".csv":
        msg = (
            f"Expected an output that ends in .csv with --excel-safe, got {output}: no cell of another format is "
            "taken for a formula; leave the option out."
        )
        raise InputError(msg)
    if not output.parent.is_dir():
        msg = f"Expected the folder {output.parent} to exist; make it first."
        raise InputError(msg)
    if not os.access(output.parent, os.W_OK):
        msg = f"Expected to write in the folder {output.parent}, the system refuses; name another --output."
        raise InputError(msg)
    if output.is_dir():
        msg = f"Expected {output} to be a file, it is a folder."
        raise InputError(msg)


def check_columns(schema: pa.Schema, output: Path) -> None:
    """Refuse a catalogue whose cells the output's format cannot hold.

    Raises:
        InputError: it has bytes in a column, and the output is text.
    """
    if output.suffix.lower() == ".parquet":
        return
    for field in schema:
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            msg = f"The column {field.name} holds bytes, which {output.suffix} cannot; name a .parquet --output."
            raise InputError(msg)
