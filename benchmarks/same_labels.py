"""Whether two versions of Hangtag label the same photos the same: every cell of every row, variant by variant.

    python benchmarks/same_labels.py BEFORE AFTER --model BUNDLE --photos FOLDER [--photos FOLDER]

``BEFORE`` and ``AFTER`` are checkouts; this Python runs both. Every file of the folders is a row. Exit status 1 if a
row differs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def main() -> int:
    """Print the number of rows, failed rows and different rows for each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True, action="append")
    arguments = parser.parse_args()
    model = arguments.model.resolve()
    variants = sorted(json.loads((model / "manifest.json").read_text(encoding="utf-8"))["variants"])
    different = 0
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "all.jsonl"
        files = sorted(
            str(file.resolve()) for folder in arguments.photos for file in folder.rglob("*") if file.is_file()
        )
        source.write_text("".join(json.dumps({"image": file}) + "\n" for file in files), encoding="utf-8")
        for variant in variants:
            before, after = (
                _labels(tree.resolve(), source, model, variant, Path(scratch) / f"{variant}-{number}.parquet")
                for number, tree in enumerate((arguments.before, arguments.after))
            )
            rows = zip(before.to_pylist(), after.to_pylist(), strict=True)
            found = [(old, new) for old, new in rows if old != new]
            for old, new in found[:5]:
                print(f"{old}\n  now {new}")
            failed = before.num_rows - before.column("label").drop_null().length()
            print(f"{variant}: {before.num_rows:,} rows, {failed:,} of them failed; {len(found):,} differ")
            different += len(found)
    return 1 if different else 0


def _labels(tree: Path, source: Path, model: Path, variant: str, output: Path) -> pa.Table:
    command = [sys.executable, "-P", "-m", "hangtag", "label", str(source), "--model", str(model)]
    command += ["--variant", variant, "--out", str(output), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return pq.read_table(output)


if __name__ == "__main__":
    sys.exit(main())
