"""Pillow and a runtime in a process pool: ``process_pool.py onnxruntime|openvino MODEL PHOTOS OUTPUT SIZE CORES``.

An hour's work for a person who knows both. A process a core, each with one thread: decoding partly holds the GIL, and a
network of this size gains nothing from more threads. JPEGs are decoded no larger than the network needs (draft mode).
The network takes sixteen photos at a time. Threads of ONNX Runtime are set as in its page "Thread management". OpenVINO
has the hint for many photos of its page "High-level Performance Hints", and its default precision, which depends on the
processor. By default OpenVINO pins threads to cores, and threads of two processes to the same core. That is switched
off, as Intel's article "OpenVINO inference time increases when running multiple processes" advises.
"""

import csv
import json
import sys
import time
from collections.abc import Callable
from functools import cache
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BATCH = 16


@cache
def network(runtime: str, model: str) -> Callable[[Any], Any]:
    """Load the model once in each process."""
    if runtime == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return lambda pixels: session.run(["probabilities"], {"image": pixels})[0]
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "THROUGHPUT", "ENABLE_CPU_PINNING": False}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda pixels: request.infer({"image": pixels})["probabilities"]


def label(job: tuple[str, str, int, list[str]]) -> list[int]:
    """The likeliest class of each photo of a batch."""
    runtime, model, size, names = job
    pixels = np.stack([read(name, size) for name in names])
    return network(runtime, model)(pixels).argmax(axis=1).tolist()


def read(name: str, size: int) -> Any:  # noqa: ANN401
    """Pixels, uint8 (size, size, 3)."""
    with Image.open(name) as image:
        image.draft("RGB", (size, size))
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def main() -> None:
    """Label all photos of a folder."""
    runtime, model, photos, output, size, cores = sys.argv[1:]
    labels = (Path(model) / "labels.txt").read_text().splitlines()
    began = time.monotonic()
    names = sorted(str(path) for path in Path(photos).rglob("*.jpg"))
    jobs = [(runtime, f"{model}/model.onnx", int(size), names[n : n + BATCH]) for n in range(0, len(names), BATCH)]
    with Pool(int(cores)) as pool:
        found = [number for batch in pool.imap(label, jobs) for number in batch]
    with Path(output).open("w", newline="") as file:
        rows = zip(names, found, strict=True)
        csv.writer(file).writerows((Path(name).relative_to(photos), labels[number]) for name, number in rows)
    print(json.dumps({"labelling_s": time.monotonic() - began}))


if __name__ == "__main__":
    main()
