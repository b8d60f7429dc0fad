"""One photo after the other on one thread: ``one_photo.py onnxruntime|litert MODEL PIXELS.npy SIZE``.

Sets one thread as in ONNX Runtime's page "Thread management" and LiteRT's ``Interpreter``. LiteRT computes with
XNNPACK, its default. Prints the milliseconds of each photo but the first, and each photo's likeliest class.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np


def network(runtime: str, model: str, size: int) -> Callable[[Any], Any]:
    """Return a function that labels pixels, uint8 (1, size, size, 3)."""
    if runtime == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return lambda pixels: session.run(["probabilities"], {"image": pixels})[0]
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model, num_threads=1)
    image, probabilities = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    interpreter.resize_tensor_input(image, (1, size, size, 3))
    interpreter.allocate_tensors()

    def ask(pixels: Any) -> Any:  # noqa: ANN401
        interpreter.set_tensor(image, pixels.astype(np.float32))
        interpreter.invoke()
        return interpreter.get_tensor(probabilities)

    return ask


def main() -> None:
    """Label all photos of the file."""
    runtime, model, file, size = sys.argv[1:]
    ask = network(runtime, model, int(size))
    milliseconds, labels = [], []
    for pixels in np.load(file):
        began = time.perf_counter()
        labels.append(int(ask(pixels[None]).argmax()))
        milliseconds.append(1000 * (time.perf_counter() - began))
    print(json.dumps({"milliseconds": milliseconds[1:], "labels": labels}))


if __name__ == "__main__":
    main()
