"""Memory for labelling one photo with only ONNX Runtime, NumPy and Pillow: one thread, a read-only bundle.

    python benchmarks/bare_process.py BUNDLE PHOTO [--no-arena]

Each model file of the bundle runs in its own process. In its mount namespace, the bundle is read-only (this needs root
and ``unshare`` of util-linux). Prints the peak of resident memory in megabytes after the imports, after loading, after
the first photo and after ten photos; then the milliseconds of loading and of the tenth photo.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
LABEL = """
import json, os, sys, time
from pathlib import Path
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnxruntime as ort
from PIL import Image, ImageOps

def peak_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6

model, photo = map(Path, sys.argv[1:3])
try:
    (model.parent / "touched").touch()
    sys.exit(f"{model.parent} can be written to")
except OSError:
    pass
peaks, start = [peak_mb()], time.perf_counter()
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.enable_cpu_mem_arena = sys.argv[3] == "True"
session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
load_ms = (time.perf_counter() - start) * 1000
peaks.append(peak_mb())
shape = session.get_inputs()[0].shape
for number in range(10):
    start = time.perf_counter()
    image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
    if len(shape) == 4:
        image = ImageOps.pad(image, (shape[2], shape[1]), Image.Resampling.BILINEAR, "white")
    pixels = np.asarray(image)
    session.run(None, {"image": pixels[np.newaxis] if len(shape) == 4 else pixels})
    if number in (0, 9):
        peaks.append(peak_mb())
print(json.dumps([*peaks, load_ms, (time.perf_counter() - start) * 1000]))
"""


def main() -> None:
    """Measure each model file in its own process, and print a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--no-arena", action="store_true", help="free memory after each photo (slower)")
    asked = parser.parse_args()
    print(f"{'file':<18} {'MB':>6} {'imports':>8} {'load':>6} {'photo':>6} {'ten':>6} {'load ms':>8} {'photo ms':>9}")
    for model in sorted(asked.bundle.resolve().glob("*.onnx")):
        imports, load, one, ten, load_ms, photo_ms = _measure(model, asked.photo.resolve(), arena=not asked.no_arena)
        print(
            f"{model.name:<18} {model.stat().st_size / 1e6:>6.1f} {imports:>8.0f} {load:>6.0f} {one:>6.0f} {ten:>6.0f} "
            f"{load_ms:>8.0f} {photo_ms:>9.1f}"
        )


def _measure(model: Path, photo: Path, *, arena: bool) -> list[float]:
    unshare = shutil.which("unshare")
    if unshare is None:
        sys.exit("unshare is not installed; install util-linux")
    script = [sys.executable, "-P", "-c", LABEL, str(model), str(photo), str(arena)]
    command = [unshare, "--mount", "sh", "-c", READ_ONLY, str(model.parent), *script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr or f"{model.name}: the process failed")
    figures: list[float] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    main()
