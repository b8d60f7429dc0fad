"""Pillow and a runtime in a process pool: ``process_pool.py onnxruntime|openvino MODEL LABELS PHOTOS OUTPUT SIZE N``.

Each core has one process with one thread: decoding
partly holds the GIL, and a network of this size gains nothing from more threads. JPEGs are decoded no larger than the
network needs (draft mode). The network takes sixteen photos at a time. Threads of ONNX Runtime are set as in its page
"Thread management". OpenVINO has the throughput hint of its page "High-level Performance Hints". It reads float32 and
int8 ONNX files, and chooses the precision of float32 layers for the processor. The script prints the precisions of
convolutions and fully connected layers in OpenVINO's execution graph. By default, OpenVINO pins threads of two
processes to the same core. The script switches pinning off, as Intel's article "OpenVINO inference time increases when
running multiple processes" advises.
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
def network(runtime: str, model: str) -> tuple[Callable[[Any], Any], list[str]]:
    """Load the model in each process, and the precisions that the runtime chose."""
    if runtime == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return lambda pixels: session.run(["probabilities"], {"image": pixels})[0], []
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "THROUGHPUT", "ENABLE_CPU_PINNING": False}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    facts = [operation.get_rt_info() for operation in compiled.get_runtime_model().get_ops()]
    layers = [one for one in facts if one["layerType"].value in ("Convolution", "FullyConnected")]
    chosen = {one["runtimePrecision"].value for one in layers}
    return lambda pixels: request.infer({"image": pixels})["probabilities"], sorted(chosen)


def label(job: tuple[str, str, int, list[str]]) -> list[int]:
    """The likeliest class of each photo of a batch."""
    runtime, model, size, names = job
    pixels = np.stack([read(name, size) for name in names])
    return network(runtime, model)[0](pixels).argmax(axis=1).tolist()


def precisions(runtime: str, model: str) -> list[str]:
    """The precisions that the runtime chose for its layers."""
    return network(runtime, model)[1]


def read(name: str, size: int) -> Any:  # noqa: ANN401
    """Pixels, uint8 (size, size, 3)."""
    with Image.open(name) as image:
        image.draft("RGB", (size, size))
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def main() -> None:
    """Label all photos of a folder."""
    runtime, model, labels_file, photos, output, size, cores = sys.argv[1:]
    labels = Path(labels_file).read_text().splitlines()
    began = time.monotonic()
    names = sorted(str(path) for path in Path(photos).rglob("*.jpg"))
    jobs = [(runtime, model, int(size), names[n : n + BATCH]) for n in range(0, len(names), BATCH)]
    with Pool(int(cores)) as pool:
        found = [number for batch in pool.imap(label, jobs) for number in batch]
        chosen = pool.apply(precisions, (runtime, model))
    with Path(output).open("w", newline="") as file:
        rows = zip(names, found, strict=True)
        csv.writer(file).writerows((Path(name).relative_to(photos), labels[number]) for name, number in rows)
    print(json.dumps({"labelling_s": time.monotonic() - began, "precisions": chosen}))


if __name__ == "__main__":
    main()
