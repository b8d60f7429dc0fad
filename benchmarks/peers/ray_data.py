"""Ray Data ``map_batches``: ``ray_data.py MODEL LABELS PHOTOS OUTPUT SIZE CORES``.

Follows Ray's pages "End-to-end: Offline Batch Inference" and "ray.data.ActorPoolStrategy": a fixed pool with one actor
for each core, each with the model and one thread, and batches of 64. Ray's pages read photos with ``read_images``,
which decodes at full size. Here the actors decode in draft mode, so that pixels do not pass through the object store.
Reading reserves a tenth of a core, which leaves the cores to the actors.
"""

import csv
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # otherwise Ray sends usage reports
import numpy as np
import onnxruntime
import ray
from PIL import Image

BATCH = 64
READING = 0.1


class Labeller:
    """An actor with the model."""

    def __init__(self, model: str, size: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._size = size

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Take paths and bytes; return paths and class numbers."""
        pixels = np.stack([self._read(data) for data in batch["bytes"]])
        probabilities = self._session.run(["probabilities"], {"image": pixels})[0]
        return {"path": batch["path"], "number": probabilities.argmax(axis=1)}

    def _read(self, data: bytes) -> Any:  # noqa: ANN401
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (self._size, self._size))
            return np.asarray(image.convert("RGB").resize((self._size, self._size), Image.Resampling.BILINEAR))


def main() -> None:
    """Label all photos of a folder."""
    model, labels_file, photos, output, size, cores = sys.argv[1:]
    labels = Path(labels_file).read_text().splitlines()
    began = time.monotonic()
    ray.init(num_cpus=int(cores), include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    files = ray.data.read_binary_files(photos, include_paths=True, file_extensions=["jpg"], num_cpus=READING)
    labelled = files.map_batches(
        Labeller,
        fn_constructor_args=(model, int(size)),
        batch_size=BATCH,
        num_cpus=1 - 2 * READING,
        compute=ray.data.ActorPoolStrategy(size=int(cores)),
    )
    with Path(output).open("w", newline="") as file:
        write = csv.writer(file).writerow
        for row in labelled.iter_rows():
            write((Path(row["path"]).relative_to(photos), labels[row["number"]]))
    print(json.dumps({"labelling_s": time.monotonic() - began}))


if __name__ == "__main__":
    main()
