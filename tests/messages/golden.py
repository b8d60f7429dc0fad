"""Compare a command's messages with a file; ``HANGTAG_WRITE_GOLDEN=1 pytest tests/messages`` writes the files again.

A test runs a command in each way that should fail or warn, and passes all outputs here together. Read the diff of the
file before you commit it: people see these sentences.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent


def check_messages(command: str, outputs: Mapping[str, str], places: Mapping[object, str]) -> None:
    """Compare outputs with ``tests/messages/COMMAND.txt``.

    Args:
        command: its name, with ``-`` for a space.
        outputs: title → what the command printed, wrapped or not.
        places: text that differs from run to run, such as a temporary folder → its name in the file.
    """
    parts = []
    for title, output in outputs.items():
        text = " ".join(output.split())
        for place, name in places.items():
            text = text.replace(str(place), name)
        parts.append(f"# {title}\n{text}\n")
    file, text = HERE / f"{command}.txt", "\n".join(parts)
    if os.environ.get("HANGTAG_WRITE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def without_frames(output: str) -> str:
    """A command's output without tables, usage, and the frame around an error."""
    lines = (line for line in output.splitlines() if not line.startswith(("┏", "┃", "┡", "└", "│ ✓", "│ ✗", "│ –")))
    text = re.sub(r"Usage: .*?--help' for help\.", "", "\n".join(lines), flags=re.DOTALL)
    return re.sub("[╭╮╰╯│─]+", " ", text)
