"""Hundreds of broken image files: as many rows out as lines in, each with a label or a reason."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def broken_files(folder: Path) -> list[Path]:
    """A photo in six formats, with bytes flipped, cut off, and inserted; some names have no ending."""
    rng = np.random.default_rng(5)
    photo = Image.fromarray(rng.integers(0, 255, (60, 80, 3), np.uint8))
    files = []
    for kind in FORMATS:
        buffer = io.BytesIO()
        photo.save(buffer, kind)
        for number in range(40):
            data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
            data[rng.integers(0, len(data), 1 + number)] = rng.integers(0, 255, 1 + number)
            cut = len(data) if number % 2 else int(rng.integers(0, len(data)))
            file = folder / f"{kind.lower()}-{number}"
            file.write_bytes(data[:cut].tobytes())
            files.append(file)
    return files


def test_as_many_rows_out_as_lines_in(tmp_path: Path, bundle: Path) -> None:
    files = broken_files(tmp_path)
    (tmp_path / "list.txt").write_text("".join(f"{file}\n" for file in files))
    output = tmp_path / "labels.parquet"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "hangtag", "label", str(tmp_path / "list.txt")),
            *("--model", str(bundle), "--output", str(output)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(output).to_pylist()
    assert [row["image"] for row in rows] == [str(file) for file in files]
    failed = [row for row in rows if row["status"] == "failed"]
    assert failed
    assert all(row["error"] in {"unreadable", "too_large"} and row["error_message"] for row in failed)
    assert all(row["label"] for row in rows if row["status"] != "failed")
